"""Which clips are found in a folder, and which clip, reference and caption belong together."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbench.core.errors import DatasetError, EvaluationError
from reelbench.evaluation.clip_list import StoredClip, find_clips, linked_folders, other_files
from reelbench.evaluation.matching import EvaluationSample, Matched, count_duplicates, match


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# Finding clips


def test_videos_and_folders_of_pictures_are_clips_named_by_their_path(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "A.WEBM", "sub/deep/c.v2.mkv", "frames/x/001.png", "frames/x/002.png", "y/1.JPG")
    clips = find_clips(tmp_path)
    assert list(clips) == ["A", "b", "frames/x", "sub/deep/c.v2", "y"]
    assert clips["frames/x"] == StoredClip("frames/x", tmp_path / "frames" / "x", "frames")
    assert clips["sub/deep/c.v2"] == StoredClip("sub/deep/c.v2", tmp_path / "sub/deep/c.v2.mkv", "video")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "mov", "gif", "m4v", "mpg", "mpeg"])
def test_containers(tmp_path: Path, suffix: str) -> None:
    assert list(find_clips(touch(tmp_path, f"clip.{suffix}"))) == ["clip"]


def test_hidden_and_other_files_are_no_clips(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", ".b.mp4", "._a.mp4", ".cache/c.mp4", "notes.txt", "results.csv", "a.npy")
    assert list(find_clips(tmp_path)) == ["a"]


def test_pictures_at_the_top_are_one_clip_called_as_the_folder_was(tmp_path: Path) -> None:
    touch(tmp_path / "run_17", "1.png", "2.png")
    (tmp_path / "latest").symlink_to(tmp_path / "run_17")
    assert list(find_clips(tmp_path / "run_17")) == ["run_17"]
    assert list(find_clips(tmp_path / "latest")) == ["latest"]


def test_pictures_beside_videos_are_posters(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.jpg", "sub/b.mp4", "sub/b.png", "sub/c/1.png")
    assert list(find_clips(tmp_path)) == ["a", "sub/b", "sub/c"]


def test_a_folder_of_frames_called_after_its_video_has_the_videos_name(tmp_path: Path) -> None:
    touch(tmp_path, "video1.mp4/0001.png", "video2.mp4")
    assert list(find_clips(tmp_path)) == ["video1", "video2"]


@pytest.mark.parametrize(
    "names",
    [("a.mp4", "a.mkv"), ("a.mp4", "a/1.png"), ("s/a.MOV", "s/a.mov"), ("a.mp4/1.png", "a.avi")],
)
def test_two_clips_of_one_name_are_refused(tmp_path: Path, names: Any) -> None:
    with pytest.raises(EvaluationError, match=r"two clips of the name '(s/)?a'"):
        find_clips(touch(tmp_path, *names))


def test_no_folder_no_clip(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"'.*nowhere' does not exist"):
        find_clips(tmp_path / "nowhere")
    with pytest.raises(EvaluationError, match=r"a\.mp4' is a file, not a folder"):
        find_clips(touch(tmp_path, "a.mp4") / "a.mp4")
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(EvaluationError, match="does not exist"):
            find_clips(tmp_path / name)
    with pytest.raises(DatasetError, match="the home folder of a user that does not exist"):
        find_clips(Path("~nobody-of-this-name/clips"))
    with pytest.raises(EvaluationError, match="no clip in") as caught:
        find_clips(touch(tmp_path / "empty", "notes.txt"))
    assert ".webm" in str(caught.value.hint)


def test_links_are_clips_by_their_own_names_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "real.mp4", "frames/1.png")
    root = tmp_path / "clips"
    root.mkdir()
    for name in ("a", "b"):
        (root / f"{name}.mp4").symlink_to(tmp_path / "elsewhere" / "real.mp4")
        (root / f"frames_{name}").symlink_to(tmp_path / "elsewhere" / "frames")
    (root / "sub").mkdir()
    (root / "sub" / "back").symlink_to(root)
    assert list(find_clips(root)) == ["a", "b", "frames_a", "frames_b"]


def test_a_name_that_no_table_can_hold_costs_its_clip(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    touch(folder, "a.mp4", "b.mp4", os.fsdecode(b"caf\xe9.mp4"), os.fsdecode(b"d\xe9/c.mp4"))
    assert list(find_clips(folder)) == ["a", "b"]
    others = other_files(folder)
    assert [name.split(" (")[0] for name in others] == [r"caf\xe9.mp4", r"d\xe9"]
    assert all("not UTF-8: rename it" in name for name in others)
    folder.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(EvaluationError, match="is not UTF-8"):
        find_clips(tmp_path / os.fsdecode(b"caf\xe9"))


def test_each_folder_of_clips_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network's file system each question costs a millisecond, and folders hold ten thousand clips."""
    for index in range(90):
        (tmp_path / f"clip{index}.mp4").touch()
    touch(tmp_path, *(f"frames{index}/1.png" for index in range(10)))
    asked: list[str] = []
    for name in ("scandir", "stat"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=real, **k: (asked.append(n), f(*a, **k))[1])
    found = find_clips(tmp_path)
    monkeypatch.undo()
    assert len(found) == 100
    assert asked.count("scandir") <= 11
    assert asked.count("stat") <= 13


