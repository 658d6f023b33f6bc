"""Pieces that were hidden together: what they did one by one, what they did together, and what that says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from attn_audit.evidence.checked import Joint
from attn_audit.judge.joint import Reading, reading, singles
from attn_audit.judge.relevance import Values
from attn_audit.reports.numbers import nats
from attn_audit.reports.pieces import Piece
from attn_audit.reports.text import shortened
from attn_audit.words import noted, say

_MOST_ROWS = 40
_MOST_PIECES = 8
_LENGTH = 60
_IN_WORDS: Mapping[Reading, str] = {
    "decide": noted("These %(count)s pieces carry the same information: alone each looks weak, together they decide."),
    "stand in": noted(
        "These %(count)s pieces stand in for each other: each alone does less than its part of what all do."
    ),
    "needed together": noted(
        "These %(count)s pieces are needed together: losing one does much of what losing all does."
    ),
    "add up": noted("These %(count)s pieces act about independently: their values roughly add up."),
    "speak against": noted("These %(count)s pieces speak against the answer together."),
    "hardly matter": noted("These %(count)s pieces hardly matter, alone or together."),
}


@dataclass(frozen=True)
class Quoted:
    """A piece of a group. ``name``: kind and name, when the case names it."""

    id: str
    name: str
    text: str


@dataclass(frozen=True)
class JointRow:
    """Pieces that were hidden together. ``single``: the sum of their own values, empty when one was not measured;
    ``alone`` and ``both``: the same as ``single`` and ``together``, nats, for the figures."""

    pieces: tuple[Quoted, ...]
    left_out: int
    single: str
    together: str
    in_words: str
    alone: float | None
    both: float


def joint_row(joint: Joint, relevance: Values, pieces: tuple[Piece, ...]) -> JointRow:
    """``pieces``: one for each unit."""
    shown = [pieces[index] for index in joint.units[:_MOST_PIECES]]
    values = singles(joint, relevance)
    alone = None if values is None else fsum(values)
    return JointRow(
        pieces=tuple(Quoted(piece.id, piece.name, shortened(piece.whole, _LENGTH)) for piece in shown),
        left_out=len(joint.units) - len(shown),
        single="" if alone is None else nats(alone),
        together=nats(joint.together),
        in_words=in_words(reading(joint, relevance), len(joint.units)),
        alone=alone,
        both=joint.together,
    )


def joint_rows(found: Sequence[Joint], relevance: Values, pieces: tuple[Piece, ...]) -> tuple[JointRow, ...]:
    """Those that are printed, the largest effect first."""
    ordered = sorted(found, key=lambda joint: (-abs(joint.together), joint.units))
    return tuple(joint_row(joint, relevance, pieces) for joint in ordered[:_MOST_ROWS])


def in_words(found: Reading, count: int) -> str:
    """One sentence about ``count`` pieces; none where they were not measured."""
    return say(_IN_WORDS[found], count=count) if found in _IN_WORDS else ""
