"""Pieces that say alike, by the model's own embeddings: what they did one by one, and what they did together."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.checked import Joint
from attn_audit.evidence.measured import Evidence, Group
from attn_audit.judge.relevance import relevance_of_all
from attn_audit.reports.joint import JointRow, joint_rows
from attn_audit.reports.pieces import Piece


@dataclass(frozen=True)
class Groups:
    """The groups that are printed, strongest first. ``kappa``: the least cosine of two alike, as it was set."""

    rows: tuple[JointRow, ...]
    left_out: int
    kappa: str


def group_rows(evidence: Evidence, pieces: tuple[Piece, ...]) -> Groups | None:
    """None when no pieces were hidden together. ``pieces``: one for each unit."""
    if not evidence.groups:
        return None
    found = [Joint(units=group.units, together=together(evidence, group)) for group in evidence.groups]
    rows = joint_rows(found, evidence.relevance, pieces)
    kappa = next((setting.value for setting in evidence.settings if setting.name == "kappa"), "")
    return Groups(rows, len(found) - len(rows), kappa)


def together(evidence: Evidence, group: Group) -> float:
    """The relevance of all pieces of a group at once, nats."""
    contrast = None if evidence.contrast is None else evidence.contrast.base
    against = None if group.contrast is None else (group.contrast,)
    [value] = relevance_of_all(evidence.answer.base, (group.scores,), contrast, against)
    return value
