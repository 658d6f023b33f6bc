"""Units to pieces: what every table, list and map calls a unit, and its text among the words around it."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.measured import Evidence, Unit
from attn_audit.evidence.records import Content
from attn_audit.reports.fit import check_lengths
from attn_audit.reports.spans import Extract, Fragment, fragments, unit_extracts
from attn_audit.reports.text import exact, name, shortened

_LENGTH = 200


@dataclass(frozen=True)
class Piece:
    """A unit as a reader sees it. ``name``: kind and name as shown, when the case names it; ``where``: its messages.

    ``text`` is cut to size, ``whole`` is not; ``before`` and ``after``: the words around a short text; ``cut``: the
    unit divides a character.
    """

    id: str
    name: str
    where: str
    text: str
    whole: str
    before: str
    after: str
    cut: bool


def fitting(content: Content, evidence: Evidence) -> tuple[tuple[tuple[Fragment, ...], ...], tuple[Piece, ...]]:
    """The runs of each message and the pieces, of two records that fit together. Raises EvidenceError where they do
    not."""
    check_lengths(content, evidence)
    runs = fragments(content, evidence)
    return runs, pieces_of(content, evidence)


def pieces_of(content: Content, evidence: Evidence) -> tuple[Piece, ...]:
    """One for each unit, in the order of the evidence. Lengths and spans must have been checked."""
    extracts = unit_extracts(content, evidence)
    return tuple(_piece(unit, extract, content) for unit, extract in zip(evidence.units, extracts, strict=True))


def _piece(unit: Unit, extract: Extract, content: Content) -> Piece:
    return Piece(
        id=exact(unit.id),
        name=f"{unit.kind} {name(unit.name)}" if unit.name is not None else "",
        where=_where(unit, content),
        text=shortened(extract.text, _LENGTH),
        whole=extract.text,
        before=extract.before,
        after=extract.after,
        cut=extract.cut,
    )


def _where(unit: Unit, content: Content) -> str:
    numbers = sorted({span.message for span in unit.spans})
    return ", ".join(f"{number + 1} {content.case.messages[number].role}" for number in numbers)
