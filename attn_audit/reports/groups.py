"""Pieces that say alike: what they did one by one, and what they did together."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from attn_audit.evidence.measured import Evidence, Group
from attn_audit.judge.relevance import relevance_of_all
from attn_audit.reports.numbers import nats
from attn_audit.reports.pieces import Piece
from attn_audit.reports.text import shortened

_MOST_GROUPS = 40
_MOST_PIECES = 8
_LENGTH = 60


@dataclass(frozen=True)
class Quoted:
    """A piece of a group. ``name``: kind and name, when the case names it."""

    id: str
    name: str
    text: str


@dataclass(frozen=True)
class GroupRow:
    """Pieces that were hidden together. ``single``: the sum of their own values, empty when one was not measured."""

    pieces: tuple[Quoted, ...]
    left_out: int
    single: str
    together: str


@dataclass(frozen=True)
class Groups:
    """The groups that are printed, strongest first. ``kappa``: the least cosine of two alike, as it was set."""

    rows: tuple[GroupRow, ...]
    left_out: int
    kappa: str


def group_rows(evidence: Evidence, pieces: tuple[Piece, ...]) -> Groups | None:
    """None when no pieces were hidden together. ``pieces``: one for each unit."""
    if not evidence.groups:
        return None
    found = [(together(evidence, group), group) for group in evidence.groups]
    found.sort(key=lambda one: (-abs(one[0]), one[1].units))
    rows = tuple(_row(value, group, evidence, pieces) for value, group in found[:_MOST_GROUPS])
    kappa = next((setting.value for setting in evidence.settings if setting.name == "kappa"), "")
    return Groups(rows, len(found) - len(rows), kappa)


def together(evidence: Evidence, group: Group) -> float:
    """The relevance of all pieces of a group at once, nats."""
    contrast = None if evidence.contrast is None else evidence.contrast.base
    against = None if group.contrast is None else (group.contrast,)
    [value] = relevance_of_all(evidence.answer.base, (group.scores,), contrast, against)
    return value


def _row(value: float, group: Group, evidence: Evidence, pieces: tuple[Piece, ...]) -> GroupRow:
    singles = [evidence.relevance[index] for index in group.units]
    measured = [single for single in singles if single is not None]
    shown = [pieces[index] for index in group.units[:_MOST_PIECES]]
    return GroupRow(
        pieces=tuple(Quoted(piece.id, piece.name, shortened(piece.whole, _LENGTH)) for piece in shown),
        left_out=len(singles) - len(shown),
        single=nats(fsum(measured)) if len(measured) == len(singles) else "",
        together=nats(value),
    )
