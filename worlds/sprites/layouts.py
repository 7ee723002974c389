"""The annotation files of the published data sets as pure functions of scenes, in the real files' formats:

* MSR-VTT: two JSON files with `videos` and `sentences`; a caption is linked to a split only through its
  video. The 1k-A list of JSFusion is a CSV with key, vid_key, video_id, sentence.
* WebVid: CSV with videoid, contentUrl, duration, page_dir, name; the file is `page_dir/videoid.mp4`.
* Something-Something V2: JSON lists with id, label (filled in, lower case), template and placeholders;
  test.json has only ids, the templates are in test-answers.csv.
* LOVEU-TGVE-2023: CSV with a video's name, its caption and four edited ones; a row heads each part.
* DAVIS: a list of videos; the edited captions beside it are the reader's own format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .captions import captions, place_phrases
from .editing import EDIT_KINDS, EditScene
from .scene import Scene, Split, local_generator, sample_scene

FRAMES_PER_SECOND = 8
SSV2_TEMPLATES: dict[str, str] = {
    "moves left": "Moving [something] from right to left",
    "moves right": "Moving [something] from left to right",
    "moves up": "Moving [something] up",
    "moves down": "Moving [something] down",
    "grows": "[Something] growing",
    "shrinks": "[Something] shrinking",
    "turns clockwise": "Turning [something] clockwise",
    "turns counter-clockwise": "Turning [something] counter-clockwise",
    "passes in front": "Passing [something] in front of [something]",
    "passes behind": "Passing [something] behind [something]",
    "bounces": "Letting [something] bounce",
    "stays still": "Showing [something] without moving it",
}


@dataclass(frozen=True)
class WorldClip:
    """One clip of a layout: its number there, its split and what it shows."""

    number: int
    split: Split
    scene: Scene
    num_frames: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.num_frames / FRAMES_PER_SECOND


_FIRST_SCENES = {"msrvtt": 0, "webvid-2m": 1, "webvid-10m": 2, "ssv2": 3, "bridge": 4, "epic-kitchens": 5}
"""Each layout has its own stretch of ten million scenes."""


def world_clips(layout: str, split: Split, count: int, first_number: int, seed: int) -> list[WorldClip]:
    """The first `count` clips of a split in a layout; fewer clips are a prefix of more.

    Lengths are 16, 20 or 24 frames.
    """
    stretch = _FIRST_SCENES[layout] * 10_000_000
    clips = []
    for i in range(count):
        rng = local_generator("clip-length", seed, layout, split, i)
        scene = sample_scene(stretch + i, split, seed)
        clips.append(WorldClip(first_number + i, split, scene, int(rng.choice([16, 20, 24]))))
    return clips


def msrvtt_document(clips: list[WorldClip]) -> dict[str, Any]:
    """The content of `train_val_videodatainfo.json` or `test_videodatainfo.json`."""
    videos, sentences = [], []
    for clip in clips:
        video_id = f"video{clip.number}"
        videos.append(
            {
                "category": 0,
                "url": f"sprites://{video_id}",
                "video_id": video_id,
                "start time": 0.0,
                "end time": clip.duration_s,
                "split": clip.split,
                "id": clip.number,
            }
        )
        for k, text in enumerate(captions(clip.scene)):
            sentences.append({"caption": text, "video_id": video_id, "sen_id": clip.number * 20 + k})
    return {
        "info": {"description": "Sprites in the layout of MSR-VTT", "version": "1.0"},
        "videos": videos,
        "sentences": sentences,
    }


def jsfusion_rows(clips: list[WorldClip]) -> list[tuple[str, str, str, str]]:
    """Rows (key, vid_key, video_id, sentence) of `MSRVTT_JSFUSION_test.csv`: one caption a clip."""
    return [
        (f"ret{i}", f"msr{clip.number}", f"video{clip.number}", captions(clip.scene)[i % 6])
        for i, clip in enumerate(clips)
    ]


def webvid_page_dir(number: int) -> str:
    """The folder of a WebVid clip: two numbers of six digits, as in the published lists."""
    return f"{number // 100_000:06d}_{number // 100_000:06d}"


def webvid_rows(clips: list[WorldClip]) -> list[tuple[str, str, str, str, str]]:
    """Rows (videoid, contentUrl, duration, page_dir, name); the duration is written as PT00H00M02S."""
    rows = []
    for i, clip in enumerate(clips):
        page_dir, video_id = webvid_page_dir(clip.number), str(clip.number)
        duration = f"PT00H00M{round(clip.duration_s):02d}S"
        url = f"sprites://{page_dir}/{video_id}.mp4"
        rows.append((video_id, url, duration, page_dir, captions(clip.scene)[i % 6]))
    return rows


def ssv2_label(scene: Scene) -> tuple[str, str, list[str]]:
    """(label, template, placeholders) of a clip, the label filled in and in lower case."""
    template = SSV2_TEMPLATES[scene.motion]
    place = place_phrases(scene.background)[0]
    things = [f"a {scene.main.colour} {scene.main.shape} {place}"]
    if scene.other is not None:
        things = [
            f"a {scene.main.colour} {scene.main.shape}",
            f"a {scene.other.colour} {scene.other.shape} {place}",
        ]
    label = template.replace("[Something]", "[something]")
    for thing in things:
        label = label.replace("[something]", thing, 1)
    return label.lower(), template, things


def wordings(scene: Scene) -> list[str]:
    """The label, the template without brackets, and the twenty captions of a scene."""
    label, template, _ = ssv2_label(scene)
    return [label, plain_template(template), *captions(scene)]


def ssv2_entries(clips: list[WorldClip]) -> list[dict[str, Any]]:
    """Entries of `train.json` and `validation.json`."""
    entries = []
    for clip in clips:
        label, template, things = ssv2_label(clip.scene)
        entries.append({"id": str(clip.number), "label": label, "template": template, "placeholders": things})
    return entries


def ssv2_labels() -> dict[str, str]:
    """`labels.json`: template without brackets to class index, as a string."""
    templates = sorted(plain_template(t) for t in SSV2_TEMPLATES.values())
    return {t: str(i) for i, t in enumerate(templates)}


def loveu_rows(edits: list[EditScene]) -> list[tuple[str, ...]]:
    """Rows of the sheet of LOVEU-TGVE-2023: name, caption, the edited captions in the order of EDIT_KINDS.

    All videos are in the part DAVIS, whose heading comes first.
    """
    rows: list[tuple[str, ...]] = [("DAVIS Videos:", *[""] * (1 + len(EDIT_KINDS)))]
    for start in range(0, len(edits), len(EDIT_KINDS)):
        of_video = edits[start : start + len(EDIT_KINDS)]
        rows.append((of_video[0].video, of_video[0].source_prompt, *(edit.prompt for edit in of_video)))
    return rows


def davis_rows(edits: list[EditScene]) -> list[tuple[str, str, str, str]]:
    """Rows (video, source_prompt, edit, prompt)."""
    return [(edit.video, edit.source_prompt, edit.edit, edit.prompt) for edit in edits]


def plain_template(template: str) -> str:
    """A template without its brackets."""
    return template.replace("[", "").replace("]", "")
