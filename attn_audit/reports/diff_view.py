"""A comparison of two audits to what its views show: texts cut to size, numbers written out, the pieces that moved most
among the words around them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from attn_audit.evidence.findings import Finding, PairFinding
from attn_audit.judge.conditions import fails
from attn_audit.judge.difference import (
    CaseDifference,
    Counts,
    Difference,
    Fact,
    PolicyChange,
    Texts,
)
from attn_audit.judge.movement import Both
from attn_audit.reports.diff_facts import alike, known, name_of
from attn_audit.reports.diff_pieces import NONE, PieceRow, piece_rows
from attn_audit.reports.findings import sentence
from attn_audit.reports.numbers import in_nats, probability
from attn_audit.reports.text import exact
from attn_audit.words import noted, say, translated

UNCHECKED = noted(
    "digests agree in both; signatures are not checked here: run attn-audit verify on each with a key you trust"
)
SHARES = noted(
    "Share: of the positive relevance of its own audit, so that two models can be compared; their nats cannot. "
    "Place: among the pieces that supported the answer. A share says what the answer hung on, not why, and is no "
    "proof of cause."
)
# How a case ended, and what became of its map, as records name it.
_STATUSES = (noted("finished"), noted("withheld"), noted("failed"), noted("skipped"), noted("not there"))
_VERDICTS = (noted("supported"), noted("not supported"), noted("cannot tell"), noted("not checked"))


@dataclass(frozen=True)
class SideRow:
    """Something of both audits, or of a case in both."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class PolicyRow:
    """A policy before and after, in words; ``bad``: it must hold, and does not in the second audit."""

    policy: str
    kind: Literal["new", "gone", "changed"]
    first: str
    second: str
    bad: bool
    case_id: str
    pair_with: str


@dataclass(frozen=True)
class CaseView:
    """One case that both audits hold, with its content. ``lines``: what is new and gone, by name."""

    id: str
    prompt: str
    answers: Both[str]
    same_answer: bool
    facts: tuple[SideRow, ...]
    policies: tuple[PolicyRow, ...]
    notes: tuple[str, ...]
    differs: str
    pieces: tuple[PieceRow, ...]
    moved: int


@dataclass(frozen=True)
class ApartRow:
    """A case that was not compared, since it is not finished in both audits, or its content is withheld."""

    id: str
    first: str
    second: str
    notes: tuple[str, ...]
    policies: tuple[PolicyRow, ...]


@dataclass(frozen=True)
class DiffView:
    """Everything a view of a comparison prints. ``changed``, ``judged`` and ``unchanged``: cases (ids) with another
    answer, with a policy that came out otherwise, and with nothing to show."""

    names: Both[str]
    facts: tuple[SideRow, ...]
    same: str
    counts: tuple[SideRow, ...]
    compared: int
    changed: tuple[str, ...]
    judged: tuple[str, ...]
    unchanged: tuple[str, ...]
    apart: tuple[ApartRow, ...]
    pairs: tuple[PolicyRow, ...] | None
    cases: tuple[CaseView, ...]


def diff_view(found: Difference, *, top: int) -> DiffView:
    """``top``: how many pieces of each case are listed."""
    cases = [(case, case.texts) for case in found.cases]
    same = {case.id for case, texts in cases if texts is not None and _unchanged(case, texts)}
    return DiffView(
        names=(exact(found.names[0]), exact(found.names[1])),
        facts=tuple(_fact(fact) for fact in found.facts if fact.first != fact.second),
        same=alike(found.facts),
        counts=_counts(*found.counts),
        compared=sum(texts is not None for _, texts in cases),
        changed=tuple(case.id for case, texts in cases if texts is not None and not texts.same_answer),
        judged=tuple(case.id for case, _ in cases if case.policies),
        unchanged=tuple(case.id for case, _ in cases if case.id in same),
        apart=tuple(_apart(case) for case, texts in cases if texts is None),
        pairs=None if found.pairs is None else policy_rows(found.pairs),
        cases=tuple(_case(case, texts, top) for case, texts in cases if texts and case.id not in same),
    )


def policy_rows(changes: Iterable[PolicyChange]) -> tuple[PolicyRow, ...]:
    """In their order."""
    return tuple(_policy(change) for change in changes)


# -- the audits as a whole --------------------------------------------------------------------------------------------


def _fact(fact: Fact) -> SideRow:
    return SideRow(name_of(fact), known(fact.name, fact.first), known(fact.name, fact.second))


def _counts(first: Counts, second: Counts) -> tuple[SideRow, ...]:
    rows = (
        (say("Cases"), first.cases, second.cases),
        (say("Finished"), first.finished + first.withheld, second.finished + second.withheld),
        (say("Content withheld"), first.withheld, second.withheld),
        (say("Failed"), first.failed, second.failed),
        (say("Skipped"), first.skipped, second.skipped),
        (say("Policies that must hold and do not"), first.failing, second.failing),
        (say("Faithfulness supported"), first.supported, second.supported),
    )
    always = {say("Cases"), say("Finished"), say("Policies that must hold and do not")}
    return tuple(SideRow(name, str(one), str(other)) for name, one, other in rows if name in always or one or other)


