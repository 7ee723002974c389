"""What must not leave this machine in tables, reports and messages: secrets, and where things lie on it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MASK = "***"

_TOKENS = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"hf_[A-Za-z0-9]{20,}"  # Hugging Face
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"  # GitHub, GitLab
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{35}"  # AWS, Google
    r"|sk-(?:proj-|svcacct-|ant-\w+-)?[A-Za-z0-9]{20,}[\w-]*"
    r"|xox[abeprs]-[\w-]{10,}|dapi[0-9a-f]{32}|pn[ub]_[A-Za-z0-9]{20,}"  # Slack, Databricks, Prefect
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"  # JSON web tokens
    r")"
)
# The user's part of an address. A password may hold what an address should not: SQLAlchemy takes it.
_PASSWORD = re.compile(r"(?<=://)[^\s/?#@:'\"<>]{0,200}:(?!\d{1,5}[/?#])[^\s'\"<>]{0,500}@(?=[\w\[])")
_SPACED_PASSWORD = re.compile(
    r"(?<=://)[^\s/?#@:'\"<>]{1,200}:(?!\d{1,5}\b)[^\s@'\"<>/][^\n@'\"<>/]{0,100}@(?=[\w.-]{1,200}[:/])"
)
_WITHOUT_SCHEME = re.compile(
    r"(?<![\w/.:@+-])[A-Za-z_][\w.+-]{0,63}:[^\s/@'\"<>:]{1,200}@(?=[\w.-]{1,200}:\d{2,5}(?![\w.]))"
)
_WEB_USER = re.compile(
    r"(?<=https://)[^\s/?#@'\"<>*]{1,500}@(?=[\w\[])|(?<=http://)[^\s/?#@'\"<>*]{1,500}@(?=[\w\[])"
)
_USER = re.compile(r"(?<=://)[^\s/?#@'\"<>*]{1,500}@(?=[\w\[])")
_QUERY = re.compile(
    r"([?&;](?:[\w-]{0,40}(?:token|password|passwd|secret|signature|credential|api[_-]?key|accesskeyid)|key|pwd|sig)=)"
    r"([^&;#\s'\"<>]+)",
    re.IGNORECASE,
)
_SETTING = re.compile(
    r"((?<![?&;\w-])[\w-]{0,40}(?:password|passwd|passphrase|secret(?:[_-]?(?:access)?[_-]?key)?|api[_-]?key|"
    r"(?:access|private)[_-]?key|(?:access|auth|api|hf|bearer|refresh|id|client|session)[_-]?token)['\"]?\s{0,4}"
    r"|(?<![?&;\w-])token(?==))"
    # After a colon a word may as well be a sentence about the setting.
    r"([=:]\s{0,4}(?=['\"])|=\s{0,4}|:\s{0,4}(?=[^\s'\",;]*\d|[^\s'\",;]{16}))"
    r"(?:(['\"])(?:\\.|(?!\3)[^\\\n])+\3|(?!<)[^\s'\"&,;]+)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"\b((?:authorization['\"]?\s*[:=]\s*['\"]?)?bearer|authorization['\"]?\s*[:=]\s*['\"]?\w+)(\s+)"
    r"([\w.~+/-]{8,}=*)",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"((?<![\w-])--[\w-]{0,40}(?:password|passwd|passphrase|secret|token|api-?key|access-key)\s+)(?![-<])[^\s'\",;]+",
    re.IGNORECASE,
)
_COOKIE = re.compile(r"(\bcookie['\"]?\s{0,4}[:=]\s{0,4}['\"]?)(?=[\w.-]{1,200}=)[^'\"\n]+", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)

_SECRET_VARIABLE = re.compile(
    r"(?:TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_ACCESS_KEY|API_?KEY|AUTH_STRING|(?:^|_)(?:PASS|PAT)|_PWD|_KEY)$"
)
_SHORTEST_SECRET = 8

_SECRET_SETTING = re.compile(
    r"(?:.*[_-])?(?:password|passwd|passphrase|pwd|secret|secret[_-]?(?:access[_-]?)?key|api[_-]?key|"
    r"(?:access|private)[_-]?key|credentials?|authorization|cookie)|"
    r"(?:db|user|login|admin|root|smtp|ftp|proxy|http|pg|sql|redis)[_-]?pass|"
    r"(?:(?:access|auth|api|hf|hub|bearer|refresh|session|id|client|github|gh|gitlab|slack)[_-]?)?token",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The text with every secret in it that can be told as one replaced by ***.

    These are the user's part of an address, tokens of known forms, parameters of an address and settings
    whose names say so, and values of the environment's variables that end in TOKEN, PASSWORD and the like.

    >>> masked("no answer from https://me:pass@host/api?token=abc")
    'no answer from https://***@host/api?token=***'
    """
    for secret in _own_secrets():
        text = text.replace(secret, MASK)
    text = _PRIVATE_KEY.sub(MASK, text)
    text = _TOKENS.sub(MASK, text)
    for form in (_PASSWORD, _SPACED_PASSWORD, _USER, _WITHOUT_SCHEME):
        text = form.sub(f"{MASK}@", text)
    text = _QUERY.sub(rf"\1{MASK}", text)
    text = _HEADER.sub(rf"\1\2{MASK}", text)
    text = _COOKIE.sub(rf"\1{MASK}", _OPTION.sub(rf"\1{MASK}", text))
    return _SETTING.sub(lambda found: f"{found[1]}{found[2]}{found[3] or ''}{MASK}{found[3] or ''}", text)


