"""Each planned case to its folder, as they end; what a run finished before it was interrupted is looked at and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from attn_audit.audit import Terms
from attn_audit.batch.order import Order, Watch
from attn_audit.batch.planning import Planned
from attn_audit.batch.work import Assignment, Audited, CaseJob, Refused, Split, Worker, measure
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import salted_case, sha256
from attn_audit.evidence.envelope import Statement
from attn_audit.evidence.errors import EvidenceError, Incomplete, UsageError
from attn_audit.evidence.statements import SealedCase, summary
from attn_audit.evidence.trust import own
from attn_audit.executors import Pool, Unfinished
from attn_audit.measure.spread import Found, Known, Part, Wanted, joined
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest
from attn_audit.verify import verify
from attn_audit.verify.signature import moment

_STOPPED = "the run was stopped before this case was finished"


@dataclass(frozen=True)
class Kept:
    """What was finished earlier, by id, and the last time that it or the plan records: no later one lies before it."""

    ended: Mapping[str, SealedCase]
    latest: datetime


def nothing_kept(planned: Planned) -> Kept:
    """Of a plan that was just made."""
    return Kept({}, moment(planned.plan.created))


class CaseRun:
    """The cases of a batch on their way to their folders. ``ended``: how each ended, by id; ``latest``: the last time
    that one of them records."""

    def __init__(self, order: Order, planned: Planned, kept: Kept, watch: Watch) -> None:
        self._order, self._planned, self._watch = order, planned, watch
        self._total = len(order.cases.cases)
        self._begun: set[str] = set()
        self._progress: dict[str, dict[int, tuple[int, int]]] = {}
        self.ended = dict(kept.ended)
        self.latest = kept.latest
        for case in kept.ended.values():
            watch.kept(case)

    def run(self, pool: Pool[Worker]) -> tuple[SealedCase, ...]:
        """How each planned case ended, in the order of the plan. Where sweeps are split, the batch is gone through in
        rounds: cases, parts of their sweeps, the cases again with what was found, until none is left."""
        cases = zip(self._order.cases.cases, self._planned.salts, strict=True)
        every = (CaseJob(number, case, salt) for number, (case, salt) in enumerate(cases, start=1))
        jobs = [job for job in every if job.case.id not in self.ended]
        task = partial(measure, self._assignment(pool.workers))
        while jobs:
            following: list[CaseJob] = []
            parts: dict[str, dict[int, Found]] = {}
            for done in pool.map(task, jobs, self):
                following += self._following(done.job, done.result, parts.setdefault(done.job.case.id, {}))
            jobs = [job for job in following if job.case.id not in self.ended]
        return tuple(self.ended[case.id] for case in self._order.cases.cases)

    # -- what the executor tells and asks -----------------------------------------------------------------------------

    def stop_requested(self) -> bool:
        """Before each pass here, so that a case is either whole or not there; every second or so elsewhere."""
        return self._watch.stop_requested()

    def begins(self, job: CaseJob) -> None:
        """A case is told once, however many times and in however many parts it is begun."""
        if job.case.id not in self._begun:
            self._begun.add(job.case.id)
            self._watch.case_begins(job.case, job.number, self._total)

    def progress(self, job: CaseJob, done: int, total: int) -> None:
        """Parts of a sweep are told as one."""
        parts = self._progress.setdefault(job.case.id, {})
        if job.part is None:
            parts.clear()
        parts[0 if job.part is None else job.part.index] = done, total
        self._watch.units(job.case, sum(one for one, _ in parts.values()), sum(one for _, one in parts.values()))

    # -- what becomes of a job ----------------------------------------------------------------------------------------

    def _assignment(self, workers: int) -> Assignment:
        order, planned = self._order, self._planned
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
        # A limit of seconds is kept by the clock of whoever measures the case, which therefore stays in one piece.
        whole = order.split is None or workers == 1 or order.settings.max_seconds is not None
        split = None if whole or order.split is None else Split(order.split, workers)
        return Assignment(terms, order.executor.name, self.latest, split)

    def _following(
        self, job: CaseJob, result: Audited | Wanted | Found | Refused | Unfinished, parts: dict[int, Found]
    ) -> Iterator[CaseJob]:
        """The jobs that the result asks for; none where the case has ended with it."""
        if isinstance(result, Wanted):
            sweep = len(result.known.sweeps)
            for index in range(result.parts):
                yield replace(job, known=result.known, part=Part(sweep, index, result.parts))
        elif isinstance(result, Found) and job.part is not None:
            parts[job.part.index] = result
            if len(parts) == job.part.of:
                found = joined([parts[index] for index in range(job.part.of)])
                yield replace(job, known=Known(job.known.values, (*job.known.sweeps, found)), part=None)
        elif job.case.id not in self.ended:
            self._end(job, result)

    def _end(self, job: CaseJob, result: Audited | Wanted | Found | Refused | Unfinished) -> None:
        case_id, measured = job.case.id, None
        if isinstance(result, Audited):
            try:
                ended = self._write(result)
                measured = result.content, result.evidence
                self.latest = max(self.latest, moment(result.evidence.run.finished))
            except Incomplete as error:
                ended = SealedCase(id=case_id, status="failed", reason=str(error))
        elif isinstance(result, Unfinished) and result.why == "stopped":
            ended = SealedCase(id=case_id, status="skipped", reason=_STOPPED)
        else:
            ended = SealedCase(id=case_id, status="failed", reason=getattr(result, "reason", None))
        self.ended[case_id] = ended
        self._progress.pop(case_id, None)
        self._watch.case_ends(job.case, ended, measured)

    def _write(self, audited: Audited) -> SealedCase:
        order, files, case_id = self._order, audited.files, audited.content.case.id
        subjects = tuple((name, sha256(data)) for name, data in files.items())
        attestation = order.seal_up(Statement(subjects, summary(audited.content, audited.evidence)))
        bundle.write_case(self._planned.out, case_id, {**files, order.name(bundle.ATTESTATION): attestation})
        return SealedCase(id=case_id, status="ok", attestation=sha256(attestation))


def check_kept(order: Order, planned: Planned) -> Kept:
    """The cases that were finished earlier, every byte of them checked as ``attn-audit verify`` does. Raises
    EvidenceError where one is not as it was signed, UsageError where its content was withheld since."""
    kept, latest = {}, moment(planned.plan.created)
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
        latest = max(latest, moment(found.evidence.run.finished))
    return Kept(kept, latest)
