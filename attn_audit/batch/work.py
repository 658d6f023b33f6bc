"""What a worker does, in this process or on another machine: started once with the model, it measures cases, or parts
of them, and draws their reports. It has no key, and writes nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from attn_audit import __version__
from attn_audit.audit import Terms, audit_case
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical
from attn_audit.evidence.errors import CaseError, UsageError
from attn_audit.evidence.host import Host, never_back
from attn_audit.evidence.identity import files_of, root_of
from attn_audit.evidence.measured import Evidence, ModelIdentity
from attn_audit.evidence.records import Case, Content, ExecutorName
from attn_audit.evidence.settings import Settings
from attn_audit.executors import Call
from attn_audit.host import this_host
from attn_audit.measure.explain import check
from attn_audit.measure.forecast import Forecast, forecast_case
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import LocatedModel, Model, load, locate, set_threads
from attn_audit.measure.spread import HERE, Found, Journal, Known, Part, Suspended, Wanted
from attn_audit.reports import html, pdf
from attn_audit.reports.templates import template_digest

OUT_OF_MEMORY = "out of memory, also for one piece at a time; shorten the case or use a larger machine"
WORKER_MODEL = "ATTN_AUDIT_WORKER_MODEL"  # on a worker's machine: where the model is, if not where the driver has it
_THREADS = "OMP_NUM_THREADS"  # what a cluster gives a worker, unless the settings say how many


@dataclass(frozen=True)
class Worker:
    """The loaded model, where its files are, and the machine."""

    model: Model
    located: LocatedModel
    host: Host


@dataclass(frozen=True)
class Start:
    """How a worker starts. ``host``: None where that is for the worker to find out, on its own machine."""

    located: LocatedModel
    settings: Settings
    host: Host | None = None

    def __call__(self) -> Worker:
        """Raises UsageError where the model is not there, is another one, or cannot be audited with the settings."""
        located, host = self.located, self.host
        if host is None:
            located, host = _found_here(located), _host_here(self.settings)
            set_threads(host.threads)
        model = load(located, self.settings.seed, self.settings.dtype, self.settings.device)
        check(model, self.settings)
        return Worker(model, located, host)


@dataclass(frozen=True)
class Description:
    """What a worker has: it must be what the others and the driver have."""

    model: ModelIdentity
    version: str
    templates: str


@dataclass(frozen=True)
class Split:
    """Sweeps of more than so many tokens are measured in parts, by so many workers."""

    tokens: int
    workers: int


@dataclass(frozen=True)
class Assignment:
    """What holds for all jobs. ``since``: no time that is recorded lies before it, whatever the worker's clock says."""

    terms: Terms
    executor: ExecutorName
    since: datetime
    split: Split | None


@dataclass(frozen=True)
class CaseJob:
    """A case, the ``number``-th of the batch, from 1; or a ``part`` of a sweep of it, of which ``known`` is known."""

    number: int
    case: Case
    salt: str
    known: Known = field(default_factory=Known)
    part: Part | None = None


@dataclass(frozen=True)
class Audited:
    """A case that is measured, and the files of its folder but for the attestation, in the order of its subjects."""

    content: Content
    evidence: Evidence
    files: dict[str, bytes]


@dataclass(frozen=True)
class Refused:
    """Why a case cannot be audited."""

    reason: str


def describe(worker: Worker) -> Description:
    """The worker's model and program."""
    return Description(worker.model.identity, __version__, template_digest())


def root_now(worker: Worker) -> str | None:
    """The root of the model's files, hashed again where the worker read them."""
    return root_of_files(worker.located)


def root_of_files(model: LocatedModel) -> str | None:
    """The model's files hashed again; None where they cannot be read any more, or bear other names."""
    try:
        files = files_of(model.path)
    except UsageError:
        return None
    return root_of(files) if [file.name for file in files] == [file.name for file in model.files] else None


def measure(assignment: Assignment, worker: Worker, job: CaseJob, call: Call) -> Audited | Wanted | Found | Refused:
    """The case, audited; or what is wanted to go on with it, or the part that was asked for. Lets Stopped pass."""
    split = assignment.split
    spread = HERE if split is None else Journal(job.known, job.part, split.tokens, split.workers)
    host = replace(
        worker.host,
        clock=never_back(worker.host.clock, assignment.since),
        executor=assignment.executor,
        attempt=call.attempt,
    )
    try:
        with as_memory_error():
            content, evidence = audit_case(worker.model, job.case, assignment.terms, job.salt, host, call.tell, spread)
        return Audited(content, evidence, case_files(content, evidence))
    except Suspended as suspended:
        return suspended.outcome
    except CaseError as error:
        return Refused(str(error))
    except MemoryError:
        return Refused(OUT_OF_MEMORY)


def case_files(content: Content, evidence: Evidence) -> dict[str, bytes]:
    """The files of a case that its attestation names, in that order."""
    views = {"html": html.report, "pdf": pdf.report}
    rendered = {bundle.view_name(view): views[view](content, evidence) for view in evidence.views}
    return {bundle.CONTENT: canonical(content), bundle.EVIDENCE: canonical(evidence), **rendered}


def forecast(settings: Settings, worker: Worker, case: Case, call: Call) -> Forecast | Refused:
    """What the case will take."""
    call.tell(0, 1)
    try:
        with as_memory_error():
            return forecast_case(worker.model, case, settings, worker.host)
    except CaseError as error:
        return Refused(str(error))
    except MemoryError:
        return Refused(OUT_OF_MEMORY)


def _found_here(located: LocatedModel) -> LocatedModel:
    """The driver's model as this machine has it. Raises UsageError where the files are not byte for byte the same."""
    path = os.environ.get(WORKER_MODEL)
    here = located if path is None else replace(located, path=locate(path).path)
    if not here.path.exists():
        raise UsageError(f"the model is not at {here.path} on this worker; set {WORKER_MODEL} there to where it is")
    if files_of(here.path) != located.files:
        raise UsageError(f"the files at {here.path} on this worker are not those of the model that the driver has")
    return here


def _host_here(settings: Settings) -> Host:
    given = os.environ.get(_THREADS, "")
    return this_host(settings.threads or (int(given) if given.isdecimal() else None), settings.views)


def travelling(located: LocatedModel) -> LocatedModel:
    """The same model for a process that stands in another folder."""
    return replace(located, path=Path(located.path).resolve())
