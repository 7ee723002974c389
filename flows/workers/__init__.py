"""Where shards run: one pool over Ray actors or over processes of this machine."""
