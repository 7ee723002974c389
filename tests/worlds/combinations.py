"""What the splits of the world are cut by."""

from __future__ import annotations

from reelbench.worlds.sprites.scene import Scene


def combination(scene: Scene) -> tuple[str, str, str, str]:
    """(colour, shape, background, motion) of the main sprite."""
    return (scene.main.colour, scene.main.shape, scene.background, scene.motion)
