"""Values to the geometry of small figures: pairs of bars on one scale, and strips of columns around a zero line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attn_audit.reports.joint import JointRow

_WIDTH = 200.0  # of a pair of bars, in units of its viewBox
_HEIGHT = 24.0  # of a strip
_LEAST = 0.5  # a bar or column of nothing is still seen


@dataclass(frozen=True)
class Bar:
    """One bar or column: where it begins and how long it is, in units of the figure."""

    start: str
    length: str
    negative: bool


@dataclass(frozen=True)
class Pair:
    """The two bars of a row; ``single`` is None where not all pieces were measured. ``zero``: the zero line."""

    zero: str
    single: Bar | None
    together: Bar


@dataclass(frozen=True)
class Strip:
    """One column for each value, on a zero line."""

    zero: str
    columns: tuple[Bar, ...]


def pairs(rows: Sequence[JointRow]) -> tuple[Pair, ...]:
    """One for each row, all on one scale that fills the width."""
    values = [value for row in rows for value in (row.alone, row.both) if value is not None]
    low, high = _ends(values)
    return tuple(
        Pair(
            zero=_at(0.0, low, high, _WIDTH),
            single=None if row.alone is None else _bar(row.alone, low, high, _WIDTH),
            together=_bar(row.both, low, high, _WIDTH),
        )
        for row in rows
    )


def strips(rows: Sequence[Sequence[float]]) -> tuple[Strip, ...]:
    """One for each row, all on one scale that fills the height; columns of positive values stand on the zero line."""
    low, high = _ends([-value for row in rows for value in row])
    return tuple(Strip(_at(0.0, low, high, _HEIGHT), tuple(_column(value, low, high) for value in row)) for row in rows)


def _column(value: float, low: float, high: float) -> Bar:
    bar = _bar(-value, low, high, _HEIGHT)
    return Bar(bar.start, bar.length, negative=value < 0)


def _bar(value: float, low: float, high: float, size: float) -> Bar:
    length = max(_LEAST, size * abs(value) / (high - low))
    start = min(size * (min(0.0, value) - low) / (high - low), size - length)
    return Bar(f"{start:.1f}", f"{length:.1f}", negative=value < 0)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of a scale that holds all values and zero."""
    low, high = min([0.0, *values]), max([0.0, *values])
    return (low, high) if high > low else (0.0, 1.0)


def _at(value: float, low: float, high: float, size: float) -> str:
    return f"{min(size * (value - low) / (high - low), size - 1):.1f}"
