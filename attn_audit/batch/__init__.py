"""Many cases to one audit folder: plan, run, seal. One failed case never stops the others.

Case folders are renamed into place when they are whole, so they are the journal: a run that was interrupted goes on
with the cases that have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from attn_audit import __version__
from attn_audit.batch import planning
from attn_audit.batch.cases import CaseRun, check_kept, nothing_kept
from attn_audit.batch.order import Finished, Order, Watch
from attn_audit.batch.planning import Planned
from attn_audit.batch.storage import bytes_of
from attn_audit.batch.work import Description, Refused, Start, Worker, describe, root_now, root_of_files, travelling
from attn_audit.batch.work import forecast as forecast_case
from attn_audit.evidence import bundle
from attn_audit.evidence.envelope import Statement
from attn_audit.evidence.errors import EvidenceError, Incomplete, UsageError
from attn_audit.evidence.findings import PairFinding
from attn_audit.evidence.host import Host, never_back
from attn_audit.evidence.measured import ModelIdentity
from attn_audit.evidence.records import Case
from attn_audit.evidence.settings import Settings
from attn_audit.evidence.statements import Seal, SealedCase, seal_subjects
from attn_audit.evidence.store import stored, stored_cases
from attn_audit.evidence.sums import write_sums
from attn_audit.executors import Pool, Unfinished
from attn_audit.judge.pairs import pair_findings
from attn_audit.measure.forecast import Forecast
from attn_audit.measure.planner import Planned as PlannedCase
from attn_audit.reports.exports import EXPORTS, makers
from attn_audit.reports.index import index_pages
from attn_audit.reports.templates import template_digest
from attn_audit.reports.verify_page import verify_page

__all__ = ["CaseForecast", "Finished", "Forecasts", "Order", "Watch", "forecast", "plan", "resume", "run"]


@dataclass(frozen=True)
class CaseForecast:
    """What one case will take, and the bytes of its folder, about; or why it cannot be audited."""

    case: Case
    planned: PlannedCase | None = None
    storage: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Forecasts:
    """Of all cases, in order, by so many workers."""

    cases: tuple[CaseForecast, ...]
    workers: int


def forecast(order: Order, host: Host, watch: Watch) -> Forecasts:
    """What the cases will take; nothing is answered and nothing written. Raises UsageError as ``run`` does, Incomplete
    where it is stopped."""
    found: dict[str, CaseForecast] = {}
    with _started(order, host, watch) as (pool, _):
        workers = pool.workers
        for done in pool.map(partial(forecast_case, order.settings), order.cases.cases, _Forecasting(watch, order)):
            found[done.job.id] = _forecast(done.job, done.result, order.settings)
            watch.forecast(done.job)
    return Forecasts(tuple(found[case.id] for case in order.cases.cases), workers)


def _forecast(case: Case, found: Forecast | Refused | Unfinished, settings: Settings) -> CaseForecast:
    if isinstance(found, Unfinished):
        raise Incomplete(f"the forecast was not finished: case {case.id}: {found.reason or 'stopped'}")
    if isinstance(found, Refused):
        return CaseForecast(case, reason=found.reason)
    planned = found.planned
    storage = bytes_of(found.prompt_tokens, len(planned.units), found.answer_tokens, settings.views)
    return CaseForecast(case, planned, storage)


def plan(order: Order, host: Host, watch: Watch) -> Planned:
    """A new folder with the signed plan alone, so that its digest can be lodged with somebody before anything is run.
    Raises UsageError before anything is written, Incomplete where it cannot be."""
    with _started(order, host, watch) as (_, model):
        planned = planning.make(order, model, host, announced=True)
    watch.planned(planned.out, planned.digest)
    return planned


def run(order: Order, host: Host, watch: Watch) -> Finished:
    """Audit every case into a new folder. Raises UsageError before anything is written, Incomplete when the folder
    cannot be finished."""
    with ExitStack() as writing:
        with _started(order, host, watch) as (pool, model):
            planned = planning.make(order, model, host, announced=False)
            watch.planned(planned.out, planned.digest)
            writing.enter_context(bundle.locked(planned.out))
            measured = _measure(order, pool, CaseRun(order, planned, nothing_kept(planned), watch))
        return _seal(order, planned, measured, host)


def resume(order: Order, host: Host, watch: Watch) -> Finished:
    """Go on with the folder ``order.out``, which holds a plan and perhaps finished cases: these are checked and kept,
    the others run. Raises UsageError where the order is not what was planned or another process is writing there,
    EvidenceError where what is there was changed."""
    if order.out is None or not bundle.is_folder(order.out):
        raise UsageError(f"there is no folder {order.out} to go on with")
    with bundle.locked(order.out):
        with _started(order, host, watch) as (pool, model):
            planned = planning.read_back(order, model, order.out)
            watch.planned(planned.out, planned.digest)
            kept = check_kept(order, planned)
            bundle.remove_unfinished(planned.out)
            bundle.remove(planned.out, *_closing(order))
            bundle.remove_index_pages(planned.out)
            measured = _measure(order, pool, CaseRun(order, planned, kept, watch))
        return _seal(order, planned, measured, host)


def _closing(order: Order) -> tuple[str, ...]:
    """What closes an audit, in the order of removing it that leaves no folder which looks whole and is not."""
    pages = (bundle.VERIFY_PAGE, order.name(bundle.SEAL), *makers(tuple(EXPORTS)), bundle.INDEX)
    return bundle.SUMS_SIGNATURE, bundle.SUMS, *pages


class _Forecasting:
    """Tells the watch what is being looked at."""

    def __init__(self, watch: Watch, order: Order) -> None:
        self._watch = watch
        self._numbers = {case.id: number for number, case in enumerate(order.cases.cases, start=1)}

    def stop_requested(self) -> bool:
        return self._watch.stop_requested()

    def begins(self, case: Case) -> None:
        self._watch.case_begins(case, self._numbers[case.id], len(self._numbers))

    def progress(self, case: Case, done: int, total: int) -> None:
        self._watch.units(case, done, total)


@contextmanager
def _started(order: Order, host: Host, watch: Watch) -> Iterator[tuple[Pool[Worker], ModelIdentity]]:
    """Workers that have the model and this program, and what they say of the model. Raises UsageError where they do
    not, or not all the same."""
    watch.loading(order.model)
    here = order.executor.here
    start = Start(order.model, order.settings, host) if here else Start(travelling(order.model), order.settings)
    with order.executor.pool(start) as pool:
        described = pool.each(describe)
        watch.started(pool.workers)
        own = Description(described[0].model, __version__, template_digest())
        if any(one != own for one in described):
            raise UsageError(
                "the workers do not all have the same version of attn-audit, with the same templates, as this process; "
                "install one version on every machine"
            )
        yield pool, own.model


@dataclass(frozen=True)
class _Measured:
    """How the cases ended, in the order of the plan; the model's root after them, or another one that its files have
    where some worker read them; and the last time that a case records."""

    ended: tuple[SealedCase, ...]
    root: str | None
    latest: datetime


def _measure(order: Order, pool: Pool[Worker], cases: CaseRun) -> _Measured:
    ended = cases.run(pool)
    roots = {*pool.each(root_now), *(() if order.executor.here else (root_of_files(order.model),))}
    changed = roots - {order.model.root}
    return _Measured(ended, next(iter(changed), order.model.root), cases.latest)


def _seal(order: Order, planned: Planned, measured: _Measured, host: Host) -> Finished:
    """The workers have gone; what is left is to close the folder."""
    host = replace(host, clock=never_back(host.clock, measured.latest))
    try:
        seal = _close(order, planned, measured, host)
    except EvidenceError as error:  # of a file that was written here: changed since, or too large
        raise Incomplete(f"the audit cannot be sealed: {error}") from None
    if not seal.skipped:  # every case has ended: what is left of the salts stands in the contents
        bundle.forget_salts(planned.out)
    return Finished(planned.out, seal)


def _close(order: Order, planned: Planned, measured: _Measured, host: Host) -> Seal:
    """Seal the folder. Its signed list of files is written last: without it nothing here verifies as a whole."""
    ended, out, model_files = measured.ended, planned.out, bundle.read_file(planned.out / bundle.MANIFEST)
    seal = Seal(
        tool=planned.plan.tool,
        signer=order.signer,
        plan=planned.digest,
        previous=planned.previous,
        started=planned.plan.created,
        finished=host.now(),
        model_root_after=measured.root,
        cases=ended,
        ok=sum(case.status == "ok" for case in ended),
        failed=sum(case.status == "failed" for case in ended),
        skipped=sum(case.status == "skipped" for case in ended),
        exports=order.exports,
    )
    seal = seal.model_copy(update={"pairs": _pairs(order, out, seal)})
    subjects = seal_subjects(seal, signed=order.signed, manifest=model_files)
    sealed = stored(out, planned.plan, seal)
    bundle.write_index(out, index_pages(sealed))
    for name, page in makers(seal.exports).items():
        bundle.write_file(out / name, page(sealed))
    bundle.write_file(out / bundle.VERIFY_PAGE, verify_page(planned.plan, seal, (), alone=False))
    bundle.write_file(out / order.name(bundle.SEAL), order.seal_up(Statement(subjects, seal)))
    write_sums(out, order.key)
    return seal


def _pairs(order: Order, out: Path, seal: Seal) -> tuple[PairFinding, ...]:
    """What became of the policies on pairs of cases. Raises EvidenceError."""
    paired = [case.id for case in order.cases.cases if any(policy.pair_with for policy in case.policies)]
    return tuple(pair_findings(paired, stored_cases(out, seal)))
