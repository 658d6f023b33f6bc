"""Relevance to rows: the ranking of the measured pieces, its ends, and the pieces that the case names."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.measured import Evidence
from attn_audit.judge.joint import MUCH
from attn_audit.judge.relevance import below_noise, positive_share, ranking, told_apart
from attn_audit.judge.screening import direct_relevance
from attn_audit.reports.heatmap import NOT_MEASURED, largest, level
from attn_audit.reports.numbers import nats, share
from attn_audit.reports.pieces import Piece
from attn_audit.words import say, translated

TOP = 5
AGAINST = 2
_ALL_ROWS = 200
_FIRST_ROWS = 100
_LAST_ROWS = 20
_BAR = 100.0  # width of one half of a bar, in units of its viewBox


@dataclass(frozen=True)
class UnitRow:
    """One measured piece. ``index``: its unit; ``direct``: empty when the direct effect was not measured;
    ``noise``: the value is no larger than what rounding did.

    ``bar_start`` and ``bar_width`` lie on 0..200, with zero relevance at 100.
    """

    rank: int
    index: int
    piece: Piece
    relevance: float
    level: int
    noise: bool
    nats: str
    share: str
    direct: str
    bar_start: str
    bar_width: str


@dataclass(frozen=True)
class NamedRow:
    """A piece that the case names, wherever it stands in the ranking."""

    piece: Piece
    nats: str
    share: str
    rank: str
    in_words: str


@dataclass(frozen=True)
class Ranking:
    """The rows that are printed: all, or the first and the last of many. ``unmeasured`` pieces have no row."""

    first: tuple[UnitRow, ...]
    last: tuple[UnitRow, ...]
    left_out: int
    measured: int
    unmeasured: int
    direct: bool


def unit_rows(evidence: Evidence, pieces: tuple[Piece, ...]) -> tuple[UnitRow, ...]:
    """All measured units, highest relevance first. ``pieces``: one for each unit."""
    values = evidence.relevance
    shares = positive_share(values)
    direct = _direct(evidence)
    noise, top = below_noise(evidence), largest(told_apart(evidence))
    measured = [(index, value) for index in ranking(values) if (value := values[index]) is not None]
    return tuple(
        _row(rank, (index, pieces[index]), value, top, shares[index], direct[index], noise=noise[index])
        for rank, (index, value) in enumerate(measured, start=1)
    )


def shown_ranking(evidence: Evidence, rows: tuple[UnitRow, ...]) -> Ranking:
    """What of the rows is printed."""
    many = len(rows) > _ALL_ROWS
    return Ranking(
        first=rows[:_FIRST_ROWS] if many else rows,
        last=rows[-_LAST_ROWS:] if many else (),
        left_out=len(rows) - _FIRST_ROWS - _LAST_ROWS if many else 0,
        measured=len(rows),
        unmeasured=len(evidence.units) - len(rows),
        direct=evidence.direct is not None,
    )


def named_rows(evidence: Evidence, pieces: tuple[Piece, ...], rows: tuple[UnitRow, ...]) -> tuple[NamedRow, ...]:
    """The pieces that the case names, highest first, then those that were not measured."""
    total = len(rows)
    named = {index for index, unit in enumerate(evidence.units) if unit.name is not None}
    ranked = tuple(
        NamedRow(row.piece, row.nats, row.share, say("%(rank)s of %(all)s", rank=row.rank, all=total), _in_words(row))
        for row in rows
        if row.index in named
    )
    unmeasured = sorted(named - {row.index for row in rows})
    return ranked + tuple(NamedRow(pieces[index], translated(NOT_MEASURED), "", "", "") for index in unmeasured)


def supporting(rows: tuple[UnitRow, ...]) -> tuple[UnitRow, ...]:
    """The highest rows that supported the answer."""
    return tuple(row for row in rows[:TOP] if row.relevance > 0 and not row.noise)


def opposing(rows: tuple[UnitRow, ...]) -> tuple[UnitRow, ...]:
    """The lowest rows that spoke against the answer, strongest first, when they are strong enough to be coloured."""
    return tuple(row for row in rows[::-1][:AGAINST] if row.level < 0)


def _in_words(row: UnitRow) -> str:
    if row.noise:
        return say("not told from rounding")
    if row.level < 0:
        return say("spoke against the answer")
    if row.level == 0:
        return say("hardly mattered alone") if abs(row.relevance) < MUCH else say("small beside the strongest piece")
    return say("among what drove the answer most") if row.rank <= TOP else say("supported the answer")


def _direct(evidence: Evidence) -> tuple[str, ...]:
    if evidence.direct is None:
        return ("",) * len(evidence.units)
    contrast = None if evidence.contrast is None else evidence.contrast.base
    return tuple(nats(value) for value in direct_relevance(evidence.answer.base, evidence.direct, contrast))


def _row(
    rank: int, piece: tuple[int, Piece], value: float, top: float, part: float, direct: str, *, noise: bool
) -> UnitRow:
    width = _BAR * abs(value) / top if top else 0.0
    return UnitRow(
        rank=rank,
        index=piece[0],
        piece=piece[1],
        relevance=value,
        level=0 if noise else level(value, top),
        noise=noise,
        nats=nats(value),
        share=share(part) if value > 0 else "",
        direct=direct,
        bar_start=f"{_BAR - width if value < 0 else _BAR:.1f}",
        bar_width=f"{width:.1f}",
    )
