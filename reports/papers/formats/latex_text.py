r"""Text in LaTeX: ASCII alone, so that a fragment compiles in any document and with any engine.

What TeX would read as a command is escaped; accents become TeX's own; what has no form in TeX's own
fonts is written as its code point, `[U+4F60]`.
"""

from __future__ import annotations

import re
import unicodedata

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",
    "]": "{]}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "*": "{*}",
}
_SIGNS = {
    "–": "--",
    "—": "---",
    "−": "$-$",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "°": r"$^\circ$",
    "§": r"\S{}",
    "¶": r"\P{}",
    "©": r"\copyright{}",
    "£": r"\pounds{}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "\N{NO-BREAK SPACE}": "~",
    "\N{WORD JOINER}": "{}",
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0331": "b",
}
_LETTERS = (
    "α:alpha β:beta γ:gamma δ:delta ε:epsilon ζ:zeta η:eta θ:theta ι:iota κ:kappa λ:lambda μ:mu ν:nu ξ:xi "
    "π:pi ρ:rho ς:varsigma σ:sigma τ:tau υ:upsilon φ:phi χ:chi ψ:psi ω:omega Γ:Gamma Δ:Delta Θ:Theta "
    "Λ:Lambda Ξ:Xi Π:Pi Σ:Sigma Υ:Upsilon Φ:Phi Ψ:Psi Ω:Omega"
)
_GREEK = {pair[0]: rf"$\{pair[2:]}$" for pair in _LETTERS.split()}


def latex_text(text: str) -> str:
    r"""Plain text as LaTeX, on one line.

    >>> latex_text("a_b & 5% ZS² NÜWA")
    'a\\_b \\& 5\\% ZS\\textsuperscript{2} N\\"{U}WA'
    >>> latex_text("你")
    '\\texttt{{[}U+4F60{]}}'
    """
    line = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(map(_letter, re.sub("-(?=-)", "-\N{WORD JOINER}", line)))  # two hyphens would be a dash


def breakable(text: str) -> str:
    """Plain text as LaTeX that may be broken behind signs, and in words that are too long for a line."""
    words = [re.findall(r"[^\W_]{1,14}|.", word) for word in text.split()]
    return " ".join(r"\allowbreak{}".join(map(latex_text, parts)) for parts in words)


def latex_key(key: str) -> str:
    r"""A name for `\cite` and `\label`: letters, digits and hyphens, as any style takes them.

    >>> latex_key("a_b c%")
    'a-b-c'
    """
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in key).split()) or "x"


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter.isascii():
        return letter if letter.isprintable() else ""
    for table in (_SIGNS, _GREEK):
        if letter in table:
            return table[letter]
    form, _, rest = unicodedata.decomposition(letter).partition(" ")
    if form in ("<super>", "<sub>") and all(chr(int(code, 16)).isascii() for code in rest.split()):
        command = "textsuperscript" if form == "<super>" else "textsubscript"
        return rf"\{command}{{{''.join(chr(int(code, 16)) for code in rest.split())}}}"
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and marks and all(mark in _ACCENTS for mark in marks):
        for mark in marks:
            dotless = {"i": r"\i", "j": r"\j"}.get(base, base)
            base = rf"\{_ACCENTS[mark]}{{{dotless}}}"
        return base
    plain = unicodedata.normalize("NFKD", letter)
    if plain.isascii():
        return "".join(_SPECIAL.get(one, one) for one in plain if one.isprintable())
    if unicodedata.category(letter).startswith("C"):
        return ""
    return rf"\texttt{{{{[}}U+{ord(letter):04X}{{]}}}}"
