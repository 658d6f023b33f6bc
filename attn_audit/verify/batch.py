"""A whole audit folder: every planned case once, in order, sealed, and nothing else."""

from __future__ import annotations

from pathlib import Path

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical_json, salted_case, sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.identity import manifest
from attn_audit.evidence.statements import Plan, Seal, plan_subjects, seal_subjects
from attn_audit.evidence.trust import TrustedKey
from attn_audit.reports import html
from attn_audit.reports.templates import template_digest
from attn_audit.verify.case import check_exactly, verify_case
from attn_audit.verify.report import NotAsPlanned, Report
from attn_audit.verify.signature import Opened, check_signer, open_statement, statement_file


def verify_batch(report: Report, out: Path, trusted: tuple[TrustedKey, ...]) -> None:
    plan = open_statement(report, "batch", statement_file(out, bundle.PLAN), Plan, trusted)
    seal = open_statement(report, "batch", statement_file(out, bundle.SEAL), Seal, trusted)
    folders: frozenset[str] = frozenset()
    with report.check("batch", "files"):
        expected = {bundle.CASES, bundle.INDEX, bundle.MANIFEST}
        expected |= {statement_file(out, stem).name for stem in (bundle.PLAN, bundle.SEAL)}
        check_exactly(bundle.names_in(out), frozenset(expected))
        folders = bundle.names_in(out / bundle.CASES)
    for name in sorted(folders):
        verify_case(report, out / bundle.CASES / name, trusted)
    if plan is None:
        return
    check_signer(report, "batch", plan.statement.predicate.signer, plan.statement.predicate.created, plan)
    if seal is None:
        return
    with report.check("batch", "plan and seal"):
        _check_seal(out, plan, seal)
    for case in seal.statement.predicate.cases:
        with report.check(case.id, "as planned"):
            _check_planned(report, out, plan.statement.predicate, seal.statement.predicate, case.id)
        if case.status != "ok":
            report.note(case.id, "status", f"{case.status}: {case.reason}")
    with report.check("batch", "cases"):
        _check_folders(folders, seal.statement.predicate)
    with report.check("batch", "model"):
        _check_model(report, out, plan.statement.predicate, seal.statement.predicate)
    _check_index(report, out, plan.statement.predicate, seal.statement.predicate)
    report.note("batch", "order", "self-declared: the plan was not lodged with anyone else before the run")
    report.note("batch", "time", "not attested: all times are the signer's own")


def _check_seal(out: Path, plan: Opened[Plan], seal: Opened[Seal]) -> None:
    planned, sealed = plan.statement.predicate, seal.statement.predicate
    if plan.statement.subjects != plan_subjects(planned):
        raise EvidenceError("the plan's subject is not the model it plans with")
    if seal.statement.subjects != seal_subjects(sealed, signed=seal.signed):
        raise EvidenceError("the seal's subjects are not the plan and the finished cases")
    if sealed.plan != sha256(bundle.read_file(statement_file(out, bundle.PLAN))):
        raise NotAsPlanned("the seal closes another plan than the one in this folder")
    if sealed.signer != planned.signer:
        raise EvidenceError("plan and seal name different signers")
    if [case.id for case in sealed.cases] != [case.id for case in planned.cases]:
        raise NotAsPlanned("the seal does not list every planned case once, in the planned order")
    for status in ("ok", "failed", "skipped"):
        if getattr(sealed, status) != sum(case.status == status for case in sealed.cases):
            raise EvidenceError(f"the seal miscounts its cases ({status})")
    if any((case.status == "ok") != (case.attestation is not None) for case in sealed.cases):
        raise EvidenceError("the seal gives an attestation for a case that is not ok, or none for one that is")


def _check_planned(report: Report, out: Path, plan: Plan, seal: Seal, case_id: str) -> None:
    """A finished case is the planned one, and the one that was sealed."""
    sealed = next(case for case in seal.cases if case.id == case_id)
    case = report.cases.get(case_id)
    if sealed.status != "ok" or case is None:
        return
    attestation = bundle.read_file(statement_file(out / bundle.CASES / case_id, bundle.ATTESTATION))
    if sha256(attestation) != sealed.attestation or case.evidence.plan != seal.plan:
        raise NotAsPlanned("this is not the case that was sealed: it was measured in another run")
    planned = next((planned for planned in plan.cases if planned.id == case_id), None)
    if planned is None or planned.digest != salted_case(case.content.salt, case.content.case):
        raise NotAsPlanned("the case is not the one that was planned: its question or its options differ")
    if case.evidence.signer != plan.signer:
        raise EvidenceError("the case names another signer than the plan")
    if (case.evidence.settings, case.evidence.views) != (plan.settings, plan.views):
        raise NotAsPlanned("the case was measured with other settings than planned")


def _check_folders(folders: frozenset[str], seal: Seal) -> None:
    finished = {case.id for case in seal.cases if case.status == "ok"}
    if missing := sorted(finished - folders):
        raise NotAsPlanned(f"case {missing[0]!r} was sealed, but its folder is missing")
    if extra := sorted(folders - finished):
        raise NotAsPlanned(f"case folder {extra[0]!r} is not one of the sealed cases")


def _check_model(report: Report, out: Path, plan: Plan, seal: Seal) -> None:
    if seal.model_root_after != plan.model_root:
        raise EvidenceError("the model's files changed between the plan and the end of the batch")
    stored = bundle.read_file(out / bundle.MANIFEST)
    canonical_json(stored, bundle.MANIFEST)
    for case in report.cases.values():
        if case.evidence.model.root != plan.model_root:
            raise NotAsPlanned(f"case {case.evidence.case_id!r} was measured on another model than planned")
        if manifest(case.evidence.model) != stored:
            raise EvidenceError(f"{bundle.MANIFEST} lists other files than the evidence of a case")


def _check_index(report: Report, out: Path, plan: Plan, seal: Seal) -> None:
    if seal.tool.version != __version__ or any(
        case.evidence.templates != template_digest() for case in report.cases.values()
    ):
        report.note("batch", "index", f"view not compared: made by version {seal.tool.version}")
        return
    measured = {
        case.id: (found.content, found.evidence)
        for case in seal.cases
        if case.status == "ok" and (found := report.cases.get(case.id)) is not None
    }
    if len(measured) != seal.ok:
        report.note("batch", "index", "view not compared: not every case could be read")
        return
    with report.check("batch", "index"):
        if html.index(plan, seal, measured) != bundle.read_file(out / bundle.INDEX):
            raise EvidenceError("index.html does not follow from plan, seal and evidence")
