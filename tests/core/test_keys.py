"""Keys hold everything that a result depends on, and nothing else."""

from reelbench.core import keys

WEIGHTS = {"pipeline": "a" * 64}
METHOD = keys.method_key("zs2", "1", {"mu": 0.98, "weights": "here"}, WEIGHTS)


def test_where_weights_lie_does_not_matter_what_they_are_does() -> None:
    assert keys.method_key("zs2", "1", {"mu": 0.98, "weights": "there"}, WEIGHTS) == METHOD
    assert keys.method_key("zs2", "1", {"mu": 0.98, "weights": "here"}, {"pipeline": "b" * 64}) != METHOD


def test_every_part_of_a_clip_changes_its_key() -> None:
    base = (METHOD, None, "a red circle", None, "video1#2", 7)
    changed = [
        (keys.method_key("zs2", "2", {"mu": 0.98}, WEIGHTS), *base[1:]),
        (keys.method_key("zs2", "1", {"mu": 0.5}, WEIGHTS), *base[1:]),
        (METHOD, "tuned", *base[2:]),
        (*base[:2], "a blue circle", *base[3:]),
        (*base[:3], "context", *base[4:]),
        (*base[:4], "video1#3", 7),
        (*base[:5], 8),
    ]
    made = {keys.clip_key(*parts) for parts in [base, *changed]}
    assert len(made) == len(changed) + 1


def test_many_prompts_share_one_tuning() -> None:
    assert keys.tune_key(METHOD, "clip", "a man is skiing", 0) == keys.tune_key(
        METHOD, "clip", "a man is skiing", 0
    )
    assert keys.tune_key(METHOD, "clip", "a man is skiing", 1) != keys.tune_key(
        METHOD, "clip", "a man is skiing", 0
    )


def test_a_score_depends_on_which_features_not_on_their_order() -> None:
    one = keys.score_key("fvd", "1", {"ddof": 1}, ["a", "b"])
    assert one == keys.score_key("fvd", "1", {"ddof": 1}, ["b", "a"])
    assert one != keys.score_key("fvd", "1", {"ddof": 0}, ["a", "b"])
    assert one != keys.score_key("fvd", "1", {"ddof": 1}, ["a"])