# Matching


def clips(*names: str) -> dict[str, StoredClip]:
    return {name: StoredClip(name, Path("/clips") / f"{name}.mp4", "video") for name in names}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def captions_of(matched: Matched) -> dict[str, str | None]:
    return {sample.id: sample.caption for sample in matched.samples}


def references_of(samples: Iterable[EvaluationSample]) -> Mapping[str, str | None]:
    return {sample.id: None if sample.reference is None else sample.reference.name for sample in samples}


def test_clips_are_matched_by_name() -> None:
    matched = match(clips("c", "a", "b"), clips("a", "b", "d"), None, None)
    assert references_of(matched.samples) == {"a": "a", "b": "b", "c": None}
    assert [sample.source for sample in matched.samples] == ["a", "b", "c"]
    assert matched.problems == (
        "1 clips have no reference of their own: c",
        "1 references have no clip of their own; set metrics use them too: d",
    )


def test_two_sides_without_a_common_name_are_compared_as_sets() -> None:
    matched = match(clips("a", "b"), clips("x", "y"), None, None)
    assert references_of(matched.samples) == {"a": None, "b": None}
    (problem,) = matched.problems
    assert "compared as sets only" in problem


def test_a_sound_match_has_no_problems(tmp_path: Path) -> None:
    captions = write(tmp_path / "c.csv", "name,caption\na,one\nb,two\n")
    matched = match(clips("a", "b"), clips("a", "b"), captions, None)
    assert captions_of(matched) == {"a": "one", "b": "two"}
    assert matched.problems == ()


FORMS = {
    "plain.csv": 'name,caption\na,a dog runs\nsub/b,"two, cats"\n',
    "synonyms.csv": 'video_id,split,prompt\na,test,a dog runs\nsub/b,test,"two, cats"\n',
    "excel.csv": "\ufeffName;Text\r\na;a dog runs\r\nsub/b;two, cats\r\n",
    "windows.csv": 'file,caption\r\n.\\a.mp4,a dog runs\r\nsub\\b.mp4,"two, cats"\r\n',
    "tabs.tsv": "id\tsentence\na\ta dog runs\nsub/b\ttwo, cats\n",
    "object.json": json.dumps({"a": "a dog runs", "sub/b": "two, cats"}),
    "list.json": json.dumps([{"id": "a", "prompt": "a dog runs"}, {"id": "sub/b.mp4", "text": "two, cats"}]),
    "lines.jsonl": '{"video": "a", "caption": "a dog runs"}\n\n{"video": "sub/b", "caption": "two, cats"}\n',
    "tabs.txt": "a\ta dog runs\nsub/b\ttwo, cats\n",
    "bars.txt": "a|a dog runs\n\nsub/b.mp4 | two, cats\n",
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_captions_in_the_forms_in_which_people_keep_them(tmp_path: Path, form: Any) -> None:
    matched = match(clips("a", "sub/b"), None, write(tmp_path / form, FORMS[form]), None)
    assert captions_of(matched) == {"a": "a dog runs", "sub/b": "two, cats"}
    assert matched.problems == ()


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "a.txt", "a dog runs\n")
    write(tmp_path / "sub" / "b.txt", "\ufefftwo, cats\r\n")
    assert captions_of(match(clips("a", "sub/b"), None, tmp_path, None)) == {
        "a": "a dog runs",
        "sub/b": "two, cats",
    }


