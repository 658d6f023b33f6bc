"""The pieces that moved between two audits, as text among the words around them, with figures written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Content, Span
from attn_audit.judge.difference import Texts
from attn_audit.judge.movement import Both, Moved
from attn_audit.reports.numbers import points, share
from attn_audit.reports.spans import Characters
from attn_audit.reports.text import name

NONE = "–"
PieceKind = Literal["same text", "other text", "new", "gone"]
_BETWEEN = " … "
_JOINED = 12  # characters without a letter that may stand between two words of one passage


@dataclass(frozen=True)
class Quoted:
    """A piece, or a passage of several, as one input has it: its name where the case gives one, and the words around a
    short text."""

    name: str
    before: str
    text: str
    after: str


@dataclass(frozen=True)
class PieceRow:
    """A piece that moved; of equal texts ``quoted`` holds the second alone, else each that there is."""

    kind: PieceKind
    change: str
    shares: Both[str]
    places: Both[str]
    quoted: tuple[tuple[str, Quoted], ...]


def piece_rows(texts: Texts, moved: Sequence[Moved]) -> tuple[PieceRow, ...]:
    """One for each of ``moved``, in their order."""
    quoting = [_Quoting(content, evidence.units) for content, evidence in texts.measured]
    return tuple(_piece(one, quoting) for one in moved)


def _piece(moved: Moved, quoting: Sequence[_Quoting]) -> PieceRow:
    aligned = moved.aligned
    sides = [(side, units) for side, units in zip("AB", (aligned.first, aligned.second), strict=True) if units]
    quoted = [(side, quoting["AB".index(side)].of(units)) for side, units in sides]
    kind: PieceKind = "same text" if aligned.same else "other text"
    if len(sides) == 1:
        kind = "gone" if sides[0][0] == "A" else "new"
    return PieceRow(
        kind=kind,
        change=points(moved.change),
        shares=(_share(moved.shares[0]), _share(moved.shares[1])),
        places=(_place(moved.places[0]), _place(moved.places[1])),
        quoted=tuple([("", quoted[-1][1])] if kind == "same text" else quoted),
    )


def _share(value: float | None) -> str:
    return NONE if value is None else share(value)


def _place(value: int | None) -> str:
    return NONE if value is None else str(value)


class _Quoting:
    """The pieces of one input as text."""

    def __init__(self, content: Content, units: Sequence[Unit]) -> None:
        self._units = units
        self._characters = [Characters(message.content) for message in content.case.messages]

    def of(self, units: Sequence[int]) -> Quoted:
        """One piece, or a passage. Words of a passage are joined where nothing but marks stands between them."""
        found = [self._units[unit] for unit in units]
        names = dict.fromkeys(f"{one.kind} {name(one.name)}" for one in found if one.name is not None)
        spans = sorted(
            (span for unit in units for span in self._units[unit].spans), key=lambda one: (one.message, one.start)
        )
        runs = self._runs(spans)
        named = ", ".join(names)
        if len(runs) == 1:
            text = self._characters[runs[0].message].extract_in_context(runs[0].start, runs[0].end)
            return Quoted(named, text.before, text.text, text.after)
        every = (self._characters[run.message].extract(run.start, run.end).text for run in runs)
        return Quoted(named, "", _BETWEEN.join(every), "")

    def _runs(self, spans: Sequence[Span]) -> list[Span]:
        runs = list(spans[:1])
        for last, span in pairwise(spans):
            between = self._characters[last.message].text[last.end : span.start]
            if last.message == span.message and len(between) <= _JOINED and not any(map(str.isalnum, between)):
                runs[-1] = Span(message=span.message, start=runs[-1].start, end=max(runs[-1].end, span.end))
            else:
                runs.append(span)
        return runs
