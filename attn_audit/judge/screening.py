"""Which units are worth an exact measurement, by cheap looks at all of them (docs/method.md, "Screening").

The slope of the answer in the attention to a unit misses what cancels out between heads, the strength with which it
hangs on the unit's hidden states misses what is hardly read; a unit is promising when either of the two ranks it high.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from attn_audit.evidence.measured import DirectEffect, Unit
from attn_audit.judge.relevance import Values, relevance_of_all

SHARE = 0.25  # of the units that the case does not name, where no limit of seconds says otherwise


def direct_relevance(
    base: tuple[float, ...], direct: DirectEffect, contrast: tuple[float, ...] | None
) -> tuple[float, ...]:
    """(units,) nats. ``contrast``: the base of the other answer, where there is one."""
    return relevance_of_all(base, direct.scores, contrast, direct.contrast)


def looks(gradient: Values | None, states: Values | None, direct: Values | None) -> tuple[Values, ...]:
    """What units are chosen by: the two gradients, or as many as there are; else the direct effect."""
    found = tuple(look for look in (gradient, states) if look is not None)
    return found or tuple(look for look in (direct,) if look is not None)


def promising(units: Sequence[Unit], looks: Sequence[Values]) -> tuple[int, ...]:
    """All units in the order in which they are measured: those the case names, in the order of the text, then the
    others by the better of their ranks by size in ``looks``, each (units,); ties by the other rank, then the text."""
    ranks = [_ranks(look) for look in looks]
    named = [index for index, unit in enumerate(units) if unit.name is not None]
    others = sorted(
        (index for index, unit in enumerate(units) if unit.name is None),
        key=lambda index: (sorted(rank[index] for rank in ranks), index),
    )
    return (*named, *others)


def share_of(units: Sequence[Unit]) -> int:
    """How many units are measured where no limit of seconds says otherwise."""
    named = sum(unit.name is not None for unit in units)
    return named + ceil(SHARE * (len(units) - named))


def _ranks(values: Values) -> list[int]:
    """Each unit's place (from 0) by absolute value, largest first."""
    ordered = sorted(range(len(values)), key=lambda index: (-abs(values[index] or 0.0), index))
    places = [0] * len(values)
    for place, index in enumerate(ordered):
        places[index] = place
    return places
