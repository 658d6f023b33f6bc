"""A whole audit folder: every planned case once, in order, sealed, and nothing else. Or one case of it that was handed
over alone, with plan and seal: then the others are not looked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical_json, sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.findings import PairFinding
from attn_audit.evidence.statements import Plan, PlannedCase, Seal, SealedCase, plan_subjects, seal_subjects
from attn_audit.evidence.store import Readers, Sealed
from attn_audit.evidence.trust import TrustedKey
from attn_audit.judge.pairs import check_pairs, pair_findings
from attn_audit.reports.exports import makers
from attn_audit.reports.index import index_pages
from attn_audit.reports.verify_page import verify_page
from attn_audit.verify.asked import Asked, check_asked
from attn_audit.verify.case import check_exactly
from attn_audit.verify.cases import Work, verify_cases
from attn_audit.verify.listed import check_listed
from attn_audit.verify.pages import Pages, check_same, index_files, one, present
from attn_audit.verify.report import NotAsPlanned, Report
from attn_audit.verify.signature import Opened, check_signer, moment, note_test_key, open_statement
from attn_audit.verify.views import NOT_ASKED

V = TypeVar("V")


@dataclass(frozen=True)
class _Batch:
    """What an audit folder claims to be. ``alone``: one case of it, without the pages about all of them."""

    out: Path
    plan: Opened[Plan]
    seal: Opened[Seal]
    alone: bool

    @cached_property
    def planned_cases(self) -> dict[str, PlannedCase]:
        """The first of each id, as the plan has it."""
        return {case.id: case for case in reversed(self.planned.cases)}

    @property
    def planned(self) -> Plan:
        return self.plan.statement.predicate

    @property
    def sealed(self) -> Seal:
        return self.seal.statement.predicate


def verify_batch(report: Report, out: Path, trusted: tuple[TrustedKey, ...], asked: Asked, work: Work) -> None:
    """Every check on a whole audit folder, listed in ``report``."""
    plan = open_statement(report, "batch", bundle.statement_file(out, bundle.PLAN), Plan, trusted)
    seal = open_statement(report, "batch", bundle.statement_file(out, bundle.SEAL), Seal, trusted)
    folders: frozenset[str] = frozenset()
    with report.check("batch", "case folders"):
        folders = bundle.names_in(out / bundle.CASES)
    alone = len(folders) == 1 and not any(os.path.lexists(out / name) for name in (bundle.INDEX, bundle.SUMS))
    with report.check("batch", "files"):
        expected = {bundle.CASES, bundle.MANIFEST, bundle.VERIFY_PAGE}
        found = present(out)
        expected |= set() if alone else {bundle.SUMS, *_exported(seal), *index_files(seal, found)}
        expected |= {bundle.SUMS_SIGNATURE} if not alone and (seal is None or seal.signed) else set()
        expected |= {bundle.statement_file(out, stem).name for stem in (bundle.PLAN, bundle.SEAL)}
        check_exactly(found, frozenset(expected))
    verify_cases(report, sorted(folders), trusted, asked, work)
    if plan is not None:
        planned = plan.statement.predicate
        check_signer(report, "batch", planned.signer, planned.created, plan)
        note_test_key(report, "batch", planned.signer)
    if plan is not None and seal is not None:
        _check_batch(report, _Batch(out, plan, seal, alone), folders, asked)
    if not alone:
        check_listed(report, out, trusted, seal)
    check_asked(report, asked, "batch", None if plan is None else plan.statement.predicate, whole=not alone)


def _exported(seal: Opened[Seal] | None) -> Iterable[str]:
    """The files for other programs that the seal names."""
    return () if seal is None else makers(seal.statement.predicate.exports)


def _check_batch(report: Report, batch: _Batch, folders: frozenset[str], asked: Asked) -> None:
    sealed = batch.sealed
    check_signer(report, "batch", sealed.signer, sealed.finished, batch.seal)
    with report.check("batch", "plan and seal"):
        _check_seal(batch)
        _check_times(report, batch)
    for case in sealed.cases:
        if case.id in report.facts:
            with report.check(case.id, "as planned"):
                _check_planned(report, batch, case)
        if case.status != "ok":
            report.note(case.id, "status", f"{case.status}: {case.reason}")
    with report.check("batch", "cases"):
        _check_folders(folders, batch)
        if len({told.batch for told in report.told.values()}) > 1:
            raise EvidenceError("the cases do not agree on what the case file says of the batch")
    with report.check("batch", "pairs"):
        _check_pairs(report, batch)
    with report.check("batch", "model"):
        _check_model(report, batch)
    if batch.alone:
        report.note("batch", "one case", f"handed over alone: 1 of {len(sealed.cases)}; the others are not here")
    _check_pages(report, batch, asked)
    if sealed.previous is not None:
        report.note("batch", "previous seal", f"the signer names the audit before this one: {sealed.previous}")
    announced = ", which was signed on its own before the run," if batch.planned.announced else ""
    report.note(
        "batch",
        "order",
        f"self-declared, unless the plan's digest{announced} was lodged with somebody before the run: {sealed.plan}",
    )
    report.note("batch", "time", "not attested: all times are the signer's own")


def _check_seal(batch: _Batch) -> None:
    planned, sealed = batch.planned, batch.sealed
    if batch.plan.statement.subjects != plan_subjects(planned):
        raise EvidenceError("the plan's subject is not the model it plans with")
    if sealed.plan != batch.plan.digest:
        raise NotAsPlanned("the seal closes another plan than the one in this folder")
    if sealed.signer != planned.signer:
        raise EvidenceError("plan and seal name different signers")
    if [case.id for case in sealed.cases] != [case.id for case in planned.cases]:
        raise NotAsPlanned("the seal does not list every planned case once, in the planned order")
    if len({case.id.casefold() for case in planned.cases}) != len(planned.cases):
        raise NotAsPlanned("the plan names a case twice")
    for status in ("ok", "failed", "skipped"):
        if getattr(sealed, status) != sum(case.status == status for case in sealed.cases):
            raise EvidenceError(f"the seal miscounts its cases ({status})")
    if any((case.status == "ok") != (case.attestation is not None) for case in sealed.cases):
        raise EvidenceError("the seal gives an attestation for a case that is not ok, or none for one that is")
    expected = seal_subjects(sealed, signed=batch.seal.signed, manifest=bundle.read_file(batch.out / bundle.MANIFEST))
    if batch.seal.statement.subjects != expected:
        raise EvidenceError(f"{bundle.MANIFEST} changed since sealing, or the seal names other files")


def _check_times(report: Report, batch: _Batch) -> None:
    """The order inside the batch, by its own clock: planned, measured, sealed, and only then withheld."""
    plan, seal = batch.planned, batch.sealed
    times = [moment(plan.created), moment(seal.started), moment(seal.finished)]
    if times != sorted(times) or plan.created != seal.started:
        raise EvidenceError("plan and seal are not in the order of their times")
    for facts in report.facts.values():
        if not times[0] <= moment(facts.started) <= moment(facts.finished) <= times[2]:
            raise EvidenceError("a case was not measured between the plan and the seal, by their own times")
    if any(moment(redaction.created) < times[2] for redaction in report.withheld.values()):
        raise EvidenceError("a content was withheld before the batch was sealed, by their own times")


def _check_planned(report: Report, batch: _Batch, sealed: SealedCase) -> None:
    """A finished case is the planned one, and the one that was sealed."""
    plan, facts = batch.planned, report.facts.get(sealed.id)
    if sealed.status != "ok" or facts is None:
        return
    terms, planned = facts.terms, batch.planned_cases.get(sealed.id)
    if facts.attestation != sealed.attestation or terms.plan != batch.sealed.plan:
        raise NotAsPlanned("this is not the case that was sealed: it was measured in another run")
    if planned is None or (facts.told is not None and planned.digest != facts.told.case):
        raise NotAsPlanned("the case is not the one that was planned: its question or its options differ")
    if terms.signer != plan.signer:
        raise EvidenceError("the case names another signer than the plan")
    if (terms.settings, terms.views) != (plan.settings, plan.views):
        raise NotAsPlanned("the case was measured with other settings than planned")


def _check_folders(folders: frozenset[str], batch: _Batch) -> None:
    finished = {case.id for case in batch.sealed.cases if case.status == "ok"}
    if not batch.alone and (missing := sorted(finished - folders)):
        raise NotAsPlanned(f"case {missing[0]!r} was sealed, but its folder is missing")
    if extra := sorted(folders - finished):
        raise NotAsPlanned(f"case folder {extra[0]!r} is not one of the sealed cases")


def _check_model(report: Report, batch: _Batch) -> None:
    plan = batch.planned
    if batch.sealed.model_root_after != plan.model_root:
        raise EvidenceError("the model's files changed between the plan and the end of the batch, or could not be read")
    stored = bundle.read_file(batch.out / bundle.MANIFEST)
    canonical_json(stored, bundle.MANIFEST)
    digest = sha256(stored)
    for case_id, facts in report.facts.items():
        if (facts.terms.model_root, facts.terms.model_name) != (plan.model_root, plan.model_name):
            raise NotAsPlanned(f"case {case_id!r} was measured on another model than planned")
        if facts.terms.manifest != digest:
            raise EvidenceError(f"{bundle.MANIFEST} lists other files than the evidence of a case")


def _at_hand(report: Report, batch: _Batch) -> Sealed:
    """What was read of the audit, in the order of the seal."""
    finished = [case.id for case in batch.sealed.cases if case.status == "ok"]
    return Sealed(
        plan=batch.planned,
        seal=batch.sealed,
        cases=_some(report.measured, finished),
        evidence=_some(report.evidence, finished),
        withheld={case_id: report.withheld[case_id] for case_id in finished if case_id in report.withheld},
    )


def _some(found: Mapping[str, V], ids: Iterable[str]) -> Mapping[str, V]:
    """Of these cases, in this order, those that are there."""
    return Readers(dict.fromkeys(case_id for case_id in ids if case_id in found), found.__getitem__)


def _check_pairs(report: Report, batch: _Batch) -> None:
    """The policies on pairs, judged again where the contents of both cases are at hand and their numbers hold; what is
    left of the others must not contradict itself."""
    sealed = batch.sealed
    cases = _some(report.measured, (case_id for case_id in report.told if report.passed(case_id, "numbers")))
    check_pairs(sealed.pairs, cases)
    gone = {case.id for case in sealed.cases if case.status == "ok"} - cases.keys()
    paired = (case.id for case in sealed.cases if case.id in cases and report.told[case.id].paired)
    said = [pair for pair in sealed.pairs if pair.case_id not in gone]
    again = list(pair_findings(paired, cases))
    if len(said) != len(again) or any(
        _about(one) != _about(other) or (one != other and one.pair_with not in gone)
        for one, other in zip(said, again, strict=True)
    ):
        raise EvidenceError("what became of the policies on pairs does not follow from the cases")
    for pair in sealed.pairs:
        if pair.outcome != "held":
            report.note(pair.case_id, "policy", f"{pair.policy!r:.80} with {pair.pair_with}: {pair.outcome}")


def _about(pair: PairFinding) -> tuple[str, str, str, str]:
    return pair.case_id, pair.policy, pair.severity, pair.pair_with


def _check_pages(report: Report, batch: _Batch, asked: Asked) -> None:
    """The pages about the whole batch, rendered again and compared."""
    seal, plan = batch.sealed, batch.planned
    sealed = _at_hand(report, batch)
    withheld = tuple(sealed.withheld.values())
    pages: dict[str, Pages] = {
        bundle.VERIFY_PAGE: one(bundle.VERIFY_PAGE, lambda _: verify_page(plan, seal, withheld, alone=batch.alone))
    }
    if not batch.alone:
        pages |= {bundle.INDEX: index_pages}
        pages |= {name: one(name, page) for name, page in makers(seal.exports).items()}
    held = [report.passed(case_id, "numbers") for case_id in report.evidence]
    reason = None
    if not asked.views:
        reason = NOT_ASKED
    elif seal.tool.version != __version__:
        reason = f"made by version {seal.tool.version}"
    elif len(held) != (1 if batch.alone else seal.ok) or not all(held):
        reason = "not every case could be read, or its numbers do not hold"
    for name, made in pages.items():
        if reason is not None:
            report.note("batch", name, f"view not compared: {reason}")
            continue
        with report.check("batch", name):
            check_same(batch.out, made(sealed))
