"""The regular expressions of a case file: those of Python's ``re``, matched within a time and a size.

``re`` itself cannot be stopped, and one pattern such as ``(a|aa)+$`` can keep it busy for years; ``regex`` can.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator
from functools import lru_cache

import regex

from attn_audit.case_yaml import Step, Tree, quoted

MATCH_SECONDS = 2.0
MAX_UNROLLED = 50_000
_REMEMBERED = 512  # patterns: those of a batch are the same for each of its cases

# ``regex`` reads these as approximate matching, ``re`` as text.
_FUZZY = re.compile(r"\{([0-9eids<=+, ]+)[:}]")
_IN_WORDS = regex.compile(
    r"[\w\p{M}--\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]", regex.VERSION1
)
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


def matches(pattern: regex.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each match, from left to right. Raises TimeoutError after ``MATCH_SECONDS``."""
    for match in pattern.finditer(text, timeout=MATCH_SECONDS):
        yield match.span()


@lru_cache(_REMEMBERED)
def term(text: str) -> regex.Pattern[str]:
    """A word or phrase as a policy names it: whole, whatever its case (full Unicode case folding) and however its
    accents are encoded, with any white space between its words."""
    forms = dict.fromkeys(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    found = "|".join(_bounded(form) for form in (text, *forms) if form.strip())
    return regex.compile(found, regex.IGNORECASE | regex.FULLCASE, cache_pattern=False)


def _bounded(text: str) -> str:
    """No letter, digit or accent of the same word before or after it. Scripts that are written without spaces have no
    such boundary. White space is what ``str.split`` takes for it."""
    words = r"[\s\x1c-\x1f]+".join(regex.escape(word) for word in text.split())
    begin, end = text.strip()[0], text.strip()[-1]
    before = r"(?<![\w\p{M}])" if _IN_WORDS.match(begin) else ""
    after = r"(?![\w\p{M}])" if _IN_WORDS.match(end) else r"(?!\p{M})"
    return before + words + after


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
