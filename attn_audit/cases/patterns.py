"""The regular expressions of a case file: those of Python's ``re``, matched within a time and a size.

``re`` itself cannot be stopped, and one pattern such as ``(a|aa)+$`` can keep it busy for years; ``regex`` can.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache

import regex

from attn_audit.case_text.tree import Step, Tree, quoted

MATCH_SECONDS = 2.0
MAX_UNROLLED = 50_000
_REMEMBERED = 512  # patterns: those of a batch are the same for each of its cases

# ``regex`` reads these as approximate matching, ``re`` as text.
_FUZZY = re.compile(r"\{([0-9eids<=+, ]+)[:}]")
# Letters, digits and accents but those of scripts that are written without spaces (regex's version 1: sets subtract).
_SPACED = r"[[\p{L}\p{M}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\()|(?P<close>\))|\{(?P<least>\d+)(?:,\d*)?\}|.", re.DOTALL
)


def compiled(tree: Tree, path: tuple[Step, ...], pattern: str) -> regex.Pattern[str]:
    """A regular expression of the file, at ``path``. Ambiguous ones, of which Python only warns, are refused too.

    Raises UsageError.
    """
    try:
        return expression(pattern)
    except ValueError as error:
        tree.refuse(path, f"{quoted(pattern)} is not a valid regular expression: {error}")


def matches(pattern: regex.Pattern[str], text: str, seconds: float | None = MATCH_SECONDS) -> Iterator[tuple[int, int]]:
    """Start and end of each match, from left to right. Raises TimeoutError after so many seconds; None: as long as it
    takes, for a pattern that cannot take long."""
    for match in pattern.finditer(text, timeout=seconds):
        yield match.span()


@lru_cache(_REMEMBERED)
def term(text: str) -> regex.Pattern[str]:
    """A word or phrase as a policy names it: whole, whatever its case (full Unicode case folding) and however its
    accents are encoded, with any white space between its words. White space is what ``str.split`` takes for it.

    Whole: no letter, digit or accent of a script that is written with spaces stands before or after it.
    """
    words = r"[\s\x1c-\x1f]+".join(_spelled(word) for word in text.split())
    begin, end = text.strip()[0], text.strip()[-1]
    before = rf"(?<!{_SPACED})" if regex.match(_SPACED, begin, regex.V1) else ""
    after = rf"(?!{_SPACED})" if regex.match(_SPACED, end, regex.V1) else r"(?!\p{M})"
    return regex.compile(before + words + after, regex.IGNORECASE | regex.FULLCASE | regex.V1, cache_pattern=False)


def _spelled(word: str) -> str:
    """A word in any canonically equivalent spelling: as it stands, and of each letter as many accents composed with it
    as can be."""
    return "".join(_either((letter, *_composed(letter))) for letter in regex.findall(r"\X", word))


def _composed(letter: str) -> Iterator[str]:
    apart = unicodedata.normalize("NFD", letter)
    return (unicodedata.normalize("NFC", apart[:at]) + apart[at:] for at in range(len(apart) + 1))


def _either(spellings: Iterable[str]) -> str:
    different = [regex.escape(spelling) for spelling in dict.fromkeys(spellings)]
    return different[0] if len(different) == 1 else f"(?:{'|'.join(different)})"


def found_first(pattern: str, text: str) -> tuple[int, int] | None:
    """Start and end of the first match that is not empty. Raises ValueError where the pattern is not a valid one,
    TimeoutError after ``MATCH_SECONDS``."""
    return next((span for span in matches(expression(pattern), text) if span[0] < span[1]), None)


@lru_cache(_REMEMBERED)
def expression(pattern: str) -> regex.Pattern[str]:
    """Raises ValueError with the reason where it is not one that both engines read alike."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
            _check(pattern)
            return regex.compile(pattern, cache_pattern=False)
    except (re.error, regex.error, ValueError, OverflowError, RecursionError, Warning) as error:
        raise ValueError(str(error).splitlines()[0]) from None


def _check(pattern: str) -> None:
    """Raises ValueError for what the two engines read differently, and for what would fill the memory."""
    if any(set("eids") & set(found[1]) for found in _FUZZY.finditer(pattern)):
        raise ValueError("a brace that is text is written [{] or [}]")
    if _unrolled(pattern) > MAX_UNROLLED:
        raise ValueError(f"its repeat counts multiply to more than {MAX_UNROLLED:,} parts")


def _unrolled(pattern: str) -> int:
    """How many parts a valid pattern has when what it repeats n times stands there n times: ``regex`` does that."""
    sums = [0]
    last = 0
    for token in _TOKEN.finditer(pattern):
        if token["open"]:
            sums.append(0)
            continue
        if token["least"]:
            added = last * (min(int(token["least"][:9]), MAX_UNROLLED + 1) - 1)
            last += added
        else:
            added = last = 1 + (sums.pop() if token["close"] and len(sums) > 1 else 0)
        sums[-1] += added
    return sum(sums)
