"""A whole audit folder: every planned case once, in order, sealed, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical, canonical_json, salted_case, sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.identity import manifest
from attn_audit.evidence.statements import Plan, Seal, SealedCase, plan_subjects, seal_subjects
from attn_audit.evidence.trust import TrustedKey
from attn_audit.reports import html
from attn_audit.verify.case import check_exactly, verify_case
from attn_audit.verify.report import NotAsPlanned, Report
from attn_audit.verify.signature import Opened, check_signer, moment, note_test_key, open_statement, statement_file


@dataclass(frozen=True)
class _Batch:
    """What an audit folder claims to be."""

    out: Path
    plan: Opened[Plan]
    seal: Opened[Seal]

    @property
    def planned(self) -> Plan:
        return self.plan.statement.predicate

    @property
    def sealed(self) -> Seal:
        return self.seal.statement.predicate


def verify_batch(report: Report, out: Path, trusted: tuple[TrustedKey, ...]) -> None:
    """Every check on a whole audit folder, listed in ``report``."""
    plan = open_statement(report, "batch", statement_file(out, bundle.PLAN), Plan, trusted)
    seal = open_statement(report, "batch", statement_file(out, bundle.SEAL), Seal, trusted)
    folders: frozenset[str] = frozenset()
    with report.check("batch", "files"):
        expected = {bundle.CASES, bundle.INDEX, bundle.MANIFEST}
        expected |= {statement_file(out, stem).name for stem in (bundle.PLAN, bundle.SEAL)}
        check_exactly(bundle.names_in(out), frozenset(expected))
    with report.check("batch", "case folders"):
        folders = bundle.names_in(out / bundle.CASES)
    for name in sorted(folders):
        verify_case(report, out / bundle.CASES / name, trusted)
    if plan is not None:
        planned = plan.statement.predicate
        check_signer(report, "batch", planned.signer, planned.created, plan)
        note_test_key(report, "batch", planned.signer)
    if plan is not None and seal is not None:
        _check_batch(report, _Batch(out, plan, seal), folders)


def _check_batch(report: Report, batch: _Batch, folders: frozenset[str]) -> None:
    sealed = batch.sealed
    check_signer(report, "batch", sealed.signer, sealed.finished, batch.seal)
    with report.check("batch", "plan and seal"):
        _check_seal(batch)
        _check_times(report, batch)
    for case in sealed.cases:
        with report.check(case.id, "as planned"):
            _check_planned(report, batch, case)
        if case.status != "ok":
            report.note(case.id, "status", f"{case.status}: {case.reason}")
    with report.check("batch", "cases"):
        _check_folders(folders, sealed)
        if len({canonical(case.content.batch) for case in report.cases.values()}) > 1:
            raise EvidenceError("the cases do not agree on what the case file says of the batch")
    with report.check("batch", "model"):
        _check_model(report, batch)
    _check_index(report, batch)
    report.note("batch", "order", "self-declared: the plan was not lodged with anyone else before the run")
    report.note("batch", "time", "not attested: all times are the signer's own")


def _check_seal(batch: _Batch) -> None:
    planned, sealed = batch.planned, batch.sealed
    if batch.plan.statement.subjects != plan_subjects(planned):
        raise EvidenceError("the plan's subject is not the model it plans with")
    if sealed.plan != sha256(bundle.read_file(statement_file(batch.out, bundle.PLAN))):
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
    index, manifest_file = (bundle.read_file(batch.out / name) for name in (bundle.INDEX, bundle.MANIFEST))
    expected = seal_subjects(sealed, signed=batch.seal.signed, index=index, manifest=manifest_file)
    if batch.seal.statement.subjects != expected:
        raise EvidenceError(f"{bundle.INDEX} or {bundle.MANIFEST} changed since sealing, or the seal names other files")


def _check_times(report: Report, batch: _Batch) -> None:
    """The order inside the batch, by its own clock: planned, measured, sealed."""
    plan, seal = batch.planned, batch.sealed
    ends = [(case.evidence.run.started, case.evidence.run.finished) for case in report.cases.values()]
    times = [moment(plan.created), moment(seal.started), moment(seal.finished)]
    if times != sorted(times) or plan.created != seal.started:
        raise EvidenceError("plan and seal are not in the order of their times")
    for started, finished in ends:
        if not times[0] <= moment(started) <= moment(finished) <= times[2]:
            raise EvidenceError("a case was not measured between the plan and the seal, by their own times")


def _check_planned(report: Report, batch: _Batch, sealed: SealedCase) -> None:
    """A finished case is the planned one, and the one that was sealed."""
    plan, case = batch.planned, report.cases.get(sealed.id)
    if sealed.status != "ok" or case is None:
        return
    evidence = case.evidence
    attestation = bundle.read_file(statement_file(batch.out / bundle.CASES / sealed.id, bundle.ATTESTATION))
    if sha256(attestation) != sealed.attestation or evidence.plan != batch.sealed.plan:
        raise NotAsPlanned("this is not the case that was sealed: it was measured in another run")
    planned = next((planned for planned in plan.cases if planned.id == sealed.id), None)
    if planned is None or planned.digest != salted_case(case.content.salt, case.content.case):
        raise NotAsPlanned("the case is not the one that was planned: its question or its options differ")
    if evidence.signer != plan.signer:
        raise EvidenceError("the case names another signer than the plan")
    if (evidence.settings, evidence.views) != (plan.settings, plan.views):
        raise NotAsPlanned("the case was measured with other settings than planned")


def _check_folders(folders: frozenset[str], seal: Seal) -> None:
    finished = {case.id for case in seal.cases if case.status == "ok"}
    if missing := sorted(finished - folders):
        raise NotAsPlanned(f"case {missing[0]!r} was sealed, but its folder is missing")
    if extra := sorted(folders - finished):
        raise NotAsPlanned(f"case folder {extra[0]!r} is not one of the sealed cases")


def _check_model(report: Report, batch: _Batch) -> None:
    plan = batch.planned
    if batch.sealed.model_root_after != plan.model_root:
        raise EvidenceError("the model's files changed between the plan and the end of the batch, or could not be read")
    stored = bundle.read_file(batch.out / bundle.MANIFEST)
    canonical_json(stored, bundle.MANIFEST)
    for case in report.cases.values():
        model = case.evidence.model
        if (model.root, model.name) != (plan.model_root, plan.model_name):
            raise NotAsPlanned(f"case {case.evidence.case_id!r} was measured on another model than planned")
        if manifest(model) != stored:
            raise EvidenceError(f"{bundle.MANIFEST} lists other files than the evidence of a case")


def _check_index(report: Report, batch: _Batch) -> None:
    seal = batch.sealed
    if seal.tool.version != __version__:
        report.note("batch", "index", f"view not compared: made by version {seal.tool.version}")
        return
    measured = {
        case.id: (found.content, found.evidence)
        for case in seal.cases
        if case.status == "ok" and (found := report.cases.get(case.id)) is not None
    }
    if len(measured) != seal.ok or not all(report.passed(case_id, "numbers") for case_id in measured):
        report.note("batch", "index", "view not compared: not every case could be read, or its numbers do not hold")
        return
    with report.check("batch", "index"):
        if html.index(batch.planned, seal, measured) != bundle.read_file(batch.out / bundle.INDEX):
            raise EvidenceError("index.html does not follow from plan, seal and evidence")
