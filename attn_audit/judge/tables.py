"""Every table of log-probabilities in a record, with the size that it must have."""

from __future__ import annotations

from collections.abc import Iterator

from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Scores

NamedTable = tuple[str, Scores, int, int]  # name in evidence.json, rows, how many rows and columns it must have


def tables(evidence: Evidence) -> Iterator[NamedTable]:
    """Rows are units or pieces, columns the tokens of the answer, or of the contrast; without one it has no tokens."""
    units, tokens = len(evidence.units), len(evidence.answer.base)
    others = 0 if evidence.contrast is None else len(evidence.contrast.base)
    yield "scores", evidence.scores, units, tokens
    if evidence.contrast is not None:
        yield "contrast.scores", evidence.contrast.scores, units, others
    if (direct := evidence.direct) is not None:
        yield "direct.scores", direct.scores, units, tokens
        if direct.contrast is not None:
            yield "direct.contrast", direct.contrast, units, others
    for number, group in enumerate(evidence.groups):
        yield f"groups[{number}].scores", (group.scores,), 1, tokens
        if group.contrast is not None:
            yield f"groups[{number}].contrast", (group.contrast,), 1, others
    if (profile := evidence.profile) is not None:
        for band, table in enumerate(profile.scores):
            yield f"profile.scores[{band}]", table, len(profile.units), tokens
    if (explained := evidence.self_explanation) is not None:
        yield "self_explanation.scores", explained.scores, len(explained.units), tokens
    if (sources := evidence.answer_sources) is not None:
        yield "answer_sources.scores", sources.scores, len(sources.units), tokens
