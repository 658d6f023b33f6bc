"""The regular expressions of a case file: those of Python's ``re``, matched within a time and a size.

``re`` itself cannot be stopped, and one pattern such as ``(a|aa)+$`` can keep it busy for years; ``regex`` can.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import regex

from attn_audit.case_yaml import Step, Tree, quoted

MATCH_SECONDS = 2.0
MAX_UNROLLED = 50_000

# ``regex`` reads these as approximate matching, ``re`` as text.
_FUZZY = re.compile(r"\{([0-9eids<=+, ]+)[:}]")
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<open>\()|(?P<close>\))|\{(?P<least>\d+)(?:,\d*)?\}|.", re.DOTALL
)


def compiled(tree: Tree, path: tuple[Step, ...], pattern: str) -> regex.Pattern[str]:
    """A regular expression of the file, at ``path``. Ambiguous ones, of which Python only warns, are refused too.

    Raises UsageError.
    """
    try:
        return _compiled(pattern)
    except ValueError as error:
        tree.refuse(path, f"{quoted(pattern)} is not a valid regular expression: {error}")


def matches(pattern: regex.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each match, from left to right. Raises TimeoutError after ``MATCH_SECONDS``."""
    for match in pattern.finditer(text, timeout=MATCH_SECONDS):
        yield match.span()


def found_first(pattern: str, text: str) -> tuple[int, int] | None:
    """Start and end of the first match that is not empty. Raises ValueError where the pattern is not a valid one,
    TimeoutError after ``MATCH_SECONDS``."""
    return next((span for span in matches(_compiled(pattern), text) if span[0] < span[1]), None)


def _compiled(pattern: str) -> regex.Pattern[str]:
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
