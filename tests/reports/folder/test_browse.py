"""The page in a browser: it opens from disk and from a server, filters, sorts, and plays clips in step."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelbench.reports.folder.build import write_report_folder

from .conftest import HOSTILE, NUM_FRAMES, write_run


@pytest.fixture
def opened(page: Any, index: Path) -> Callable[..., Any]:
    """Open the page at the list of clips; nothing plays unless it is asked to."""
    page.set_default_timeout(20_000)
    page.set_viewport_size({"width": 1200, "height": 800})
    page.emulate_media(reduced_motion="reduce")

    def open_at(hash: str = "size=s", url: str | None = None) -> Any:
        page.goto((url or index.as_uri()) + (f"#{hash}" if hash else ""))
        page.wait_for_selector("#app:not([hidden])")
        return page

    return open_at


@pytest.fixture
def served(index: Path) -> Iterator[str]:
    """The page's address below a path of a plain web server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(index.parent.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/report/"
        server.shutdown()
        thread.join()


def until(page: Any, expression: str) -> None:
    """Wait for an expression; Playwright's own wait needs `eval`, which the page's policy forbids."""
    for _ in range(800):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"not in 20 s: {expression}")


def prompts(page: Any) -> list[str]:
    found: list[str] = page.locator(".entry .said").all_text_contents()
    return found


def count(page: Any) -> str:
    text: str = page.text_content("#count")
    return text


def times(page: Any) -> list[float]:
    """Where each clip of the first prompt is, in frames."""
    found: list[float] = page.eval_on_selector(
        ".entry", "(entry) => [...entry.querySelectorAll('video')].map((v) => v.currentTime * 8)"
    )
    return found


def wait_for_clips(page: Any) -> None:
    until(
        page,
        "(() => { const all = [...document.querySelectorAll('.entry:first-child video')];"
        " return all.length > 0 && all.every((v) => v.readyState >= 2 && !v.seeking); })()",
    )


def test_it_opens_from_disk(opened: Callable[..., Any]) -> None:
    page = opened()
    assert count(page) == "48 prompts, 144 clips"
    wait_for_clips(page)
    assert page.locator(".entry:first-child video").count() == 4


def test_it_opens_from_a_server(opened: Callable[..., Any], served: str) -> None:
    page = opened(url=served)
    wait_for_clips(page)
    assert count(page) == "48 prompts, 144 clips"


def test_hostile_text_is_text(opened: Callable[..., Any]) -> None:
    page = opened("size=s&words=script")
    assert prompts(page) == [HOSTILE[0]]
    assert page.locator("#list script, #list img, #list b, #list i, #list s").count() == 0
    assert page.locator("#list small").first.text_content().endswith("CLIPSIM <s>")
    page.locator(".entry button[aria-label='Show this prompt large']").click()
    assert page.text_content("#large-prompt") == HOSTILE[0]
    page.keyboard.press("Escape")
    page.fill("#words", "xxxxxxxxxx")
    until(page, "document.querySelector('.said').textContent.startsWith('xxx')")
    assert prompts(page) == [HOSTILE[3]]
    assert page.evaluate("document.documentElement.scrollWidth") == 1200


def test_rows_in_the_document_are_few(opened: Callable[..., Any]) -> None:
    page = opened()
    seen: set[str] = set()
    for _ in range(12):
        assert page.locator(".entry").count() < 12
        seen |= set(prompts(page))
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(30)
    assert len(seen) > 30


def test_filters(opened: Callable[..., Any]) -> None:
    page = opened()
    page.fill("#words", "CIRCLE red")
    until(page, "document.getElementById('count').textContent.startsWith('20 of')")
    assert set(prompts(page)) <= {f"a red circle, take {n}" for n in range(0, 40, 2)}
    page.select_option("#dataset", "words, test")
    assert count(page) == "20 of 48 prompts, 60 clips"
    page.select_option("#status", "failed")
    assert count(page) == "4 of 48 prompts, 12 clips"
    assert "every pixel of .../x.mkv is <b>black</b>" in page.text_content(".entry:first-child .none")
    page.uncheck("#methods input[value='alpha']")  # which is the one that failed
    assert count(page) == "None of 48 prompts matches: Reset shows all"
    page.click("#reset")
    assert count(page) == "48 prompts, 144 clips"


def test_sorting_by_a_metric_and_by_a_difference(opened: Callable[..., Any]) -> None:
    page = opened("sort=clipsim&of=beta")
    assert prompts(page)[0] == "a blue circle, take 39"  # the data's values rise with the number
    page.select_option("#order", "up")
    assert prompts(page)[0] == HOSTILE[0]
    page.select_option("#minus", "alpha")  # the same for all, and none where alpha failed
    assert "CLIPSIM <s>, beta − alpha: −10" in page.text_content(".entry:first-child .about")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    until(page, "[...document.querySelectorAll('.about')].some((a) => a.textContent.includes('–'))")


