"""The loopback never goes through a proxy, real hosts do, and no proxy keeps httpx from beginning."""

from __future__ import annotations

import os
import urllib.request

import pytest

from reelbench.core.proxies import changed_environment, is_loopback, proxy_changes

PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_loopback_is_added_to_what_the_user_left_out(name: str) -> None:
    changes, notes = proxy_changes({name: PROXY, "NO_PROXY": "corp.example", "no_proxy": "10.0.0.1"})
    assert set(changes["no_proxy"].split(",")) == {
        "corp.example",
        "10.0.0.1",
        "localhost",
        "127.0.0.1",
        "::1",
    }
    assert changes["NO_PROXY"] == changes["no_proxy"]
    assert name not in changes
    assert not notes
    # Made once, there is nothing left to change.
    assert proxy_changes({name: PROXY, **changes}) == ({}, [])


def test_without_a_proxy_nothing_changes() -> None:
    assert proxy_changes({"PATH": "/bin", "no_proxy": "a", "http_proxy": ""}) == ({}, [])


def test_a_star_leaves_everything_out() -> None:
    changes, _ = proxy_changes({"http_proxy": PROXY, "NO_PROXY": "a, *"})
    assert changes["no_proxy"] == "*"


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks://127.0.0.1:1080", "none of http://"),
        ("socks4://127.0.0.1:1080", "none of http://"),
        ("http://proxy.example:port", "is not an address"),
        ("http://", "names no host"),
    ],
)
def test_a_proxy_that_httpx_refuses_is_not_used_and_said(proxy: str, said: str) -> None:
    changes, (note,) = proxy_changes({"all_proxy": proxy})
    assert changes["all_proxy"] == ""
    assert note.startswith("all_proxy is not used")
    assert said in note


def test_a_socks_proxy_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    changes, (note,) = proxy_changes({"all_proxy": "socks5://user:secret@127.0.0.1:1080"})
    assert changes["all_proxy"] == ""
    assert "pip install socksio" in note
    assert "secret" not in note
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert "all_proxy" not in proxy_changes({"all_proxy": "socks5h://127.0.0.1:1080"})[0]


@pytest.mark.parametrize("left_out", ["[::1]:80", "fe80::/10", "ünï.example", "[fe80::1%eth0]", " a ,,b", ""])
def test_httpx_and_urllib_begin_whatever_is_in_no_proxy(left_out: str) -> None:
    httpx = pytest.importorskip("httpx")
    environment = {"http_proxy": PROXY, "all_proxy": "socks5://127.0.0.1:9", "no_proxy": left_out}
    changes, _ = proxy_changes(environment)
    with changed_environment({**environment, **changes}):
        httpx.Client().close()
        assert urllib.request.proxy_bypass("127.0.0.1:4200")
        assert urllib.request.proxy_bypass("localhost:4200")
        assert not urllib.request.proxy_bypass("huggingface.co")


def test_what_is_on_the_loopback() -> None:
    assert all(map(is_loopback, ["http://127.0.0.1:1/api", "http://localhost", "http://[::1]:4/api"]))
    assert not any(
        map(is_loopback, ["http://192.168.1.4", "https://localhost.example", "nonsense", "http://["])
    )


def test_variables_are_as_they_were_afterwards_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELBENCH_TEST_OLD", "old")
    monkeypatch.delenv("REELBENCH_TEST_NEW", raising=False)

    def fails_inside() -> None:
        with changed_environment({"REELBENCH_TEST_OLD": "1", "REELBENCH_TEST_NEW": "2"}):
            assert (os.environ["REELBENCH_TEST_OLD"], os.environ["REELBENCH_TEST_NEW"]) == ("1", "2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails_inside()
    assert os.environ["REELBENCH_TEST_OLD"] == "old"
    assert "REELBENCH_TEST_NEW" not in os.environ