def test_captions_without_a_clip_and_clips_without_a_caption_are_counted_and_named(tmp_path: Path) -> None:
    rows = "".join(f"{name},text\n" for name in ["a", *"vwxyz"])
    matched = match(clips("a", "b"), None, write(tmp_path / "c.csv", f"name,caption\n{rows}"), None)
    assert matched.problems == (
        "5 listed clips are not there: v, w, x, ...",
        "1 clips have no caption: b",
    )
    lost = [sample for sample in matched.samples if sample.generated is None]
    assert [sample.id for sample in lost] == list("vwxyz")
    assert all(sample.is_listed for sample in lost)
    assert [sample.is_listed for sample in matched.samples if sample.id == "b"] == [False]


def test_captions_of_other_clips_altogether_are_an_error_that_shows_both_sides(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"no generated clip .* c\.csv lists \(x") as caught:
        match(clips("a"), None, write(tmp_path / "c.csv", "name,caption\nx,text\n"), None)
    assert "the clips found are called a" in str(caught.value.hint)


def test_several_captions_of_a_clip_are_samples_of_one_source(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "name,caption\na,one\nb,other\na,two\n")
    matched = match(clips("a", "b"), clips("a", "b"), path, None)
    assert captions_of(matched) == {"a#0": "one", "a#1": "two", "b": "other"}
    assert "1 clips have several captions or pairs and count once for each, in FVD too: a" in matched.problems
    assert [sample.source for sample in matched.samples] == ["a", "a", "b"]
    assert matched.samples[0].generated is matched.samples[1].generated
    assert references_of(matched.samples) == {"a#0": "a", "a#1": "a", "b": "b"}


def test_identical_rows_count_once_and_are_said(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "name,caption\na,one\na,one\na.mp4,one\nb,two\n")
    matched = match(clips("a", "b"), None, path, None)
    assert captions_of(matched) == {"a": "one", "b": "two"}
    assert matched.problems == ("2 rows of c.csv repeat another one and are left out",)


def test_a_source_column_groups_clips(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "name,caption,source\na,one,v1\nb,two,v1\nc,three,\n")
    assert [s.source for s in match(clips("a", "b", "c"), None, path, None).samples] == ["v1", "v1", "c"]


def test_one_source_of_all_clips_is_pointed_out(tmp_path: Path) -> None:
    """A mirror of MSR-VTT has such a field: the name of the data set."""
    rows = [{"video_id": name, "caption": ["x"], "source": "MSR-VTT"} for name in "ab"]
    (problem,) = match(clips("a", "b"), None, write(tmp_path / "c.json", json.dumps(rows)), None).problems
    assert problem.startswith("all clips have one source, MSR-VTT, so no error can be told")
    path = write(tmp_path / "d.json", json.dumps(rows[:1] * 2))
    assert not any("one source" in text for text in match(clips("a"), None, path, None).problems)


def test_seeds_are_not_guessed_from_names() -> None:
    matched = match(clips("dog_0", "dog_1"), clips("dog"), None, None)
    assert references_of(matched.samples) == {"dog_0": None, "dog_1": None}
    assert [sample.source for sample in matched.samples] == ["dog_0", "dog_1"]


