"""Each planned case to its folder, in order; what a run finished before it was interrupted is looked at and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attn_audit.audit import Terms, audit_case
from attn_audit.batch.order import Order, Watch
from attn_audit.batch.planning import Planned
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical, salted_case, sha256
from attn_audit.evidence.envelope import Statement
from attn_audit.evidence.errors import CaseError, EvidenceError, Incomplete, Stopped, UsageError
from attn_audit.evidence.host import Host
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import SealedCase, summary
from attn_audit.evidence.trust import own
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Progress
from attn_audit.reports import html, pdf
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest
from attn_audit.verify import verify

OUT_OF_MEMORY = "out of memory, also for one piece at a time; shorten the case or use a larger machine"
_STOPPED = "the run was stopped before this case was finished"


def run_cases(
    order: Order, planned: Planned, kept: Mapping[str, SealedCase], model: Model, host: Host, watch: Watch
) -> Iterator[SealedCase]:
    """How each planned case ended, in order; those that are kept are not measured again."""
    terms = Terms(
        tool=planned.plan.tool,
        plan=planned.digest,
        signer=order.signer,
        settings=order.settings,
        recorded=order.recorded,
        batch=order.cases.batch,
        templates=template_digest(),
        limits=limits_version(),
    )
    cases = order.cases.cases
    for number, (case, salt) in enumerate(zip(cases, planned.salts, strict=True), start=1):
        if case.id in kept:
            watch.kept(kept[case.id])
            yield kept[case.id]
            continue
        watch.case_begins(case, number, len(cases))
        measured = None
        try:
            with as_memory_error():
                measured = audit_case(model, case, terms, salt, host, _stopping(watch))
            ended = _write(order, planned, *measured)
        except Stopped:
            ended = SealedCase(id=case.id, status="skipped", reason=_STOPPED)
        except (CaseError, Incomplete) as error:
            measured, ended = None, SealedCase(id=case.id, status="failed", reason=str(error))
        except MemoryError:
            ended = SealedCase(id=case.id, status="failed", reason=OUT_OF_MEMORY)
        watch.case_ends(case, ended, measured)
        yield ended


def case_files(content: Content, evidence: Evidence) -> dict[str, bytes]:
    """The files of a case that its attestation names, in that order."""
    views = {"html": html.report, "pdf": pdf.report}
    rendered = {bundle.view_name(view): views[view](content, evidence) for view in evidence.views}
    return {bundle.CONTENT: canonical(content), bundle.EVIDENCE: canonical(evidence), **rendered}


def check_kept(order: Order, planned: Planned) -> dict[str, SealedCase]:
    """The cases that were finished earlier, by id, every byte of them checked as ``attn-audit verify`` does. Raises
    EvidenceError where one is not as it was signed, UsageError where its content was withheld since."""
    kept = {}
    for case, salt in zip(order.cases.cases, planned.salts, strict=True):
        folder = planned.out / bundle.CASES / case.id
        if not folder.exists():
            continue
        report = verify(folder, own(order.key))
        if report.withheld:
            raise UsageError(f"the content of {folder} was withheld since; this audit stays as it is")
        found = report.cases.get(case.id)
        if found is None or report.altered or (order.signed and report.exit_code):
            raise EvidenceError(f"{folder} is not as it was signed; remove it to have the case measured again")
        if found.evidence.plan != planned.digest or salted_case(salt, found.content.case) != salted_case(salt, case):
            raise EvidenceError(f"{folder} belongs to another plan; remove it to have the case measured again")
        attestation = bundle.read_file(folder / order.name(bundle.ATTESTATION))
        kept[case.id] = SealedCase(id=case.id, status="ok", attestation=sha256(attestation))
    return kept


def _stopping(watch: Watch) -> Progress:
    """The watch's progress, which ends the case as soon as a stop is asked for: before the next pass, never within
    writing, so that a case is either whole or not there."""

    def progress(done: int, total: int) -> None:
        if watch.stop_requested():
            raise Stopped(_STOPPED)
        watch.units(done, total)

    return progress


def _write(order: Order, planned: Planned, content: Content, evidence: Evidence) -> SealedCase:
    files = case_files(content, evidence)
    subjects = tuple((name, sha256(data)) for name, data in files.items())
    attestation = order.seal_up(Statement(subjects, summary(content, evidence)))
    bundle.write_case(planned.out, content.case.id, {**files, order.name(bundle.ATTESTATION): attestation})
    return SealedCase(id=content.case.id, status="ok", attestation=sha256(attestation))
