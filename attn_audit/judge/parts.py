"""Parts of the answer that the case names, and what drove each of them: sums over their tokens, at no extra pass."""

from __future__ import annotations

from attn_audit.cases.patterns import found_first
from attn_audit.evidence.measured import AnswerPart
from attn_audit.evidence.records import (
    AnswerPattern,
    AnswerText,
    Scores,
)
from attn_audit.judge.relevance import relevance


def answer_parts(
    wanted: tuple[AnswerPattern, ...], answer: AnswerText, base: tuple[float, ...], scores: Scores
) -> tuple[AnswerPart, ...]:
    """One for each part that the case names. ``base`` (answer tokens,), ``scores`` (units, answer tokens), nats.
    Raises TimeoutError where a pattern takes too long on the answer."""
    return tuple(_part(part, answer, base, scores) for part in wanted)


def tokens_of(part: AnswerPattern, answer: AnswerText) -> tuple[int, int] | None:
    """Start and stop of the answer tokens that share a character with the part; None where it is not in the answer."""
    span = part.characters if part.pattern is None else found_first(part.pattern, answer.text)
    if span is None:
        return None
    start, end = span
    touched = [t for t, (first, last) in enumerate(answer.offsets) if first < end and start < last]
    return (touched[0], touched[-1] + 1) if touched else None


def _part(part: AnswerPattern, answer: AnswerText, base: tuple[float, ...], scores: Scores) -> AnswerPart:
    tokens = tokens_of(part, answer)
    if tokens is None:
        return AnswerPart(name=part.name, tokens=None, relevance=())
    start, stop = tokens
    rows = tuple(None if row is None else row[start:stop] for row in scores)
    return AnswerPart(name=part.name, tokens=tokens, relevance=relevance(base[start:stop], rows))