def _policy(change: PolicyChange) -> PolicyRow:
    one = change.one
    pair = one if isinstance(one, PairFinding) else None
    kind: Literal["new", "gone", "changed"] = "changed"
    if change.before is None or change.after is None:
        kind = "new" if change.before is None else "gone"
    return PolicyRow(
        policy=change.policy,
        kind=kind,
        first=_sentence(change.before),
        second=_sentence(change.after),
        bad=change.after is not None and fails(change.after),
        case_id="" if pair is None else pair.case_id,
        pair_with="" if pair is None else pair.pair_with,
    )


def _sentence(finding: Finding | None) -> str:
    if finding is None:
        return NONE
    return f"{say('(a warning only)')} {sentence(finding)}" if finding.severity == "warn" else sentence(finding)


def _apart(case: CaseDifference) -> ApartRow:
    notes = tuple(
        say("%(name)s: %(first)s in A, %(second)s in B", name=row.name, first=row.first, second=row.second)
        for row in _verdicts(case)
        if NONE not in _of(row)
    )
    first, second = map(translated, case.statuses)
    return ApartRow(case.id, first, second, notes + _warned(case), policy_rows(case.policies))


def _of(row: SideRow) -> Both[str]:
    return row.first, row.second


# -- one case ---------------------------------------------------------------------------------------------------------


def _case(case: CaseDifference, texts: Texts, top: int) -> CaseView:
    return CaseView(
        id=case.id,
        prompt=_prompt(texts),
        answers=texts.answers,
        same_answer=texts.same_answer,
        facts=(*_probability(case), *_verdicts(case)),
        policies=policy_rows(case.policies),
        notes=(*_warned(case), *_notes(texts)),
        differs=", ".join(texts.differs),
        pieces=piece_rows(texts, texts.moved[:top]),
        moved=len(texts.moved),
    )


def _unchanged(case: CaseDifference, texts: Texts) -> bool:
    """Whether a view would have nothing to show of it."""
    changes = (texts.messages, texts.fields, texts.differs, texts.moved, case.policies, *case.warnings)
    rewritten = any(not piece.aligned.same for piece in texts.pieces)
    rows = (*_probability(case), *_verdicts(case))
    same = texts.same_answer and texts.same_explained and texts.same_contrast
    return same and not rewritten and not any(changes) and all(row.first == row.second for row in rows)


def _prompt(texts: Texts) -> str:
    """Which messages differ, by number and role."""
    if not texts.messages:
        return say("the same in both")
    sides = [content.case.messages for content, _ in texts.measured]
    said = []
    for number in texts.messages:
        roles = [messages[number].role for messages in sides if number < len(messages)]
        values = {"number": number + 1, "roles": "/".join(dict.fromkeys(roles))}
        if len(roles) == 2:
            said.append(say("%(number)s (%(roles)s)", **values))
        elif number < len(sides[0]):
            said.append(say("%(number)s (%(roles)s, only in A)", **values))
        else:
            said.append(say("%(number)s (%(roles)s, only in B)", **values))
    return say("CHANGED: message %(messages)s", messages=", ".join(said))


def _probability(case: CaseDifference) -> tuple[SideRow, ...]:
    values = [NONE if one is None else f"{probability(one)} ({in_nats(one)})" for one in case.log_probabilities]
    return (SideRow(say("Probability of the answer"), *values),)


def _verdicts(case: CaseDifference) -> tuple[SideRow, ...]:
    return (SideRow(say("Faithfulness"), *(translated(one or NONE) for one in case.faithfulness)),)


def _warned(case: CaseDifference) -> tuple[str, ...]:
    new, gone = (", ".join(codes) for codes in case.warnings)
    return (
        *([say("New warnings: %(codes)s.", codes=new)] if new else []),
        *([say("Warnings that are gone: %(codes)s.", codes=gone)] if gone else []),
    )


def _notes(texts: Texts) -> tuple[str, ...]:
    notes = [say("The case file also changed in: %(fields)s.", fields=", ".join(texts.fields))] if texts.fields else []
    supplied = [content.own_answer is not None for content, _ in texts.measured]
    if any(supplied):
        notes.append(say("The pieces are of an answer that the case file supplied, not of the model's own."))
    if not texts.differs and not texts.same_explained:
        notes.append(say("The answers that are explained differ: each share is of what drove its own."))
    if not texts.differs and not texts.same_contrast:
        notes.append(say("The answers that did not come, against which the pieces were measured, differ."))
    if texts.unmeasured:
        notes.append(
            say("Pieces that only one of the audits measured, not compared: %(count)s.", count=texts.unmeasured)
        )
    return tuple(notes)
