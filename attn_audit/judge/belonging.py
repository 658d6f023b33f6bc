"""Whether content and evidence speak of the same thing: units and their positions, messages and the prompt, the answer
and how it came about, the settings and the method."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import (
    Evidence,
    Screening,
    Setting,
    Unit,
)
from attn_audit.evidence.records import Content, Span
from attn_audit.evidence.settings import NOT_SET, Settings
from attn_audit.judge.checks import check_checks, check_texts
from attn_audit.judge.parts import answer_parts
from attn_audit.judge.places import Places, owners
from attn_audit.judge.policies import check_findings, findings
from attn_audit.judge.probe import holds
from attn_audit.judge.relevance import highest
from attn_audit.judge.screening import direct_relevance, promising, share_of
from attn_audit.judge.self_explanation import check_self_explanation


def check_belonging(content: Content, evidence: Evidence) -> None:
    """Raises EvidenceError naming what does not follow from what. The shapes were checked before (judge/shape.py)."""
    _check_segments(content)
    _check_positions(content, evidence)
    _check_answer(content, evidence)
    _check_covered(content.answer.text, content.answer.offsets)
    if (None if content.contrast is None else content.contrast.text) != content.case.contrast:
        raise EvidenceError("the contrast that was measured is not the one the case names")
    check_measured(evidence)
    check_texts(content, evidence, recorded_settings(evidence.settings))
    _check_parts(content, evidence)
    _check_findings(content, evidence)


def check_measured(evidence: Evidence) -> None:
    """What must follow from the numbers and settings alone, also where the content is withheld. Raises
    EvidenceError."""
    settings = recorded_settings(evidence.settings)
    _check_method(evidence, settings)
    _check_further(evidence, settings)
    check_checks(evidence, settings)
    check_self_explanation(evidence)
    check_findings(evidence)
    if not holds(evidence.probe):
        raise EvidenceError("the probe's figures are those of a model that must be refused")


def _check_segments(content: Content) -> None:
    """Each message stands in the prompt once, in order, whole but for white space at its ends."""
    prompt, messages = content.prompt, content.case.messages
    if [segment.message for segment in prompt.segments] != list(range(len(messages))):
        raise EvidenceError("the prompt does not hold each message of the case once, in order")
    at = 0
    for segment, message in zip(prompt.segments, messages, strict=True):
        text = message.content[segment.start : segment.end]
        whole = segment.start <= segment.end <= len(message.content) and text.strip() == message.content.strip()
        if not whole or segment.rendered < at or not prompt.rendered.startswith(text, segment.rendered):
            raise EvidenceError("a message does not stand in the rendered prompt where the record says")
        at = segment.rendered + len(text)


def _check_positions(content: Content, evidence: Evidence) -> None:
    """A position belongs to a unit that shares most characters with its token; frozen ones share none with any."""
    tokens = owners(content.prompt)
    _check_units(evidence.units, tokens)
    if evidence.self_explanation is not None:
        _check_units(evidence.self_explanation.units, tokens)
    for position in (position for start, stop in evidence.frozen for position in range(start, stop)):
        if position in tokens:
            raise EvidenceError("a token of the case's own text is listed as never suppressed")


def _check_units(units: tuple[Unit, ...], tokens: dict[int, Span]) -> None:
    """``tokens``: for each position the characters that it covers."""
    places = Places(unit.spans for unit in units)
    for index, unit in enumerate(units):
        for position in (position for start, stop in unit.runs for position in range(start, stop)):
            shared = places.shared(tokens[position]) if position in tokens else None
            if shared is None or (shared and shared.get(index, 0) < max(shared.values())):
                raise EvidenceError(f"unit {unit.id!r:.20} has a position whose token is not in its text")


def _check_answer(content: Content, evidence: Evidence) -> None:
    """Supplied or generated: the case, the content and the evidence agree."""
    supplied = content.case.answer is not None
    said = (
        evidence.answer.source == "supplied",
        evidence.answer.stop == "supplied",
        content.own_answer is not None,
    )
    if any(one != supplied for one in said) or (supplied and content.answer.text != content.case.answer):
        raise EvidenceError("case, content and evidence do not agree on whether the answer was supplied")
    observed, wanted = evidence.answer.observed, content.case.observed_answer
    if (observed is None) != (wanted is None):
        raise EvidenceError("the observed answer is in the case or in the evidence, but not in both")
    own = content.own_answer if content.own_answer is not None else content.answer.text
    if observed is not None and wanted is not None and observed.reproduced != (own.strip() == wanted.strip()):
        raise EvidenceError("whether the observed answer was reproduced does not follow from the answers")


def _check_covered(text: str, offsets: Iterable[tuple[int, int]]) -> None:
    """Every visible character of the answer is some token's."""
    at = 0
    for start, end in offsets:
        if text[at:start].strip():
            break
        at = max(at, end)
    if text[at:].strip():
        raise EvidenceError("the answer's tokens do not cover its text")