def test_pairs_say_that_several_clips_belong_to_one_reference(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p.csv", "generated,reference\ndog_0,dog.mp4\ndog_1.mp4,dog\ncat_0,cat\n")
    matched = match(clips("dog_0", "dog_1", "cat_0"), clips("dog", "cat"), None, pairs)
    assert references_of(matched.samples) == {"cat_0": "cat", "dog_0": "dog", "dog_1": "dog"}
    assert [sample.source for sample in matched.samples] == ["cat", "dog", "dog"]
    assert matched.problems == ()


def test_pairs_carry_captions_and_sources_and_captions_fill_the_gaps(tmp_path: Path) -> None:
    pairs = write(
        tmp_path / "p.csv",
        "generated,reference,caption,source\ng0,r0,given,s\ng1,r1,,\ng2,r2,,\ng3,r3,,\n",
    )
    captions = write(
        tmp_path / "c.csv",
        "name,caption,source\ng0,unused,\ng1,by its name,t\nr1,not this,\nr2,by reference,\n",
    )
    matched = match(clips("g0", "g1", "g2", "g3"), clips("r0", "r1", "r2", "r3"), captions, pairs)
    assert captions_of(matched) == {"g0": "given", "g1": "by its name", "g2": "by reference", "g3": None}
    assert [sample.source for sample in matched.samples] == ["s", "t", "r2", "r3"]
    assert matched.problems == (
        "2 of 4 rows of p.csv have no source: they count by prompt, reference or clip",
        "1 clips have no caption: g3",
    )


def test_pairs_take_every_caption_of_a_clip(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p.csv", "generated,reference\ng,r\n")
    captions = write(tmp_path / "c.csv", "name,caption\ng,one\ng,two\n")
    matched = match(clips("g"), clips("r"), captions, pairs)
    assert captions_of(matched) == {"g#0": "one", "g#1": "two"}
    assert references_of(matched.samples) == {"g#0": "r", "g#1": "r"}
    assert {sample.source for sample in matched.samples} == {"r"}


def test_what_the_pairs_do_not_name_or_name_in_vain_is_said(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p.csv", "generated,reference\na,r\nb,gone\nlost,r\na.mp4,r\n")
    matched = match(clips("a", "b", "take #2"), clips("r", "q"), None, pairs)
    assert references_of(matched.samples) == {"a": "r", "b": None, "lost": "r"}
    assert matched.problems == (
        "1 rows of p.csv repeat another one and are left out",
        "1 references that the pairs name are not there: gone",
        "1 listed clips are not there: lost",
        "1 clips are not named in p.csv and left out: take #2",
        "1 clips have no reference of their own: b",
        "1 references have no clip of their own; set metrics use them too: q",
    )


def test_references_that_are_named_but_not_given_are_said(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p.csv", "generated,reference\na,r\n")
    matched = match(clips("a"), None, None, pairs)
    assert matched.problems == ("1 references are named in the pairs, and no references are given: r",)


def test_a_clip_with_a_number_sign_in_its_name_is_that_clip(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p.csv", "generated,reference\nsong #1,r\n")
    assert match(clips("song #1"), clips("r"), None, pairs).problems == ()


def test_two_samples_of_one_id_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "name,caption\na,one\na,two\n")
    with pytest.raises(EvaluationError, match="two samples would be called 'a#0'"):
        match(clips("a", "a#0"), None, path, None)


def test_names_are_compared_in_composed_form(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    assert composed != decomposed
    path = write(tmp_path / "c.csv", f"name,caption\n{composed},coffee\n")
    matched = match(clips(decomposed), clips(composed), path, None)
    assert captions_of(matched) == {composed: "coffee"}
    assert matched.samples[0].reference is not None
    with pytest.raises(EvaluationError, match="two clips are called"):
        match(clips(composed, decomposed), None, None, None)


def test_a_name_that_looks_like_a_suffix_is_kept_where_a_clip_has_it(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "name,caption\nintro.ts,one\nend.ts,two\n")
    assert captions_of(match(clips("intro.ts", "end"), None, path, None)) == {"intro.ts": "one", "end": "two"}


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "..\\secret", "sub/../../secret"])
def test_a_name_from_a_file_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "secret.mp4", "generated/a.mp4")
    found = find_clips(tmp_path / "generated")
    pairs = write(tmp_path / "p.csv", f"generated,reference\na,{name}\n{name},a\n")
    matched = match(found, found, None, pairs)
    assert {sample.generated for sample in matched.samples} == {found["a"], None}
    assert [sample.reference for sample in matched.samples if sample.generated] == [None]


def test_samples_are_sorted_whatever_the_order_of_rows(tmp_path: Path) -> None:
    names = [f"{index:03}" for index in range(50)]
    forward = write(tmp_path / "f.csv", "name,caption\n" + "".join(f"{name},t\n" for name in names))
    backward = write(tmp_path / "b.csv", "name,caption\n" + "".join(f"{name},t\n" for name in names[::-1]))
    found = [match(clips(*names), None, path, None) for path in (forward, backward)]
    assert found[0] == found[1]
    assert [sample.id for sample in found[0].samples] == names


def test_duplicates_are_counted() -> None:
    assert count_duplicates([]) == 0
    assert count_duplicates(["a", "b", "a", "a", "b", "c"]) == 3


# Prompts that clips are called by, as VBench has them

VBENCH = [
    {
        "prompt_en": "a bird and a cat",
        "dimension": ["multiple_objects"],
        "auxiliary_info": {"object": "bird"},
    },
    {"prompt_en": "Garden, zoom in.", "dimension": ["Camera_Motion"], "auxiliary_info": "zoom_in"},
    {"prompt_en": "ancient ruins, rock-carved fa\u00e7ades-2", "dimension": ["temporal_flickering"]},
]


def vbench_clips(numbers: range = range(5)) -> dict[str, StoredClip]:
    return clips(*(f"{item['prompt_en']}-{number}" for item in VBENCH for number in numbers))


def test_the_samples_of_a_prompt_have_its_caption_and_are_one_source(tmp_path: Path) -> None:
    path = write(tmp_path / "VBench_full_info.json", json.dumps(VBENCH))
    matched = match(vbench_clips(), None, path, None)
    assert len(matched.samples) == 15
    assert matched.problems == ()
    for sample in matched.samples:
        assert sample.caption == sample.source == sample.id.rpartition("-")[0]
        assert sample.generated is not None
    assert len({sample.source for sample in matched.samples}) == 3


@pytest.mark.parametrize("form", ["lines.txt", "list.json", "lines.jsonl", "same.json", "list.parquet"])
def test_prompts_in_other_forms(tmp_path: Path, form: str) -> None:
    prompts = [str(item["prompt_en"]) for item in VBENCH]
    path = tmp_path / form
    if form == "list.parquet":
        pq.write_table(pa.Table.from_pylist([{"prompt": prompt} for prompt in prompts]), path)
    texts = {
        "lines.txt": "\n".join(prompts) + "\n",
        "list.json": json.dumps(prompts),
        "lines.jsonl": "\n".join(json.dumps({"prompt": prompt}) for prompt in prompts),
        "same.json": json.dumps({prompt: prompt for prompt in prompts}),
    }
    if form in texts:
        write(path, texts[form])
    matched = match(vbench_clips(), None, path, None)
    assert {sample.id: sample.source for sample in matched.samples} == {
        f"{prompt}-{number}": prompt for prompt in prompts for number in range(5)
    }


def test_prompts_are_found_in_folders_without_a_number_and_where_they_were_cut(tmp_path: Path) -> None:
    long = "a very long prompt " * 12
    path = write(tmp_path / "p.json", json.dumps(["a red car", "a blue car", long]))
    names = ("color/a red car-0", "color/a red car-24", "a blue car", f"{long.strip()[:180]}-0")
    matched = match(clips(*names), None, path, None)
    assert {sample.id: sample.source for sample in matched.samples} == dict(
        zip(names, ("a red car", "a red car", "a blue car", long.strip()), strict=True)
    )
    path = write(tmp_path / "q.json", json.dumps([long + "in the sun", long + "in the rain"]))
    with pytest.raises(EvaluationError, match="by the first 180 characters of several prompts"):
        match(clips(f"{long[:180]}-0"), None, path, None)


def test_prompts_without_a_clip_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "p.txt", "a red car\na blue car\na green car\n")
    matched = match(clips("a red car-0", "a red car-1", "else-0"), None, path, None)
    assert [sample.is_listed for sample in matched.samples] == [True, True, False]
    assert matched.problems == (
        "2 prompts of p.txt have no clip and are left out: a blue car, a green car",
        "1 clips have no caption: else-0",
    )


def test_a_list_of_other_prompts_says_what_it_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "p.txt", "a red car\na blue car\n")
    with pytest.raises(
        EvaluationError, match=r"no clip is called by a prompt of p\.txt, such as 'a red car-0'"
    ) as caught:
        match(clips("0000", "0001"), None, path, None)
    assert "the clips found are called 0000, 0001" in str(caught.value.hint)


