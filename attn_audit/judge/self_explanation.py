"""The reason that an answer gives for itself, held against what drove its decision (docs/method.md, "Decision and
rationale")."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, sqrt
from typing import Literal

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import AnswerPart, Evidence, SelfExplanation
from attn_audit.evidence.records import DECISION, RATIONALE, Scores
from attn_audit.judge.relevance import DECIMALS, relevance

Tokens = tuple[int, int]  # start, stop of answer tokens
LEAST = 0.1  # nats: the length of a map of sentences below which it says nothing
_FEWEST = 2  # sentences: two maps of a single one have nothing to differ in
AGREES = 0.7  # cosine
CONFABULATED = 0.3


def parts_to_compare(parts: Sequence[AnswerPart]) -> tuple[Tokens, Tokens] | None:
    """The tokens of the decision and of the rationale; None where the answer does not hold both, the decision first.
    What is decided after a reason is read off it, so that the input does not tell how the two hang together."""
    found = {part.name: part.tokens for part in parts}
    decision, rationale = found.get(DECISION), found.get(RATIONALE)
    if decision is None or rationale is None or decision[1] > rationale[0]:
        return None
    return decision, rationale


def sentence_maps(
    base: tuple[float, ...], scores: Scores, compared: tuple[Tokens, Tokens]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of the decision and of the rationale: each sentence's relevance for its tokens, nats."""
    decision, rationale = (
        tuple(
            value
            for value in relevance(base[start:stop], tuple(row and row[start:stop] for row in scores))
            if value is not None
        )
        for start, stop in compared
    )
    return decision, rationale


def agreement(decision: Sequence[float], rationale: Sequence[float]) -> float | None:
    """Cosine of two maps; None where one of them is as good as empty, or there is one sentence only."""
    if len(decision) < _FEWEST:
        return None
    lengths = [sqrt(fsum(value * value for value in one)) for one in (decision, rationale)]
    if min(lengths) < LEAST:
        return None
    cosine = fsum(a * b for a, b in zip(decision, rationale, strict=True)) / (lengths[0] * lengths[1])
    return max(-1.0, min(1.0, round(cosine, DECIMALS) + 0.0))


def reading(cosine: float | None) -> Literal["cannot tell", "same", "partly", "other"]:
    """Whether decision and rationale hang on the same sentences."""
    if cosine is None:
        return "cannot tell"
    if cosine >= AGREES:
        return "same"
    return "partly" if cosine >= CONFABULATED else "other"


def check_self_explanation(evidence: Evidence) -> None:
    """Raises EvidenceError naming what does not follow. The shapes were checked before."""
    found: SelfExplanation | None = evidence.self_explanation
    compared = parts_to_compare(evidence.parts)
    if (found is None) != (compared is None):
        raise EvidenceError("decision and rationale are compared, or not, against the parts of the answer")
    if found is None or compared is None:
        return
    if any(unit.kind != "sentence" for unit in found.units):
        raise EvidenceError("decision and rationale are not compared by sentences")
    if found.agreement != agreement(*sentence_maps(evidence.answer.base, found.scores, compared)):
        raise EvidenceError("the agreement of decision and rationale does not follow from the scores")
