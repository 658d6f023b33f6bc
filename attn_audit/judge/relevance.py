"""Log-probabilities to relevance, its ranking and its shares (docs/method.md)."""

from __future__ import annotations

from math import fsum

from attn_audit.evidence.records import ContrastScore

DECIMALS = 6


def relevance(
    base: tuple[float, ...], scores: tuple[tuple[float, ...], ...], contrast: ContrastScore | None = None
) -> tuple[float, ...]:
    """Per unit: sum over answer tokens of ``base[t] - scores[u][t]``, nats. Positive: the unit supported the answer.

    With a contrast, less the same sum for that answer: why this one and not that one.
    """
    if contrast is None:
        return tuple(round(fsum(by_token(base, row)), DECIMALS) + 0.0 for row in scores)
    return tuple(
        round(fsum(by_token(base, row)) - fsum(by_token(contrast.base, other)), DECIMALS) + 0.0
        for row, other in zip(scores, contrast.scores, strict=True)
    )


def by_token(base: tuple[float, ...], row: tuple[float, ...]) -> tuple[float, ...]:
    """One unit's relevance for each answer token: ``base[t] - row[t]``, nats."""
    return tuple(before - after for before, after in zip(base, row, strict=True))


def ranking(values: tuple[float, ...]) -> tuple[int, ...]:
    """Indices of the units, highest relevance first; ties in the order of the text."""
    return tuple(sorted(range(len(values)), key=lambda index: (-values[index], index)))


def positive_share(values: tuple[float, ...]) -> tuple[float, ...]:
    """Each unit's share of the positive relevance: in [0, 1], 0 where a unit did not support the answer."""
    total = fsum(value for value in values if value > 0)
    return tuple(value / total if value > 0 else 0.0 for value in values)
