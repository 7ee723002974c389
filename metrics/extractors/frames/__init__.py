"""Backbones that read frame by frame: Inception-v3 (FID), DINO, LAION's aesthetic head."""
