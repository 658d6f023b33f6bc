"""Each planned case to its folder, in order; what a run finished before it was interrupted is looked at and kept."""

from __future__ import annotations

from collections.abc import Iterator

from attn_audit.audit import Terms, audit_case
from attn_audit.batch.order import Order, Watch
from attn_audit.batch.planning import Planned
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical, salted_case, sha256
from attn_audit.evidence.envelope import Statement
from attn_audit.evidence.errors import CaseError, EvidenceError, Incomplete, Stopped, UntrustedSigner
from attn_audit.evidence.host import Host
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Case, Content
from attn_audit.evidence.statements import SealedCase, summary
from attn_audit.evidence.trust import TrustedKey
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Progress
from attn_audit.reports import html, pdf
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest
from attn_audit.verify import verify

OUT_OF_MEMORY = "out of memory, also for one piece at a time; shorten the case or use a larger machine"
_STOPPED = "the run was stopped before this case was finished"


def run_cases(order: Order, planned: Planned, model: Model, host: Host, watch: Watch) -> Iterator[SealedCase]:
    """How each planned case ended, in order; those whose folder is in place are not measured again. Raises
    EvidenceError where such a folder is not what was signed."""
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
        if (planned.out / bundle.CASES / case.id).exists():
            yield _kept(order, planned, case, salt)
            watch.kept(case.id)
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


def _kept(order: Order, planned: Planned, case: Case, salt: str) -> SealedCase:
    """A case that was finished earlier, every byte of it checked as ``attn-audit verify`` does."""
    folder = planned.out / bundle.CASES / case.id
    own = () if order.key is None else (TrustedKey(order.key.private.public_key(), ()),)
    report = verify(folder, own)
    nobody = 0 if order.signed else UntrustedSigner.exit_code
    found = report.cases.get(case.id)
    if report.exit_code not in {0, nobody} or found is None:
        raise EvidenceError(f"{folder} is not as it was signed; remove it to have the case measured again")
    if found.evidence.plan != planned.digest or salted_case(salt, found.content.case) != salted_case(salt, case):
        raise EvidenceError(f"{folder} belongs to another plan; remove it to have the case measured again")
    attestation = bundle.read_file(folder / order.name(bundle.ATTESTATION))
    return SealedCase(id=case.id, status="ok", attestation=sha256(attestation))


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