def _check_method(evidence: Evidence, settings: Settings) -> None:
    if not settings.allows(evidence.method):
        raise EvidenceError("the method does not follow from the recorded settings")
    kinds = {evidence.method.units, "field", "named"}
    if any(unit.kind not in kinds for unit in evidence.units):
        raise EvidenceError(f"a unit is of another kind than the method's units, {evidence.method.units}")


def _check_further(evidence: Evidence, settings: Settings) -> None:
    """What stands beside the map is there exactly when the settings ask for it, and speaks of what it must."""
    screened = evidence.method.effort == "screened"
    unlooked = evidence.screening is not None and evidence.screening.gradient is None
    if (evidence.direct is not None) != (unlooked or settings.effect == "both"):
        raise EvidenceError("the direct effect is recorded or left out against the settings")
    if (evidence.screening is not None) != screened:
        raise EvidenceError("the screening is recorded or left out against the settings")
    if evidence.screening is not None:
        _check_screening(evidence, evidence.screening, settings)
    if (evidence.groups and settings.kappa is None) or any(len(group.units) < 2 for group in evidence.groups):
        raise EvidenceError("units are grouped against the settings")
    if (evidence.profile is None) != (settings.bands is None):
        raise EvidenceError("the profile of layers is recorded or left out against the settings")
    if evidence.profile is not None and evidence.profile.units != highest(evidence.relevance):
        raise EvidenceError("the profile of layers is not that of the highest units")
    if (evidence.answer_sources is None) != (settings.sources == "prompt"):
        raise EvidenceError("the answer's own pieces are recorded or left out against the settings")


def _check_parts(content: Content, evidence: Evidence) -> None:
    try:
        parts = answer_parts(content.case.answer_parts, content.answer, evidence.answer.base, evidence.scores)
    except (ValueError, TimeoutError):
        raise EvidenceError("a part of the answer cannot be found again by its pattern") from None
    if evidence.parts != parts:
        raise EvidenceError("what drove the parts of the answer does not follow from the scores")


def _check_findings(content: Content, evidence: Evidence) -> None:
    try:
        again = findings(content, evidence)
    except (ValueError, TimeoutError):
        raise EvidenceError("what a policy names cannot be found again by its pattern") from None
    if evidence.findings != again:
        raise EvidenceError("the findings do not follow from the policies and the recorded numbers")


def _check_screening(evidence: Evidence, screening: Screening, settings: Settings) -> None:
    """The measured units are the named and the most promising ones, and as many as the settings say."""
    measured = screening.measured
    look = screening.gradient
    if look is None and evidence.direct is not None:
        base = None if evidence.contrast is None else evidence.contrast.base
        look = direct_relevance(evidence.answer.base, evidence.direct, base)
    order = promising(evidence.units, look or ())
    if measured != tuple(sorted(order[: len(measured)])):
        raise EvidenceError("the measured units are not the named and the most promising ones")
    if settings.max_seconds is None and len(measured) != share_of(evidence.units):
        raise EvidenceError("more or fewer units were measured than the settings say")


def recorded_settings(recorded: tuple[Setting, ...]) -> Settings:
    """The settings that a record lists. Raises EvidenceError where they are not settings of this version."""
    values = {one.name: one.value for one in recorded if one.name in Settings.model_fields and one.value != NOT_SET}
    try:
        return Settings.model_validate(values)
    except ValidationError:
        raise EvidenceError("the recorded settings are not valid ones") from None
