"""Whether content and evidence fit together at all: lengths, ranges and positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from attn_audit.evidence.checked import Checks
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence, Unit
from attn_audit.evidence.records import Content
from attn_audit.judge.tables import tables

_LOWEST = -3.5e38  # nats; a sum of many such values is still a number in double precision
_ROUNDING = 1e-3  # nats above 0 that the rounding of a float32 sum can explain


def check_shape(content: Content, evidence: Evidence) -> None:
    """Scores are log-probabilities (units, answer tokens), spans lie in their messages, every prompt position is in one
    unit or frozen. Raises EvidenceError naming what does not fit.
    """
    length = len(content.prompt.ids)
    if not len(evidence.answer.base) == len(content.answer.ids) == len(content.answer.offsets):
        raise EvidenceError("the base log-probabilities are not one for each answer token")
    _check_contrast(content, evidence)
    check_numbers(evidence)
    if length != len(content.prompt.offsets):
        raise EvidenceError("the prompt's offsets are not one for each token")
    _check_offsets(content.prompt.offsets, len(content.prompt.rendered), "the prompt's")
    _check_offsets(content.answer.offsets, len(content.answer.text), "the answer's")
    _check_positions(evidence.units, evidence.frozen, length)
    lengths = tuple(len(message.content) for message in content.case.messages)
    _check_spans(evidence.units, lengths)
    if evidence.self_explanation is not None:
        sentences = evidence.self_explanation.units
        _check_spans(sentences, lengths)
        _check_positions(sentences, evidence.frozen, length)


def check_numbers(evidence: Evidence) -> None:
    """What can be said of the numbers without any text. Raises EvidenceError naming what does not fit."""
    if len(evidence.relevance) != len(evidence.units):
        raise EvidenceError("the relevance is not one value for each unit")
    _check_tables(evidence)
    _check_measured(evidence)
    _check_indices(evidence, len(evidence.answer.base))
    _check_log_probabilities(evidence)
    _check_falls(evidence)
    runs = [run for unit in evidence.units for run in unit.runs] + list(evidence.frozen)
    _check_positions(evidence.units, evidence.frozen, max((stop for _, stop in runs), default=0))


def _check_contrast(content: Content, evidence: Evidence) -> None:
    said, measured = content.contrast, evidence.contrast
    if (said is None) != (measured is None):
        raise EvidenceError("the contrast is in the content or in the evidence, but not in both")
    if said is None or measured is None:
        return
    if not len(measured.base) == len(said.ids) == len(said.offsets):
        raise EvidenceError("the contrast's log-probabilities are not one for each of its tokens")
    _check_offsets(said.offsets, len(said.text), "the contrast's")
    beside = [evidence.direct.contrast] if evidence.direct else []
    if any(one is None for one in (*beside, *(group.contrast for group in evidence.groups))):
        raise EvidenceError("the contrast was measured for some of the scores and not for others")


def _check_tables(evidence: Evidence) -> None:
    """Every table of scores has a row for each unit, and in it a number for each token."""
    if evidence.profile is not None and len(evidence.profile.scores) != len(evidence.profile.bands):
        raise EvidenceError("the profile is not one table for each band of layers")
    for _, table, rows, columns in tables(evidence):
        if len(table) != rows or any(row is not None and len(row) != columns for row in table):
            raise EvidenceError("a table of scores is not one row for each unit, one number for each answer token")


def _check_measured(evidence: Evidence) -> None:
    """Exactly the units that the screening lists have scores; without a screening all of them."""
    every = tuple(range(len(evidence.units)))
    listed = every if evidence.screening is None else evidence.screening.measured
    tables = [evidence.scores] + ([evidence.contrast.scores] if evidence.contrast else [])
    if not listed and every:
        raise EvidenceError("no unit was measured")
    if any(tuple(index for index in every if table[index] is not None) != listed for table in tables):
        raise EvidenceError("the units that have scores are not those that are listed as measured")
    gradient = None if evidence.screening is None else evidence.screening.gradient
    if gradient is not None and len(gradient) != len(every):
        raise EvidenceError("the gradient is not one value for each unit")


def _check_indices(evidence: Evidence, tokens: int) -> None:
    """Groups and profile speak of units that exist, pieces of the answer of tokens that exist."""
    units = len(evidence.units)
    listed = [group.units for group in evidence.groups]
    listed += [evidence.profile.units] if evidence.profile else []
    if any(list(one) != sorted(set(one)) for one in listed[: len(evidence.groups)]):
        raise EvidenceError("a group does not list its units in order")
    if any(index >= units for one in listed for index in one):
        raise EvidenceError("a group or the profile names a unit that does not exist")
    sources = evidence.answer_sources.units if evidence.answer_sources else ()
    if any(not 0 <= one.tokens[0] < one.tokens[1] <= tokens for one in sources):
        raise EvidenceError("a piece of the answer has tokens that do not exist")


def _numbers(evidence: Evidence) -> Iterator[Sequence[float]]:
    """Every log-probability of the record."""
    yield evidence.answer.base
    if evidence.answer.observed is not None:
        yield (evidence.answer.observed.log_probability,)
    if evidence.contrast is not None:
        yield evidence.contrast.base
    if evidence.checks is not None:
        yield [one.log_probability for one in evidence.checks.paraphrases]
    for _, table, _, _ in tables(evidence):
        yield from (row for row in table if row is not None)


def _check_log_probabilities(evidence: Evidence) -> None:
    if any(not _LOWEST <= value <= _ROUNDING for value in chain.from_iterable(_numbers(evidence))):
        raise EvidenceError("a score is not a log-probability: it is above 0, or below what float32 can hold")


def _falls(checks: Checks) -> Iterator[Sequence[float | None]]:
    """Every difference of log-probabilities that the checks hold."""
    if (found := checks.faithfulness) is not None:
        yield from (found.comprehensiveness, *found.random_comprehensiveness)
        yield from (found.sufficiency or (), *(found.random_sufficiency or ()))
    if (reliance := checks.reliance) is not None:
        yield (reliance.suppressed, reliance.deleted)
    together = () if checks.together is None else (checks.together, *checks.together.pairs)
    yield [joint.together for joint in (*together, *checks.repeated)]
    for baseline in checks.baselines:
        yield from (baseline.values or (), baseline.comprehensiveness)
    yield from (variant.relevance or () for variant in checks.stability)
    yield from ([piece.relevance for piece in one.highest] for one in checks.paraphrases)


def _check_falls(evidence: Evidence) -> None:
    values = () if evidence.checks is None else chain.from_iterable(_falls(evidence.checks))
    if any(value is not None and abs(value) > -2 * _LOWEST for value in values):
        raise EvidenceError("a fall in the checks is larger than log-probabilities can differ")


def _check_offsets(offsets: Iterable[tuple[int, int]], length: int, whose: str) -> None:
    if any(not 0 <= start <= end <= length for start, end in offsets):
        raise EvidenceError(f"{whose} offsets leave its text")


def _check_positions(units: tuple[Unit, ...], frozen: tuple[tuple[int, int], ...], length: int) -> None:
    at, runs = 0, [run for unit in units for run in unit.runs] + list(frozen)
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
