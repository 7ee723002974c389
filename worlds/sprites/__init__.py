"""Sprites: textured shapes that move over a background, with a caption each."""
