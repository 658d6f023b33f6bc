"""Log-probabilities to relevance, its ranking and its shares (docs/method.md)."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from attn_audit.evidence.measured import ContrastScore, Evidence
from attn_audit.evidence.records import Scores

DECIMALS = 6
HIGHEST = 5
Table = tuple[tuple[float, ...], ...]  # (pieces, tokens), nats
Values = Sequence[float | None]  # (units,), nats; None: screened, not measured


def relevance(
    base: tuple[float, ...], scores: Scores, contrast: ContrastScore | None = None
) -> tuple[float | None, ...]:
    """Per unit: sum over answer tokens of ``base[t] - scores[u][t]``, nats. Positive: the unit supported the answer.

    With a contrast, less the same sum for that answer: why this one and not that one. None where nothing was measured.
    """
    falls = [None if row is None else _sum(base, row) for row in scores]
    if contrast is not None:
        falls = [
            None if fell is None or row is None else fell - _sum(contrast.base, row)
            for fell, row in zip(falls, contrast.scores, strict=True)
        ]
    return tuple(None if fell is None else _rounded(fell) for fell in falls)


def relevance_of_all(
    base: tuple[float, ...], table: Table, contrast_base: tuple[float, ...] | None, contrast_table: Table | None
) -> tuple[float, ...]:
    """``relevance`` of pieces all of which were measured, less that for the contrast where both of its parts are
    there."""
    other = None
    if contrast_base is not None and contrast_table is not None:
        other = ContrastScore(base=contrast_base, scores=contrast_table)
    return tuple(value for value in relevance(base, table, other) if value is not None)


def fall(base: tuple[float, ...], row: tuple[float, ...]) -> float:
    """What suppressing one piece took off the answer's log-probability: sum over t of ``base[t] - row[t]``, nats."""
    return _rounded(_sum(base, row))


def by_token(base: tuple[float, ...], row: tuple[float, ...]) -> tuple[float, ...]:
    """One unit's relevance for each answer token: ``base[t] - row[t]``, nats."""
    return tuple(before - after for before, after in zip(base, row, strict=True))


def ranking(values: Values) -> tuple[int, ...]:
    """Indices of the measured units, highest relevance first; ties in the order of the text."""
    measured = [(value, index) for index, value in enumerate(values) if value is not None]
    return tuple(index for value, index in sorted(measured, key=lambda one: (-one[0], one[1])))


def places(values: Values) -> dict[int, int]:
    """Unit (index) -> its place among those that supported the answer, from 1; the others have none."""
    supporting = (index for index in ranking(values) if (values[index] or 0.0) > 0)
    return {index: place for place, index in enumerate(supporting, start=1)}


def highest(values: Values) -> tuple[int, ...]:
    """The units (indices) at the top of the ranking that further measurements look into."""
    return ranking(values)[:HIGHEST]


def positive_share(values: Values) -> tuple[float, ...]:
    """Each unit's share of the positive relevance: in [0, 1], 0 where a unit did not support the answer, or was not
    measured."""
    total = fsum(value for value in values if value is not None and value > 0)
    return tuple(value / total if value is not None and value > 0 else 0.0 for value in values)


def below_noise(evidence: Evidence) -> tuple[bool, ...]:
    """For each unit whether its relevance is no larger than what rounding alone did in the same sweep; twice that with
    a contrast, whose own rounding is subtracted. What rounds to nothing at all is not told from zero either way."""
    floor = evidence.sweep.noise * (1 if evidence.contrast is None else 2)
    return tuple(value is not None and 0 < abs(value) <= floor for value in evidence.relevance)


def told_apart(evidence: Evidence) -> Values:
    """The relevance as a map draws it: what is below the noise counts as nothing."""
    return tuple(
        0.0 if noise else value for value, noise in zip(evidence.relevance, below_noise(evidence), strict=True)
    )


def _sum(base: tuple[float, ...], row: tuple[float, ...]) -> float:
    return fsum(by_token(base, row))


def _rounded(value: float) -> float:
    return round(value, DECIMALS) + 0.0
