"""Pieces of the input that say the same in the same words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Message, Span

_PASSAGE = 6  # words in a row that are no accident when they occur twice
_TOKENS = 2 * _PASSAGE
_AROUND = " \t\r\n\u00a0.,;:!?…\"'“”„‘’‚«»‹›()[]{}"


def repeated(units: Sequence[Unit], messages: Sequence[Message]) -> tuple[tuple[int, ...], ...]:
    """Groups of units (indices, ascending) of equal text, in the order of the text. Upper and lower case count as
    equal; white space and punctuation around a piece do not count."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(_texts(units, messages)):
        if text:
            groups[text].append(index)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def repeats_itself(units: Sequence[Unit], messages: Sequence[Message]) -> bool:
    """Whether the input says something twice: a sentence or a named piece, or several words in a row. Single words
    come back in every text."""
    texts = _texts(units, messages)
    longer = [text for unit, text in zip(units, texts, strict=True) if text and unit.kind not in {"token", "word"}]
    length = _TOKENS if any(unit.kind == "token" for unit in units) else _PASSAGE
    passages = (tuple(texts[at : at + length]) for at in range(len(texts) - length + 1))
    counted = Counter(passage for passage in passages if all(passage))
    return len(set(longer)) < len(longer) or any(count > 1 for count in counted.values())


def _texts(units: Sequence[Unit], messages: Sequence[Message]) -> list[str]:
    return [core(unit.spans, messages) for unit in units]


def core(spans: Sequence[Span], messages: Sequence[Message]) -> str:
    """The text of a piece as it is compared with others."""
    return " ".join(_core(messages[span.message].content[span.start : span.end]) for span in spans).casefold()


def _core(text: str) -> str:
    """Without white space and punctuation at its ends; words one space apart. A sign before a number, and what belongs
    to a word in other scripts than ours, stays."""
    return " ".join(text.strip(_AROUND).split())
