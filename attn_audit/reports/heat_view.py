"""Records to the whole heat-map: messages, legend, the choice of answer tokens, and the passages of a long case."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.reports.heatmap import LegendStep, MessageView, legend, message_views
from attn_audit.reports.passages import Passage, is_long, passages
from attn_audit.reports.pieces import Piece
from attn_audit.reports.spans import Fragment
from attn_audit.reports.token_map import TokenMap, token_map


@dataclass(frozen=True)
class HeatView:
    """``long``: the passages come first and the map behind them."""

    messages: tuple[MessageView, ...]
    legend: tuple[LegendStep, ...]
    tokens: TokenMap
    long: bool
    passages: tuple[Passage, ...]


def heat_view(
    content: Content, evidence: Evidence, drawn: tuple[tuple[Fragment, ...], ...], pieces: tuple[Piece, ...]
) -> HeatView:
    """``drawn``: the runs of each message; ``pieces``: one for each unit."""
    tokens, classes = token_map(content, evidence, pieces)
    messages = message_views(content, evidence, drawn, classes)
    long = is_long(messages)
    found: tuple[Passage, ...] = ()
    if long:
        messages, found = passages(messages)
    return HeatView(messages, legend(evidence), tokens, long, found)
