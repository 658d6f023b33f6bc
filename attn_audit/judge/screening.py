"""Which units are worth an exact measurement, by a cheap look at all of them (docs/method.md, "Screening")."""

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


def promising(units: Sequence[Unit], look: Values) -> tuple[int, ...]:
    """All units in the order in which they are measured: those the case names, in the order of the text, then the
    others by size in ``look``, (units,); ties in the order of the text."""
    named = [index for index, unit in enumerate(units) if unit.name is not None]
    others = [index for index, unit in enumerate(units) if unit.name is None]
    return (*named, *sorted(others, key=lambda index: (-abs(look[index] or 0.0), index)))


def share_of(units: Sequence[Unit]) -> int:
    """How many units are measured where no limit of seconds says otherwise."""
    named = sum(unit.name is not None for unit in units)
    return named + ceil(SHARE * (len(units) - named))
