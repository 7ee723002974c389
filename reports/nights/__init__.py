"""What changed from one night to the next, and over many."""
