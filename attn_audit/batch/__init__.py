"""Many cases to one audit folder: plan, run, seal. One failed case never stops the others.

Case folders are renamed into place when they are whole, so they are the journal: a run that was interrupted goes on
with the cases that have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from attn_audit.audit import forecast_case
from attn_audit.batch import planning
from attn_audit.batch.cases import OUT_OF_MEMORY, check_kept, run_cases
from attn_audit.batch.order import Finished, Order, Watch
from attn_audit.batch.planning import Planned
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import parse_canonical
from attn_audit.evidence.envelope import Statement
from attn_audit.evidence.errors import CaseError, EvidenceError, Incomplete, UsageError
from attn_audit.evidence.findings import PairFinding
from attn_audit.evidence.host import Host, never_back
from attn_audit.evidence.identity import files_of, root_of
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Case
from attn_audit.evidence.statements import Seal, SealedCase, seal_subjects
from attn_audit.evidence.store import stored, stored_cases
from attn_audit.evidence.sums import write_sums
from attn_audit.judge.pairs import pair_findings
from attn_audit.measure.explain import check
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import LocatedModel, Model, load
from attn_audit.measure.planner import Planned as PlannedCase
from attn_audit.reports.exports import makers
from attn_audit.reports.index import index_pages
from attn_audit.reports.verify_page import verify_page
from attn_audit.verify.signature import moment

__all__ = ["Finished", "Forecast", "Order", "Watch", "forecast", "plan", "resume", "run"]


@dataclass(frozen=True)
class Forecast:
    """What one case will take, or why it cannot be audited."""

    case: Case
    planned: PlannedCase | None
    reason: str | None = None


def forecast(order: Order, host: Host, watch: Watch) -> Iterator[Forecast]:
    """The plan of each case, in order; nothing is answered and nothing written. Raises UsageError as ``run`` does."""
    model = _loaded(order, watch)
    for case in order.cases.cases:
        try:
            with as_memory_error():
                yield Forecast(case, forecast_case(model, case, order.settings, host))
        except CaseError as error:
            yield Forecast(case, None, str(error))
        except MemoryError:
            yield Forecast(case, None, OUT_OF_MEMORY)


def plan(order: Order, host: Host, watch: Watch) -> Planned:
    """A new folder with the signed plan alone, so that its digest can be lodged with somebody before anything is run.
    Raises UsageError before anything is written, Incomplete where it cannot be."""
    planned = planning.make(order, _loaded(order, watch).identity, host, announced=True)
    watch.planned(planned.out, planned.digest)
    return planned


def run(order: Order, host: Host, watch: Watch) -> Finished:
    """Audit every case, in order, into a new folder. Raises UsageError before anything is written, Incomplete when the
    folder cannot be finished."""
    model = _loaded(order, watch)
    planned = planning.make(order, model.identity, host, announced=False)
    watch.planned(planned.out, planned.digest)
    with bundle.locked(planned.out):
        return _go_on(order, planned, {}, model, host, watch)


def resume(order: Order, host: Host, watch: Watch) -> Finished:
    """Go on with the folder ``order.out``, which holds a plan and perhaps finished cases: these are checked and kept,
    the others run. Raises UsageError where the order is not what was planned or another process is writing there,
    EvidenceError where what is there was changed."""
    if order.out is None or not bundle.is_folder(order.out):
        raise UsageError(f"there is no folder {order.out} to go on with")
    with bundle.locked(order.out):
        model = _loaded(order, watch)
        planned = planning.read_back(order, model.identity, order.out)
        watch.planned(planned.out, planned.digest)
        exports = (name for names in bundle.EXPORTS.values() for name in names)
        pages = (bundle.VERIFY_PAGE, order.name(bundle.SEAL), *exports, bundle.INDEX)
        closing = (bundle.SUMS_SIGNATURE, bundle.SUMS, *pages)
        kept = check_kept(order, planned)
        host = replace(host, clock=never_back(host.clock, _latest(planned)))
        bundle.remove_unfinished(planned.out)
        bundle.remove(planned.out, *closing)  # in the order that leaves no folder which looks whole and is not
        bundle.remove_index_pages(planned.out)
        return _go_on(order, planned, kept, model, host, watch)


def _latest(planned: Planned) -> datetime:
    """The last time that is recorded in a folder that is gone on with."""
    folders = [planned.out / bundle.CASES / case.id for case in planned.plan.cases]
    files = [folder / bundle.EVIDENCE for folder in folders if (folder / bundle.EVIDENCE).exists()]
    stored = (parse_canonical(bundle.read_file(path), Evidence, path.name) for path in files)
    return max((moment(one.run.finished) for one in stored), default=moment(planned.plan.created))


def _loaded(order: Order, watch: Watch) -> Model:
    watch.loading(order.model)
    model = load(order.model, order.settings.seed, order.settings.dtype, order.settings.device)
    check(model, order.settings)
    return model


def _go_on(
    order: Order, planned: Planned, kept: Mapping[str, SealedCase], model: Model, host: Host, watch: Watch
) -> Finished:
    ended = tuple(run_cases(order, planned, kept, model, host, watch))
    try:
        seal = _close(order, planned, ended, host)
    except EvidenceError as error:  # of a file that was written here: changed since, or too large
        raise Incomplete(f"the audit cannot be sealed: {error}") from None
    if not seal.skipped:  # every case has ended: what is left of the salts stands in the contents
        bundle.forget_salts(planned.out)
    return Finished(planned.out, seal)


def _close(order: Order, planned: Planned, ended: tuple[SealedCase, ...], host: Host) -> Seal:
    """Seal the folder. Its signed list of files is written last: without it nothing here verifies as a whole."""
    out, model_files = planned.out, bundle.read_file(planned.out / bundle.MANIFEST)
    seal = Seal(
        tool=planned.plan.tool,
        signer=order.signer,
        plan=planned.digest,
        previous=planned.previous,
        started=planned.plan.created,
        finished=host.now(),
        model_root_after=_root_now(order.model),
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


def _root_now(model: LocatedModel) -> str | None:
    """The model's files hashed again; None where they cannot be read any more, or bear other names."""
    try:
        files = files_of(model.path)
    except UsageError:
        return None
    return root_of(files) if [file.name for file in files] == [file.name for file in model.files] else None
