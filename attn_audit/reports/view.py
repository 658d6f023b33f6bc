"""Content and evidence to what a report shows: texts cut to size, numbers written out, levels of heat chosen."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum
from typing import Literal

from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.measured import (
    Evidence,
    Setting,
    Signer,
)
from attn_audit.evidence.records import Content
from attn_audit.judge import model_signature
from attn_audit.judge.method import described, in_words
from attn_audit.reports.answer_parts import PartView, Steps, part_views, step_views
from attn_audit.reports.answer_tokens import Tokens, token_rows
from attn_audit.reports.checks import ChecksView, checks_view
from attn_audit.reports.findings import FindingRow, finding_rows
from attn_audit.reports.groups import Groups, group_rows
from attn_audit.reports.heat_view import HeatView, heat_view
from attn_audit.reports.limits import LimitsText, limits_for
from attn_audit.reports.numbers import nats, probability, share
from attn_audit.reports.pieces import fitting
from attn_audit.reports.profile import ProfileTable, profile_tables
from attn_audit.reports.ranking import (
    NamedRow,
    Ranking,
    UnitRow,
    named_rows,
    opposing,
    shown_ranking,
    supporting,
    unit_rows,
)
from attn_audit.reports.self_explanation import SelfExplanationView, self_explanation_view
from attn_audit.reports.spans import PromptPart, prompt_parts
from attn_audit.reports.text import exact, hidden
from attn_audit.words import say

_BANDS_ACROSS = 6  # of a table that fits a printed page
_METHOD_SETTINGS = frozenset({"operator", "factor", "effect", "units", "layers", "effort"})

Standing = Literal["unsigned", "test key", "signed"]


@dataclass(frozen=True)
class ReportView:
    """Everything a report prints that is not a plain field of its two records."""

    evidence_sha256: str
    standing: Standing
    case_id: str
    probability: str
    log_probability: str
    observed_probability: str | None
    contrast_probability: str | None
    support: tuple[UnitRow, ...]
    against: tuple[UnitRow, ...]
    named: tuple[NamedRow, ...]
    positive_total: str
    method_changes: tuple[Setting, ...]
    method: str
    procedure: str
    described: str
    model_signature: str
    given: tuple[Setting, ...]
    hidden: int
    heat: HeatView
    prompt: tuple[PromptPart, ...]
    frozen: int
    checks: ChecksView
    findings: tuple[FindingRow, ...]
    ranking: Ranking
    parts: tuple[PartView, ...]
    self_explanation: SelfExplanationView | None
    groups: Groups | None
    profile: tuple[ProfileTable, ...]
    steps: Steps | None
    tokens: Tokens
    saved: str | None
    limits: LimitsText
    files: str


def report_view(content: Content, evidence: Evidence) -> ReportView:
    """Raises EvidenceError when the two records do not fit together."""
    drawn, pieces = fitting(content, evidence)
    rows = unit_rows(evidence, pieces)
    total = fsum(evidence.answer.base)
    return ReportView(
        evidence_sha256=sha256(canonical(evidence)),
        standing=standing(evidence.signer),
        case_id=exact(evidence.case_id),
        probability=probability(total),
        log_probability=nats(total),
        observed_probability=_observed_probability(evidence),
        contrast_probability=None if evidence.contrast is None else probability(fsum(evidence.contrast.base)),
        support=supporting(rows),
        against=opposing(rows),
        named=named_rows(evidence, pieces, rows),
        positive_total=nats(fsum(row.relevance for row in rows if row.relevance > 0)),
        method_changes=_method_changes(evidence),
        method=in_words(evidence.method),
        procedure=_procedure(evidence),
        described=described(evidence.method),
        model_signature=model_signature.in_words(evidence.model.signature),
        given=tuple(setting for setting in evidence.settings if setting.origin != "default"),
        hidden=_hidden(content),
        heat=heat_view(content, evidence, drawn, pieces),
        prompt=prompt_parts(content, evidence),
        frozen=sum(stop - start for start, stop in evidence.frozen),
        checks=checks_view(content, evidence, pieces),
        findings=finding_rows(evidence.findings),
        ranking=shown_ranking(evidence, rows),
        parts=part_views(content, evidence, pieces),
        self_explanation=self_explanation_view(content, evidence),
        groups=group_rows(evidence, pieces),
        profile=profile_tables(evidence, pieces, across=_BANDS_ACROSS),
        steps=step_views(content, evidence),
        tokens=token_rows(content, evidence, pieces),
        saved=_saved(evidence),
        limits=limits_for(evidence.limits),
        files=", ".join(("content.json", "evidence.json", *(f"report.{view}" for view in evidence.views))),
    )


def standing(signer: Signer | None) -> Standing:
    """Whether a record says that it is signed. That it is, only ``attn-audit verify`` can say."""
    if signer is None:
        return "unsigned"
    return "test key" if signer.test_only else "signed"


def _observed_probability(evidence: Evidence) -> str | None:
    observed = evidence.answer.observed
    return None if observed is None else probability(observed.log_probability)


def _method_changes(evidence: Evidence) -> tuple[Setting, ...]:
    """What makes the method another than the default, by name; empty when it is the default."""
    if evidence.method.default:
        return ()
    names = _METHOD_SETTINGS | _chosen_by_time(evidence)
    shown = tuple(setting for setting in evidence.settings if setting.name in names)
    return tuple(setting for setting in shown if setting.origin != "default") or shown


def _chosen_by_time(evidence: Evidence) -> frozenset[str]:
    """The limit of seconds, where it and not a setting chose what was measured."""
    method = {"units": evidence.method.units, "effort": evidence.method.effort}
    set_to = {setting.name: setting.value for setting in evidence.settings}
    differs = any(set_to.get(name, value) != value for name, value in method.items())
    return frozenset({"max_seconds"}) if differs else frozenset()


def _procedure(evidence: Evidence) -> str:
    """What was done to the pieces, in one sentence."""
    values = {"units": evidence.method.units, "done": in_words(evidence.method)}
    named = any(unit.name is not None for unit in evidence.units)
    if all(value is not None for value in evidence.relevance):
        if named:
            return say("One at a time, each %(units)s and each piece that the case names was %(done)s.", **values)
        return say("One at a time, each %(units)s was %(done)s.", **values)
    if named:
        return say("One at a time, each measured %(units)s and each piece that the case names was %(done)s.", **values)
    return say("One at a time, each measured %(units)s was %(done)s.", **values)


def _hidden(content: Content) -> int:
    case = content.case
    texts = [message.content for message in case.messages]
    texts += [content.answer.text, content.own_answer or "", case.observed_answer or ""]
    return sum(hidden(text) for text in texts)


def _saved(evidence: Evidence) -> str | None:
    """How much of the plain cost the sweep needed; None when there was nothing to measure."""
    naive = evidence.sweep.naive_forward_tokens
    return share(evidence.sweep.forward_tokens / naive) if naive else None