def secrets_in(data: Any, path: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """The places of settings that hold a secret: by the setting's name, or by the form of its value."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            place = (*path, key if isinstance(key, int | str) else str(key))
            is_named = isinstance(key, str) and _SECRET_SETTING.fullmatch(key) and _is_secret(key, value)
            if is_named or _holds_secret(str(key)):
                yield place
            else:
                yield from secrets_in(value, place)
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            yield from secrets_in(value, (*path, index))
    elif isinstance(data, str) and _holds_secret(data):
        yield path


def _is_secret(key: str, value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_is_secret(key, inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_is_secret(key, inner) for inner in value)
    if isinstance(value, bool) or not isinstance(value, str | int) or value in ("", MASK):
        return False
    if key.lower().endswith("cookie"):
        return "=" in str(value)
    # A token is also a part of a prompt: <sks>.
    is_word = key.lower() == "token" and len(str(value)) < 12
    return not is_word and not str(value).startswith("<")


_FORMS = (
    *(_PRIVATE_KEY, _TOKENS, _PASSWORD, _SPACED_PASSWORD, _WITHOUT_SCHEME, _WEB_USER),
    *(_SETTING, _OPTION, _COOKIE),
)


def _holds_secret(text: str) -> bool:
    """Whether a text has a secret in it by its form, one of those that `masked` replaces. Words that people
    also write where there is no secret count where what follows looks like one."""
    if any(form.search(text) for form in _FORMS):
        return True
    if any(
        not found[1].lower().endswith("key=") or "api" in found[1].lower() or _looks_random(found[2])
        for found in _QUERY.finditer(text)
    ):
        return True
    return any(_looks_random(found[3]) for found in _HEADER.finditer(text))


def _looks_random(text: str) -> bool:
    return len(text) >= 16 and any(map(str.isdigit, text)) and any(map(str.isalpha, text))


def _own_secrets() -> list[str]:
    """Values of environment variables that are secrets by their names, the longest first."""
    found = {
        part
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name)
        for part in (value, value.partition(":")[2])  # user:password
        if len(part) >= _SHORTEST_SECRET and not part.startswith(("/", "~"))  # the place of a key's file
    }
    return sorted(found, key=len, reverse=True)


_END = r"\s'\"`,;:()\[\]{}<>|"
_ABSOLUTE = re.compile(
    rf"(?P<quote>['\"])(?P<quoted>/[^'\"\n/]+/[^'\"\n]+)(?P=quote)"
    rf"|(?:(?<=file://)|(?<=sqlite:///)|(?<![\w./~*-]))(?P<plain>/[^/{_END}]+(?:/[^/{_END}]+)+/?)"
)

_AFTER_OPTION = re.compile(rf"(?<![\w-])(-[A-Za-z])((?:/[^/{_END}]+){{2,}}/?)")
_OF_A_USER = re.compile(rf"(?<![\w./~*-])()(~[a-z_][\w.-]*(?:/[^/{_END}]+)+/?)")
_ON_WINDOWS = re.compile(rf"(?<!\w)([A-Za-z]:\\(?:[^\\/{_END}]+\\)+)(?=[^\\/{_END}])")


def without_machine(text: str, *, from_here: bool = True) -> str:
    """The text with absolute paths made relative to the working directory where they lie below it; of others
    the last part is left: `.../name`. Addresses on the network stay as they are.

    Args:
        from_here: False leaves the last part of every path, so that the result does not depend on the working
            directory.

    >>> without_machine("cannot open '/home/me/data/clip 1.mp4': no such file")
    "cannot open '.../clip 1.mp4': no such file"
    """
    text = _ON_WINDOWS.sub(r"...\\", text)
    if "/" not in text:
        return text
    here = str(Path.cwd())
    if from_here and here != "/":
        text = re.sub(rf"(?<![\w.-]){re.escape(here)}/", "", text)
        text = re.sub(rf"(?<![\w.-]){re.escape(here)}(?![\w.-])", ".", text)
    home = str(Path.home())
    if home != "/":  # may hold spaces
        text = re.sub(rf"(?<![\w.-]){re.escape(home)}/", "/~/", text)
    for form in (_AFTER_OPTION, _OF_A_USER):
        text = form.sub(lambda found: f"{found[1]}.../{found[2].rstrip('/').rpartition('/')[2]}", text)
    return _ABSOLUTE.sub(_last_part, text)


def fit_to_leave(text: str, *, from_here: bool = True) -> str:
    """A text without secrets and without places of this machine: for tables, reports and pages; see
    `without_machine`."""
    return without_machine(masked(text), from_here=from_here)


def _last_part(found: re.Match[str]) -> str:
    if found["quoted"]:
        return f"{found['quote']}.../{found['quoted'].rstrip('/').rpartition('/')[2]}{found['quote']}"
    return ".../" + found["plain"].rstrip("/").rpartition("/")[2]
