"""One case folder: its files, digests, numbers and views; or, where its content is withheld, what is left of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from attn_audit.evidence import bundle
from attn_audit.evidence.digest import parse_canonical, sha256
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.identity import root_of
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, ViewFormat
from attn_audit.evidence.statements import (
    Redaction,
    Subjects,
    Summary,
    redaction_subjects,
    summary,
    summary_of,
)
from attn_audit.evidence.trust import TrustedKey
from attn_audit.judge.belonging import check_belonging, check_measured
from attn_audit.judge.method import described
from attn_audit.judge.model_signature import check_signature
from attn_audit.judge.relevance import relevance
from attn_audit.judge.shape import check_numbers, check_shape
from attn_audit.judge.warnings import warnings
from attn_audit.verify.asked import Asked
from attn_audit.verify.facts import facts_of, told_by
from attn_audit.verify.report import WITHHELD, Report, VerifiedCase
from attn_audit.verify.signature import Opened, check_signer, note_test_key, open_statement
from attn_audit.verify.views import check_views


def verify_case(report: Report, folder: Path, trusted: tuple[TrustedKey, ...], asked: Asked) -> None:
    """Every check on one case, listed in ``report``."""
    name = folder.name
    opened = open_statement(report, name, bundle.statement_file(folder, bundle.ATTESTATION), Summary, trusted)
    if opened is None:
        return
    if os.path.lexists(bundle.statement_file(folder, bundle.REDACTION)):
        _verify_withheld(report, folder, opened, trusted)
        return
    with report.check(name, "files"):
        _check_names(folder, bundle.names_in(folder), opened)
    with report.check(name, "digests"):
        files = _named_files(folder, opened.statement.subjects)
        content = parse_canonical(files[bundle.CONTENT], Content, bundle.CONTENT)
        evidence = parse_canonical(files[bundle.EVIDENCE], Evidence, bundle.EVIDENCE)
        case, digests = VerifiedCase(content, evidence), dict(opened.statement.subjects)
        told = told_by(content, digests[bundle.CONTENT])
        report.account(name, facts_of(opened.digest, digests[bundle.EVIDENCE], evidence, told))
    if name not in report.facts:
        return
    with report.check(name, "summary"):
        _check_summary(name, opened.statement.predicate, opened.statement.subjects, case)
    with report.check(name, "numbers"):
        check_shape(case.content, evidence)
        check_belonging(case.content, evidence)
        _check_derived(evidence)
        if evidence.warnings != warnings(case.content, evidence):
            raise EvidenceError("the warnings do not follow from the recorded numbers")
    check_views(report, name, case, files, wanted=asked.views)
    _say_what_it_is(report, name, evidence, opened)


def _verify_withheld(report: Report, folder: Path, opened: Opened[Summary], trusted: tuple[TrustedKey, ...]) -> None:
    """The numbers of a case whose content is withheld, and the statement that says so: genuine, but not whole (3)."""
    name, subjects = folder.name, opened.statement.subjects
    redaction = open_statement(report, name, bundle.statement_file(folder, bundle.REDACTION), Redaction, trusted)
    if redaction is None:
        return
    said = redaction.statement.predicate
    with report.check(name, "files"):
        withheld = tuple(file for file, _ in subjects if file != bundle.EVIDENCE)
        if said.withheld != withheld or said.case_id != name:
            raise EvidenceError("the redaction does not name this case and its files")
        attestation = bundle.statement_file(folder, bundle.ATTESTATION)
        if redaction.statement.subjects != redaction_subjects(name, bundle.read_file(attestation)):
            raise EvidenceError("the redaction speaks of another attestation")
        left = frozenset({bundle.EVIDENCE, attestation.name, bundle.statement_file(folder, bundle.REDACTION).name})
        check_exactly(bundle.names_in(folder), left)
    with report.check(name, "digests"):
        files = _named_files(folder, tuple(subject for subject in subjects if subject[0] == bundle.EVIDENCE))
        evidence = parse_canonical(files[bundle.EVIDENCE], Evidence, bundle.EVIDENCE)
        report.account(name, facts_of(opened.digest, dict(subjects)[bundle.EVIDENCE], evidence, None))
        report.withheld[name] = said
    if name not in report.withheld:
        return
    with report.check(name, "summary"):
        summarised = opened.statement.predicate
        if not name == summarised.case_id == evidence.case_id:
            raise EvidenceError("the folder, the attestation and the evidence name different cases")
        if dict(subjects).get(bundle.CONTENT) != evidence.content or evidence.views != _views(subjects):
            raise EvidenceError("attestation and evidence do not name the same content and reports")
        if summarised != summary_of(evidence, summarised.answer):
            raise EvidenceError("the attestation's summary does not follow from the evidence")
    with report.check(name, "numbers"):
        check_numbers(evidence)
        check_measured(evidence)
        _check_derived(evidence)
    check_signer(report, name, said.signer, said.created, redaction)
    reason = said.reason or "no reason is stated"
    report.note(name, "content", f"WITHHELD since {said.created} by {said.signer.principal}: {reason}", WITHHELD)
    _say_what_it_is(report, name, evidence, opened)


def _say_what_it_is(report: Report, name: str, evidence: Evidence, opened: Opened[Summary]) -> None:
    """Who signed, and what a reader should know although it is no failure."""
    check_signer(report, name, evidence.signer, evidence.run.finished, opened)
    note_test_key(report, name, evidence.signer)
    for finding in evidence.findings:
        if finding.outcome != "held":
            report.note(name, "policy", f"{finding.policy!r:.80}: {finding.outcome} (severity {finding.severity})")
    if not evidence.method.default:
        report.note(name, "method", f"changed from the default: {described(evidence.method)}")
    if evidence.answer.source == "supplied":
        report.note(name, "answer", "supplied by the case file, not generated by the model")


def _check_names(folder: Path, found: frozenset[str], opened: Opened[Summary]) -> None:
    """Exactly the files that the attestation names, and itself. Raises EvidenceError."""
    subjects = tuple(name for name, _ in opened.statement.subjects)
    if subjects != bundle.subject_names(_views(opened.statement.subjects)):
        raise EvidenceError("the attestation does not name exactly the files of a case, each once and in order")
    check_exactly(found, frozenset((*subjects, bundle.statement_file(folder, bundle.ATTESTATION).name)))


def _named_files(folder: Path, subjects: Subjects) -> dict[str, bytes]:
    """The files of that name, each with the digest that is said of it. Raises EvidenceError listing all that differ."""
    known = set(bundle.subject_names(get_args(ViewFormat)))
    files, changed = {}, []
    for name, digest in subjects:
        if name not in known:
            raise EvidenceError(f"the attestation names {name!r:.80}, which is not a file of a case")
        files[name] = bundle.read_file(folder / name)
        if sha256(files[name]) != digest:
            changed.append(name)
    if changed:
        raise EvidenceError(f"{', '.join(changed)} changed since signing")
    if bundle.EVIDENCE not in files or (len(subjects) > 1 and bundle.CONTENT not in files):
        raise EvidenceError("the attestation leaves out content.json or evidence.json")
    return files


def _views(subjects: Subjects) -> tuple[ViewFormat, ...]:
    """The reports among the subjects of an attestation."""
    names = {name for name, _ in subjects}
    return tuple(view for view in get_args(ViewFormat) if bundle.view_name(view) in names)


def _check_summary(name: str, said: Summary, subjects: Subjects, case: VerifiedCase) -> None:
    content, evidence = case.content, case.evidence
    if not name == said.case_id == evidence.case_id == content.case.id:
        raise EvidenceError("the folder, the attestation, the evidence and the content name different cases")
    if evidence.content != dict(subjects)[bundle.CONTENT]:  # which its bytes, one to one with the record, have
        raise EvidenceError("the evidence was measured on another content than the one beside it")
    if evidence.views != _views(subjects):
        raise EvidenceError("the attestation and the evidence do not list the same reports")
    if said != summary(content, evidence):
        raise EvidenceError("the attestation's summary does not follow from the evidence")


def _check_derived(evidence: Evidence) -> None:
    if evidence.relevance != relevance(evidence.answer.base, evidence.scores, evidence.contrast):
        raise EvidenceError("the relevance does not follow from the recorded log-probabilities")
    if evidence.model.root != root_of(evidence.model.files):
        raise EvidenceError("the model's root does not follow from its list of files")
    check_signature(evidence.model)


def check_exactly(found: frozenset[str], expected: frozenset[str]) -> None:
    """Raises EvidenceError naming a file that is missing, or one too many."""
    if missing := sorted(expected - found):
        raise EvidenceError(f"{missing[0]} is missing")
    if extra := sorted(found - expected):
        raise EvidenceError(f"extra file {extra[0]!r}: it belongs to no signed statement")
