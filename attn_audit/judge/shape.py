"""Whether content and evidence fit together at all: lengths, ranges and positions."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.records import Content, Evidence, Unit

_LOWEST = -3.5e38  # nats; a sum of many such values is still a number in double precision
_ROUNDING = 1e-3  # nats above 0 that the rounding of a float32 sum can explain


def check_shape(content: Content, evidence: Evidence) -> None:
    """Scores are log-probabilities (units, answer tokens), spans lie in their messages, every prompt position is in one
    unit or frozen. Raises EvidenceError naming what does not fit.
    """
    tokens = len(content.answer.ids)
    length = len(content.prompt.ids)
    units = len(evidence.units)
    if not len(evidence.answer.base) == tokens == len(content.answer.offsets):
        raise EvidenceError("the base log-probabilities are not one for each answer token")
    if not len(evidence.scores) == len(evidence.relevance) == units:
        raise EvidenceError("the scores are not one row for each unit")
    if any(len(row) != tokens for row in evidence.scores):
        raise EvidenceError("a row of scores is not one number for each answer token")
    _check_contrast(content, evidence)
    _check_log_probabilities(evidence)
    if length != len(content.prompt.offsets):
        raise EvidenceError("the prompt's offsets are not one for each token")
    _check_offsets(content.prompt.offsets, len(content.prompt.rendered), "the prompt's")
    _check_offsets(content.answer.offsets, len(content.answer.text), "the answer's")
    _check_positions([run for unit in evidence.units for run in unit.runs] + list(evidence.frozen), length)
    _check_spans(evidence.units, tuple(len(message.content) for message in content.case.messages))


def _check_contrast(content: Content, evidence: Evidence) -> None:
    said, measured = content.contrast, evidence.contrast
    if (said is None) != (measured is None):
        raise EvidenceError("the contrast is in the content or in the evidence, but not in both")
    if said is None or measured is None:
        return
    tokens = len(said.ids)
    if not len(measured.base) == tokens == len(said.offsets) or len(measured.scores) != len(evidence.units):
        raise EvidenceError("the contrast's log-probabilities are not one row for each unit, one for each token")
    if any(len(row) != tokens for row in measured.scores):
        raise EvidenceError("a row of the contrast's scores is not one number for each of its tokens")
    _check_offsets(said.offsets, len(said.text), "the contrast's")


def _check_log_probabilities(evidence: Evidence) -> None:
    observed = evidence.answer.observed
    values = chain(
        evidence.answer.base,
        *evidence.scores,
        () if observed is None else (observed.log_probability,),
        *(() if evidence.contrast is None else (evidence.contrast.base, *evidence.contrast.scores)),
    )
    if any(not _LOWEST <= value <= _ROUNDING for value in values):
        raise EvidenceError("a score is not a log-probability: it is above 0, or below what float32 can hold")


def _check_offsets(offsets: Iterable[tuple[int, int]], length: int, whose: str) -> None:
    if any(not 0 <= start <= end <= length for start, end in offsets):
        raise EvidenceError(f"{whose} offsets leave its text")


def _check_positions(runs: list[tuple[int, int]], length: int) -> None:
    at = 0
    for start, stop in sorted(runs):
        if start != at or stop <= start:
            raise EvidenceError("units and frozen tokens do not cover each prompt position once")
        at = stop
    if at != length:
        raise EvidenceError("units and frozen tokens do not cover each prompt position once")


def _check_spans(units: tuple[Unit, ...], lengths: tuple[int, ...]) -> None:
    taken: dict[int, list[tuple[int, int]]] = {}
    for unit in units:
        if not unit.spans or not unit.runs:
            raise EvidenceError(f"unit {unit.id!r:.20} has no text or no position")
        for span in unit.spans:
            if span.message >= len(lengths) or not span.start < span.end <= lengths[span.message]:
                raise EvidenceError(f"unit {unit.id!r:.20} has a span outside its message")
            taken.setdefault(span.message, []).append((span.start, span.end))
    for spans in taken.values():
        at = 0
        for start, end in sorted(spans):
            if start < at:
                raise EvidenceError("two units share characters")
            at = end
