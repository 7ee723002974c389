"""The features of FVD and KVD: I3D logits."""