def test_a_link_shows_the_same_view(opened: Callable[..., Any]) -> None:
    page = opened()
    page.fill("#words", "blue")
    page.select_option("#sort", "clipsim")
    page.uncheck("#methods input[value='beta']")
    until(page, "location.hash.includes('words=blue')")
    shown, address = prompts(page), page.url
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector(".entry")
    assert prompts(page) == shown
    assert page.locator("#methods input[value='beta']").is_checked() is False
    assert page.input_value("#words") == "blue"


def test_clips_of_a_prompt_step_together(opened: Callable[..., Any]) -> None:
    page = opened()
    wait_for_clips(page)
    entry = page.locator(".entry").first
    for number in range(1, 4):
        entry.locator("button[aria-label='One frame on']").click()
        wait_for_clips(page)
        assert [int(time) for time in times(page)] == [number] * 4
    entry.locator("input[type=range]").fill("11")
    wait_for_clips(page)
    assert [int(time) for time in times(page)] == [11] * 4
    assert entry.locator("output").text_content() == f"12 / {NUM_FRAMES}"


def test_clips_of_a_prompt_play_in_step(opened: Callable[..., Any]) -> None:
    page = opened("size=s&speed=0.5")
    wait_for_clips(page)
    page.locator(".entry").first.locator("button[aria-label='Play this prompt']").click()
    until(page, "document.querySelector('.entry output').textContent.startsWith('6 /')")
    now = times(page)
    assert min(now) > 2
    assert max(now) - min(now) < 2
    page.locator(".entry").first.locator("button[aria-label='Pause this prompt']").click()
    wait_for_clips(page)
    assert len({int(time) for time in times(page)}) == 1


def test_nothing_moves_by_itself_where_less_motion_is_asked_for(
    opened: Callable[..., Any], page: Any
) -> None:
    assert opened().get_attribute("#play", "aria-pressed") == "false"
    page.emulate_media(reduced_motion="no-preference")
    page.reload()
    page.wait_for_selector("#app:not([hidden])")
    assert page.get_attribute("#play", "aria-pressed") == "true"


def test_keys(opened: Callable[..., Any]) -> None:
    page = opened()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"
    page.keyboard.press("Escape")
    focused = "document.activeElement.querySelector('.said')?.textContent"
    page.keyboard.press("j")
    assert page.evaluate(focused) == HOSTILE[1]  # the first of "verbs"
    for _ in range(12):
        page.keyboard.press("j")
    assert page.evaluate(focused) != HOSTILE[1]
    page.keyboard.press("k")
    there = page.evaluate(focused)
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.querySelector('output').textContent") == "16 / 16"
    page.keyboard.press("Enter")
    assert page.text_content("#large-prompt") == there
    assert page.locator("#large .tile").count() == 4
    page.keyboard.press("j")
    assert page.text_content("#large-prompt") != there
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()


def test_it_fits_a_phone_and_the_dark(opened: Callable[..., Any], page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    opened("")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert max(red, green, blue) < 60


def test_escape_clears_the_words_and_the_filter(opened: Callable[..., Any], page: Any) -> None:
    opened()
    before = count(page)
    page.keyboard.press("/")
    page.keyboard.type("blue")
    until(page, f"document.getElementById('count').textContent !== '{before}'")
    page.keyboard.press("Escape")
    until(page, f"document.getElementById('count').textContent === '{before}'")
    assert "words" not in page.evaluate("location.hash")


def test_a_page_without_the_files_beside_it_says_so(index: Path, tmp_path: Path, browser: Any) -> None:
    alone = browser.new_page()
    alone.goto(Path(shutil.copy(index, tmp_path)).as_uri())
    assert "browse.js" in alone.locator("#alone:visible").inner_text()
    alone.close()


def test_notes_are_folded_until_one_is_asked_for_or_the_page_is_printed(
    opened: Callable[..., Any], page: Any
) -> None:
    opened("")
    note = page.locator("details.notes dt", has_text="Protocol").first
    assert not note.is_visible()
    page.emulate_media(media="print")
    assert note.is_visible()
    page.emulate_media(media="screen")
    assert not note.is_visible()
    page.locator("sup a").first.click()
    assert note.is_visible()


def test_printed_rows_stand_below_each_other(opened: Callable[..., Any], page: Any) -> None:
    opened()
    page.emulate_media(media="print")
    assert page.locator("#bar").is_visible() is False
    assert page.evaluate("document.body.scrollHeight") < 8000
    heights = page.eval_on_selector_all(".entry", "(all) => all.map((entry) => entry.offsetHeight)")
    assert min(heights) > 100


def test_three_thousand_clips(tmp_path: Path, videos: list[Path], opened: Callable[..., Any]) -> None:
    methods = tuple(f"m{number}" for number in range(9))
    tables = write_run(tmp_path, videos, [f"prompt {n}" for n in range(300)], methods)
    index = write_report_folder(tables, tmp_path)
    assert sum(path.stat().st_size for path in index.parent.glob("*.*")) < 5e6
    page = opened("", index.as_uri())
    assert count(page) == "300 prompts, 2700 clips"
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    until(page, "[...document.querySelectorAll('.said')].some((s) => s.textContent === 'prompt 298')")
    assert page.locator(".entry").count() < 12
