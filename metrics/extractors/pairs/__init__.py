"""Features of a generated clip beside its reference."""
