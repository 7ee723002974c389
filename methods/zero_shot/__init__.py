"""Methods that train nothing: independent frames, Text2Video-Zero, ZS²."""
