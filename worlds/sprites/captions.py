"""Twenty true captions of a scene: the first are complete, later ones leave something out or use other words,
as the crowd's captions of MSR-VTT do.
"""

from __future__ import annotations

from .scene import Scene

_PLACES: dict[str, tuple[str, ...]] = {
    "white": ("on a white background", "on white", "in a white room", "over a plain white background"),
    "black": ("on a black background", "on black", "in the black dark", "over a plain black background"),
    "grass": ("on grass", "on the green grass", "in a field of grass", "over a lawn of grass"),
    "water": ("on water", "on the water", "over water with waves", "over the blue water"),
    "sand": ("on sand", "on the sand", "on a beach of sand", "over the pale sand"),
    "brick": ("on a brick wall", "on bricks", "against a brick wall", "over a wall of brick"),
}

# Each motion: third person, -ing form, and a plain second wording of the same.
_VERBS: dict[str, tuple[str, str, str]] = {
    "moves left": ("moves left", "moving left", "goes from right to left"),
    "moves right": ("moves right", "moving right", "goes from left to right"),
    "moves up": ("moves up", "moving up", "rises to the top"),
    "moves down": ("moves down", "moving down", "sinks to the bottom"),
    "grows": ("grows", "growing", "gets bigger"),
    "shrinks": ("shrinks", "shrinking", "gets smaller"),
    "turns clockwise": ("turns clockwise", "turning clockwise", "rotates to the right"),
    "turns counter-clockwise": (
        "turns counter-clockwise",
        "turning counter-clockwise",
        "rotates to the left",
    ),
    "bounces": ("bounces", "bouncing", "jumps up and down"),
    "stays still": ("stays still", "staying still", "does not move"),
}


def verb_phrases(scene: Scene) -> tuple[str, str, str]:
    """Three wordings of the motion: 'moves left', 'moving left', 'goes from right to left'."""
    if scene.other is None:
        return _VERBS[scene.motion]
    other = f"a {scene.other.colour} {scene.other.shape}"
    side = "in front of" if scene.motion == "passes in front" else "behind"
    return (f"passes {side} {other}", f"passing {side} {other}", f"moves across {side} {other}")


def place_phrases(background: str) -> tuple[str, ...]:
    """Four wordings of the background."""
    return _PLACES[background]


def captions(scene: Scene) -> list[str]:
    """Twenty true captions; the first six name colour, shape, background and motion."""
    thing = f"{scene.main.colour} {scene.main.shape}"
    does, doing, other_words = verb_phrases(scene)
    on, on2, on3, on4 = place_phrases(scene.background)
    return [
        f"a {thing} {does} {on}",
        f"a {thing} {doing} {on}",
        f"{on}, a {thing} {does}",
        f"there is a {thing} {doing} {on3}",
        f"a video of a {thing} that {does} {on2}",
        f"a {thing} {other_words} {on4}",
        f"a {thing} {on}",
        f"{thing} {doing} {on2}",
        f"the {thing} {does} {on2}",
        f"we see a {thing} {on3}, it {does}",
        f"a clip of a {thing} {doing} {on4}",
        f"an animation shows how a {thing} {does} {on}",
        f"the {thing} {other_words} {on3}",
        f"a {scene.main.shape} of {scene.main.colour} colour {does} {on}",
        f"a {scene.main.colour} coloured {scene.main.shape} is {doing} {on2}",
        f"a {thing} {does}",
        f"{thing} {on}",
        f"a {scene.main.shape} {doing} {on}",
        f"something {scene.main.colour} {does} {on4}",
        f"a {thing}",
    ]


def still_caption(colour: str, shape: str, background: str) -> str:
    """What a single frame shows, in the words of the captions: 'a red circle on grass'."""
    return f"a {colour} {shape} {place_phrases(background)[0]}"
