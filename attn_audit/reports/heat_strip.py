"""Relevance to a heat strip: the whole input in one line, a thin column for each piece, in the order of the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from attn_audit.evidence.measured import Evidence
from attn_audit.judge.relevance import Values, told_apart
from attn_audit.reports.heatmap import largest
from attn_audit.reports.numbers import nats
from attn_audit.reports.pieces import Piece

COLUMNS = 120
HEIGHT = 10  # of the highest column, in units of the viewBox; the middle line is at this height, too
_DRAWN_FROM = 0.05  # of the largest absolute value, as in the heat-map
_TICK = 2 * HEIGHT + 2


@dataclass(frozen=True)
class Strip:
    """A strip on a grid that is ``columns`` wide, as the data of SVG paths, each empty where nothing is drawn.

    ``above``, ``below``: pieces for and against the answer; ``axis``: the middle line, where something was measured;
    ``ticks``: under what the case or a policy names. ``strongest``: number of the piece, in the order of the text, its
    value and its words; 0 and empty where none stands out.
    """

    columns: int
    pieces: int
    above: str
    below: str
    axis: str
    ticks: str
    strongest: int
    nats: str
    words: str


@dataclass(frozen=True)
class _Column:
    above: int
    below: int
    measured: bool
    named: bool


def heat_strip(evidence: Evidence, pieces: tuple[Piece, ...]) -> Strip:
    """At most COLUMNS columns: where there are more pieces, neighbours share one, which shows the highest of them above
    the line and the lowest below it. ``pieces``: one for each unit."""
    values, order = told_apart(evidence), _in_order(evidence)
    top = largest(values)
    width = max(1, ceil(len(order) / COLUMNS))
    named = _named(evidence)
    columns = [_column(order[at : at + width], values, top, named) for at in range(0, len(order), width)]
    first = max(order, key=lambda index: abs(values[index] or 0.0), default=None) if top else None
    return Strip(
        columns=len(columns),
        pieces=len(order),
        above=_upright((column.above for column in columns), HEIGHT, "v-"),
        below=_upright((column.below for column in columns), HEIGHT, "v"),
        axis=_level([column.measured for column in columns]),
        ticks=_upright((3 * column.named for column in columns), _TICK, "v"),
        strongest=0 if first is None else order.index(first) + 1,
        nats="" if first is None else nats(values[first] or 0.0),
        words="" if first is None else pieces[first].text,
    )


def _in_order(evidence: Evidence) -> list[int]:
    """The units (indices) in the order of the text."""
    starts = [min(((span.message, span.start) for span in unit.spans), default=(0, 0)) for unit in evidence.units]
    return sorted(range(len(starts)), key=starts.__getitem__)


def _named(evidence: Evidence) -> frozenset[int]:
    """The units (indices) that the case or one of its policies names."""
    of_the_case = {index for index, unit in enumerate(evidence.units) if unit.name is not None}
    return frozenset(of_the_case.union(*(finding.units for finding in evidence.findings)))


def _column(units: Sequence[int], values: Values, top: float, named: frozenset[int]) -> _Column:
    found = [value for index in units if (value := values[index]) is not None]
    return _Column(
        above=_height(max(found, default=0.0), top),
        below=_height(-min(found, default=0.0), top),
        measured=bool(found),
        named=not named.isdisjoint(units),
    )


def _height(value: float, top: float) -> int:
    return max(1, round(HEIGHT * value / top)) if value > 0 and value >= _DRAWN_FROM * top else 0


def _upright(heights: Iterable[int], start: int, move: str) -> str:
    """Lines up or down from a height, one for each column that has one."""
    return "".join(f"M{at} {start}{move}{height}" for at, height in enumerate(heights) if height)


def _level(drawn: Sequence[bool]) -> str:
    """The middle line under each run of columns that have it."""
    edges = [at for at in range(len(drawn) + 1) if (at > 0 and drawn[at - 1]) != (at < len(drawn) and drawn[at])]
    return "".join(f"M{a - 0.5:g} {HEIGHT}H{b - 0.5:g}" for a, b in zip(edges[::2], edges[1::2], strict=True))