def test_a_prompt_that_ends_like_a_number_is_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "p.txt", "apollo\napollo-11\n")
    matched = match(clips("apollo-1", "apollo-11", "apollo-11-0"), None, path, None)
    assert {sample.id: sample.source for sample in matched.samples} == {
        "apollo-1": "apollo",
        "apollo-11": "apollo-11",
        "apollo-11-0": "apollo-11",
    }


def test_clips_that_are_called_like_samples_of_prompts_are_pointed_out_where_no_list_says_so() -> None:
    (problem,) = match(vbench_clips(), None, None, None).problems
    assert problem.startswith(
        "15 clips are called like numbered samples of 3 prompts (Garden, zoom in.-0, ...)"
    )
    for names in (("clip-0", "clip-1"), ("a-0", "a-1", "b-0"), ("a-0", "a-1", "b-0", "b-1", "c")):
        assert match(clips(*names), None, None, None).problems == ()


def test_names_are_never_taken_for_prompts(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", json.dumps([{"name": "dog", "prompt": "a dog runs"}]))
    with pytest.raises(EvaluationError, match=r"no generated clip has a name that c\.json lists"):
        match(clips("dog-0", "dog-1"), None, path, None)


@pytest.mark.parametrize("form", ["{}-{}", "{}/{}", "some/{}-000{}", "{}/seed_{}"])
def test_clips_called_by_their_own_captions_are_one_source_a_prompt(tmp_path: Path, form: str) -> None:
    """Captions by name, as people write them: five samples of a prompt are no five sources."""
    prompts = ("a red car", "a blue car", "dogs, running!")
    names = {
        form.format(prompt.replace(",", "_"), number): prompt for prompt in prompts for number in range(5)
    }
    csv = "name,caption\n" + "".join(f'{name},"{prompt}"\n' for name, prompt in names.items())
    pairs = csv.replace("name,", "generated,")
    for path in (write(tmp_path / "c.csv", csv), write(tmp_path / "c.json", json.dumps(names))):
        matched = match(clips(*names), None, path, None)
        assert {sample.id: sample.source for sample in matched.samples} == names
        assert matched.problems == ()
    matched = match(clips(*names), None, None, write(tmp_path / "p.csv", pairs))
    assert {sample.id: sample.source for sample in matched.samples} == names


def test_a_source_column_and_pairs_say_otherwise_of_clips_called_by_their_captions(tmp_path: Path) -> None:
    rows = "a car-0,a car,x\na car-1,a car,\na car-2,a car,\n"
    matched = match(
        clips("a car-0", "a car-1", "a car-2"),
        None,
        write(tmp_path / "c.csv", "name,caption,source\n" + rows),
        None,
    )
    assert [sample.source for sample in matched.samples] == ["x", "a car", "a car"]
    pairs = write(tmp_path / "p.csv", "generated,reference,caption\na car-0,r,a car\na car-1,s,a car\n")
    matched = match(clips("a car-0", "a car-1"), clips("r", "s"), None, pairs)
    assert [sample.source for sample in matched.samples] == ["r", "s"]


def test_samples_of_a_prompt_that_the_list_lacks_are_one_source(tmp_path: Path) -> None:
    """Metrics without captions measure them, too."""
    for form, folder in (("{}-{}", ""), ("{}/{}", "deep/")):
        names = [folder + form.format(prompt, number) for prompt in "abc" for number in range(5)]
        path = write(tmp_path / "p.txt", "a\nb\n")
        matched = match(clips(*names), None, path, None)
        assert [sample.source for sample in matched.samples] == [x for x in "abc" for _ in range(5)]
        assert matched.problems[0].startswith("5 clips have no caption")


def test_clips_that_are_called_by_no_caption_are_sources_of_their_own(tmp_path: Path) -> None:
    names = {"video-0": "a man sings", "video-1": "a man sings", "set/2": "a man"}
    matched = match(clips(*names), None, write(tmp_path / "c.json", json.dumps(names)), None)
    assert {sample.source for sample in matched.samples} == set(names)


@pytest.mark.parametrize("missing", ["", "nan", "NaN ", "None"])
def test_a_source_that_is_missing_is_none_and_is_counted(tmp_path: Path, missing: str) -> None:
    """`nan`, as pandas writes it, was one source of all that had none."""
    rows = f"a,x,s\nb,x,s\nc,y,{missing}\nd,z,{missing}\n"
    table = write(tmp_path / "c.csv", "name,caption,source\n" + rows)
    entries = [
        dict(zip(("name", "caption", "source"), row.split(","), strict=True)) for row in rows.splitlines()
    ]
    if missing == "nan":
        entries[2:] = [{**entries[2], "source": float("nan")}, {**entries[3], "source": None}]
    pairs = write(tmp_path / "p.csv", "generated,caption,source\n" + rows)
    for path in (table, write(tmp_path / "c.json", json.dumps(entries))):
        matched = match(clips("a", "b", "c", "d"), None, path, None)
        assert [sample.source for sample in matched.samples] == ["s", "s", "c", "d"]
        assert any(text.startswith(f"2 of 4 rows of {path.name} have no source") for text in matched.problems)
    matched = match(clips("a", "b", "c", "d"), None, None, pairs)
    assert [sample.source for sample in matched.samples] == ["s", "s", "c", "d"]
    assert any(text.startswith("2 of 4 rows of p.csv have no source") for text in matched.problems)


def test_ids_that_a_table_made_floats_are_the_clips_called_by_the_number(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "id,caption\n1.0,one\n2.0,two\n3.0.mp4,three\n")
    assert captions_of(match(clips("1", "2", "3.0"), None, path, None)) == {
        "1": "one",
        "2": "two",
        "3.0": "three",
    }
    assert match(clips("1", "take"), None, path, None).samples[1].id == "2.0"
    pairs = write(tmp_path / "p.csv", "generated,reference\n1.0,7.0\n")
    assert references_of(match(clips("1"), clips("7"), None, pairs).samples) == {"1": "7"}


def test_a_link_to_a_folder_above_does_not_bring_in_the_reference(tmp_path: Path) -> None:
    touch(tmp_path, "generated/a.mp4", "real/a.mp4", "real/b.mp4", "generated/sub/c.mp4")
    (tmp_path / "generated" / "up").symlink_to("..")
    (tmp_path / "generated" / "sub" / "top").symlink_to(tmp_path.parent)
    (tmp_path / "generated" / "sub" / "beside").symlink_to(tmp_path / "real")
    (tmp_path / "generated" / "d.mp4").symlink_to(tmp_path / "real" / "b.mp4")
    found = list(find_clips(tmp_path / "generated"))
    assert found == ["a", "d", "sub/beside/a", "sub/beside/b", "sub/c"]
    above = "(a link to a folder above)"
    assert other_files(tmp_path / "generated") == [f"sub/top {above}", f"up {above}"]
    assert linked_folders(tmp_path / "generated") == [f"sub/beside -> {(tmp_path / 'real').resolve()}"]


def test_what_is_silently_no_clip_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.png", "LICENSE", ".b.mp4", "._a.mp4", ".cache/c.mkv", ".DS_Store")
    touch(
        tmp_path, *(f"sub/{index}.png" for index in range(4)), "sub/v.webm", "posters/v.png", "posters/v.mp4"
    )
    (tmp_path / "noending").write_bytes(b"\0\0\0\x20ftypisom")
    assert other_files(tmp_path) == [
        ".b.mp4 (hidden)",
        ".cache/c.mkv (hidden)",
        "noending (a video without an ending)",
        "sub/0.png and 3 more pictures beside a video",
    ]
