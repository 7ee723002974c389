"""A page for each prompt: the clips of all methods side by side, beside the reference, in step.

MLflow shows it among the artifacts in a frame that loads nothing from elsewhere, so the clips are in it,
within a budget of bytes. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from ...core.redaction import fit_to_leave
from ..pages.html_clips import PromptView, prompt_groups
from ..pages.run_clips import PromptClips
from ..tables.run_tables import Row

MAX_BYTES = 24 * 2**20
"""Of the clips of one prompt."""

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:16px;color:#1c2024;background:#fff}
h1{font-size:16px;margin:0 0 2px}p{margin:0 0 12px;color:#5b6670}
.clips{display:flex;flex-wrap:wrap;gap:12px}figure{margin:0;width:160px}
video,img{width:160px;display:block;background:#e7ebee;image-rendering:pixelated}
figcaption{padding:4px 0}figcaption b{display:block}small{display:block;color:#5b6670}
.none{width:160px;min-height:120px;background:#e7ebee;padding:8px;box-sizing:border-box}
@media(prefers-color-scheme:dark){body{color:#e6eaed;background:#11171c}small,p{color:#9aa6b0}
video,img,.none{background:#26313a}}
"""
# In step with the first: each plays on its own, and small files drift apart.
_SCRIPT = """
const v=[...document.querySelectorAll("video")];
if(v[0])v[0].addEventListener("seeked",()=>v.slice(1).forEach(x=>{x.currentTime=v[0].currentTime;x.play()}));
v.slice(1).forEach(x=>x.loop=false);
"""


def clip_grid(
    prompt: PromptClips,
    order: Sequence[str],
    scores: Iterable[Row],
    labels: Mapping[str, str],
    tables_folder: Path,
) -> str:
    """The page of one prompt.

    Args:
        order, scores, labels, tables_folder: see `pages.html_clips.prompt_groups`.
    """
    ((title, (view,)),) = prompt_groups([prompt], order, scores, labels, tables_folder, MAX_BYTES)
    heading = escape(fit_to_leave(view.prompt)) or "(no prompt)"
    seed = "" if prompt.seed is None else f", seed {prompt.seed}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title>'
        f"<style>{_STYLE}</style><h1>{heading}</h1>"
        f"<p>{escape(fit_to_leave(f'{title}, {view.sample}{seed}'))}</p>"
        f'<div class="clips">{_figures(view)}</div><script>{_SCRIPT}</script></html>\n'
    )


def _figures(view: PromptView) -> str:
    parts = []
    for clip in view.clips:
        if clip.data_uri and clip.is_image:
            shown = f'<img src="{clip.data_uri}" alt="">'
        elif clip.data_uri:
            shown = f'<video src="{clip.data_uri}" autoplay loop muted playsinline controls></video>'
        else:
            shown = f'<div class="none">{escape(fit_to_leave(clip.words))}</div>'
        scores = "".join(f"<small>{escape(score)}</small>" for score in clip.scores)
        heading = escape(fit_to_leave(clip.heading))
        parts.append(f"<figure>{shown}<figcaption><b>{heading}</b>{scores}</figcaption></figure>")
    return "".join(parts)
