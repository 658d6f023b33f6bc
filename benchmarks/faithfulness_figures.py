"""A map and the labels of its units to figures, and figures over items to means with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

RESAMPLES = 10_000
_LEVELS = (2.5, 97.5)  # per cent: an interval of 95 %
Values = Sequence[float | None]  # (units,); None: the method gave none
Labels = Sequence[bool]


def average_precision(order: Sequence[int], labels: Labels) -> float:
    """The mean, over the labelled units, of the share of labelled ones among all that rank at least as high."""
    found, shares = 0, []
    for rank, unit in enumerate(order, start=1):
        if labels[unit]:
            found += 1
            shares.append(found / rank)
    return fmean(shares)


def reciprocal_rank(order: Sequence[int], labels: Labels) -> float:
    """1 / the rank of the first labelled unit (Yin and Neubig 2022)."""
    return 1 / next(rank for rank, unit in enumerate(order, start=1) if labels[unit])


def top1(order: Sequence[int], labels: Labels) -> float:
    """Whether a labelled unit ranks first."""
    return float(labels[order[0]])


def precision(values: Values, labels: Labels) -> float:
    """sum(x y) / sum(x), x the scores with negative ones as 0, y the labels (Deiseroth et al. 2023, table 1a); 0 where
    no score is positive."""
    x = _clipped(values)
    return sum(one for one, label in zip(x, labels, strict=True) if label) / (sum(x) or 1.0)


def recall(values: Values, labels: Labels) -> float:
    """sum((x / max x) y) / sum(y), of the same source."""
    x = _clipped(values)
    return sum(one for one, label in zip(x, labels, strict=True) if label) / ((max(x) or 1.0) * sum(labels))


def _clipped(values: Values) -> list[float]:
    return [max(value or 0.0, 0.0) for value in values]


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter (rounded down) of the values."""
    each = len(values) // 4
    return fmean(sorted(values)[each : len(values) - each])


def interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """Of the mean, 95 %: percentiles of its bootstrap distribution over the items (Efron 1979)."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.asarray(values)[drawn].mean(axis=1), _LEVELS)
    return float(low), float(high)
