"""Pieces of two inputs that stand for each other, and how far the share of each moved (docs/diff.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.store import Measured
from attn_audit.judge.alignment import Aligned, align
from attn_audit.judge.policies import share_of
from attn_audit.judge.relevance import DECIMALS, places, positive_share, told_apart

LEAST = 0.0005  # of a share: what a view writes as a tenth of a percentage point or more
T = TypeVar("T")
Both = tuple[T, T]  # of the first audit, of the second


@dataclass(frozen=True)
class Moved:
    """Pieces that stand for each other, or one that only one input has. ``shares``: of the positive relevance;
    ``places``: the best among the pieces that supported the answer, from 1. None where the side has no such piece, did
    not measure it, or, for a place, where it did not support the answer."""

    aligned: Aligned
    shares: Both[float | None]
    places: Both[int | None]

    @property
    def change(self) -> float:
        """Share after less share before; a piece that is not there has none."""
        before, after = self.shares
        return round((after or 0.0) - (before or 0.0), DECIMALS)


@dataclass(frozen=True)
class _Map:
    """Each unit's share of the positive relevance, its place among those that supported the answer, and which were
    measured."""

    shares: tuple[float, ...]
    places: Mapping[int, int]
    measured: frozenset[int]

    def share(self, units: Iterable[int]) -> float | None:
        found = [unit for unit in units if unit in self.measured]
        return share_of(found, self.shares) if found else None

    def place(self, units: Iterable[int]) -> int | None:
        return min((self.places[unit] for unit in units if unit in self.places), default=None)


def _map(evidence: Evidence) -> _Map:
    values = told_apart(evidence)
    return _Map(
        shares=positive_share(values),
        places=places(values),
        measured=frozenset(unit for unit, value in enumerate(values) if value is not None),
    )


def compared(first: Measured, second: Measured) -> Iterator[Moved | None]:
    """Every piece of both, in the order of the text; None for one that was measured in one of the audits only."""
    before, after = _map(first[1]), _map(second[1])
    for aligned in align(first[1].units, first[0].case.messages, second[1].units, second[0].case.messages):
        shares = before.share(aligned.first), after.share(aligned.second)
        known = [share is not None or not units for share, units in zip(shares, _sides(aligned), strict=True)]
        places = before.place(aligned.first), after.place(aligned.second)
        yield Moved(aligned, shares, places) if all(known) else None


def _sides(aligned: Aligned) -> Both[tuple[int, ...]]:
    return aligned.first, aligned.second
