"""The answer token by token: how probable each was, and which piece of the input supported it most."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.judge.relevance import by_token
from attn_audit.reports.numbers import nats, probability
from attn_audit.reports.pieces import Piece
from attn_audit.reports.spans import Extract, token_extracts
from attn_audit.reports.text import shortened

_ROWS = 200
_LENGTH = 60


@dataclass(frozen=True)
class TokenRow:
    """One answer token, with the unit that supported it most; ``top_text`` and ``top_nats`` are empty when none did."""

    number: int
    text: str
    cut: bool
    log_probability: str
    probability: str
    top_id: str
    top_text: str
    top_nats: str


@dataclass(frozen=True)
class Tokens:
    """The answer tokens that are printed."""

    rows: tuple[TokenRow, ...]
    left_out: int


def token_rows(content: Content, evidence: Evidence, pieces: tuple[Piece, ...]) -> Tokens:
    """``pieces``: one for each unit; those that were not measured are passed over."""
    measured = [
        (by_token(evidence.answer.base, row), piece)
        for row, piece in zip(evidence.scores, pieces, strict=True)
        if row is not None
    ]
    tokens = zip(token_extracts(content), evidence.answer.base, strict=True)
    rows = tuple(
        _token(t, extract, base, _highest(t, measured)) for t, (extract, base) in enumerate(tokens) if t < _ROWS
    )
    return Tokens(rows, len(evidence.answer.base) - len(rows))


def _highest(t: int, measured: list[tuple[tuple[float, ...], Piece]]) -> tuple[float, Piece] | None:
    """The piece that supported token ``t`` most, the first of equals, and by how many nats; None when none did."""
    best = max(measured, key=lambda one: one[0][t], default=None)
    return (best[0][t], best[1]) if best is not None and best[0][t] > 0 else None


def _token(t: int, extract: Extract, base: float, top: tuple[float, Piece] | None) -> TokenRow:
    return TokenRow(
        number=t + 1,
        text=extract.text,
        cut=extract.cut,
        log_probability=nats(base),
        probability=probability(base),
        top_id=top[1].id if top else "",
        top_text=shortened(top[1].whole, _LENGTH) if top else "",
        top_nats=nats(top[0]) if top else "",
    )
