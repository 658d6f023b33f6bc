"""Many cases to one audit folder: plan, run, seal. One failed case never stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attn_audit import __version__
from attn_audit.audit import Terms, audit_case, forecast_case
from attn_audit.cases import CaseFile
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical, salted_case, salted_file, sha256
from attn_audit.evidence.envelope import Statement, encode, sign
from attn_audit.evidence.errors import CaseError, Incomplete, Stopped, UsageError
from attn_audit.evidence.host import Host
from attn_audit.evidence.identity import files_of, manifest, root_of
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.measured import (
    Evidence,
    Setting,
    Signer,
    Tool,
)
from attn_audit.evidence.records import (
    Case,
    Content,
    Record,
)
from attn_audit.evidence.settings import Settings
from attn_audit.evidence.statements import Plan, PlannedCase, Seal, SealedCase, plan_subjects, seal_subjects, summary
from attn_audit.evidence.store import Measured, StoredCases
from attn_audit.measure.explain import check
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import LocatedModel, Model, load
from attn_audit.measure.planner import Planned
from attn_audit.measure.sweep import Progress
from attn_audit.reports import html, pdf
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest

_NO_PUNCTUATION = str.maketrans("", "", "-:")
_STOPPED = "the run was stopped before this case was finished"
_OUT_OF_MEMORY = "out of memory, also for one piece at a time; shorten the case or use a larger machine"


@dataclass(frozen=True)
class Order:
    """What is to be run: cases, located model, settings, who signs (None: nobody), where to (None: a new name)."""

    cases: CaseFile
    model: LocatedModel
    settings: Settings
    recorded: tuple[Setting, ...]
    key: SigningKey | None
    out: Path | None

    @property
    def signer(self) -> Signer | None:
        return None if self.key is None else self.key.signer

    def seal_up(self, statement: Statement[Record]) -> bytes:
        """The statement as it is stored: in a signed bundle, or bare where nobody signs."""
        payload = encode(statement)
        return payload if self.key is None else sign(payload, self.key)

    @property
    def signed(self) -> bool:
        return self.key is not None

    def name(self, stem: str) -> str:
        return bundle.statement_name(stem, signed=self.signed)


class Watch:
    """What a batch tells while it runs; the command line draws it. Methods do nothing here."""

    def stop_requested(self) -> bool:
        """Asked before each pass: whether the case at hand and those after it shall be skipped and the rest sealed."""
        return False

    def loading(self, model: LocatedModel) -> None:
        """The model's files are hashed; loading and probing begin."""

    def case_begins(self, case: Case, number: int, total: int) -> None:
        """Case ``number`` (from 1) of ``total``."""

    def units(self, done: int, total: int) -> None:
        """Progress within the case."""

    def case_ends(self, case: Case, ended: SealedCase, measured: Measured | None) -> None:
        """A case is finished, its folder in place, or failed."""


@dataclass(frozen=True)
class Finished:
    """Where the audit stands, and how its cases ended."""

    out: Path
    seal: Seal


@dataclass(frozen=True)
class Forecast:
    """What one case will take, or why it cannot be audited."""

    case: Case
    planned: Planned | None
    reason: str | None = None


def forecast(order: Order, host: Host, watch: Watch) -> Iterator[Forecast]:
    """The plan of each case, in order; nothing is answered and nothing written. Raises UsageError as ``run`` does."""
    watch.loading(order.model)
    model = load(order.model, order.settings.seed, order.settings.dtype, order.settings.device)
    check(model, order.settings)
    for case in order.cases.cases:
        try:
            with as_memory_error():
                yield Forecast(case, forecast_case(model, case, order.settings, host))
        except CaseError as error:
            yield Forecast(case, None, str(error))
        except MemoryError:
            yield Forecast(case, None, _OUT_OF_MEMORY)


def run(order: Order, host: Host, watch: Watch) -> Finished:
    """Audit every case, in order, into a new folder. Raises UsageError before anything is written, Incomplete when the
    folder cannot be finished."""
    watch.loading(order.model)
    model = load(order.model, order.settings.seed, order.settings.dtype, order.settings.device)
    check(model, order.settings)
    salts = tuple(host.entropy(32).hex() for _ in order.cases.cases)
    plan = _plan(order, model, salts, host.now())
    plan_file = order.seal_up(Statement(plan_subjects(plan), plan))
    digest = sha256(plan_file)
    out = order.out or Path(f"audit-{plan.created.translate(_NO_PUNCTUATION)}-{digest[:8]}")
    bundle.create_folder(out)
    bundle.write_file(out / order.name(bundle.PLAN), plan_file)
    bundle.write_file(out / bundle.MANIFEST, manifest(model.identity))
    terms = Terms(
        tool=plan.tool,
        plan=digest,
        signer=order.signer,
        settings=order.settings,
        recorded=order.recorded,
        batch=order.cases.batch,
        templates=template_digest(),
        limits=limits_version(),
    )
    ended = tuple(_run_cases(order, out, model, terms, salts, host, watch))
    seal = Seal(
        tool=plan.tool,
        signer=order.signer,
        plan=digest,
        started=plan.created,
        finished=host.now(),
        model_root_after=_root_now(order.model),
        cases=ended,
        ok=sum(case.status == "ok" for case in ended),
        failed=sum(case.status == "failed" for case in ended),
        skipped=sum(case.status == "skipped" for case in ended),
    )
    index = html.index(plan, seal, StoredCases(out, seal))
    bundle.write_file(out / bundle.INDEX, index)
    subjects = seal_subjects(seal, signed=order.signed, index=index, manifest=manifest(model.identity))
    sealed = order.seal_up(Statement(subjects, seal))
    bundle.write_file(out / order.name(bundle.SEAL), sealed)
    return Finished(out, seal)


def _root_now(model: LocatedModel) -> str | None:
    """The model's files hashed again; None where they cannot be read any more, or bear other names."""
    try:
        files = files_of(model.path)
    except UsageError:
        return None
    return root_of(files) if [file.name for file in files] == [file.name for file in model.files] else None


def _plan(order: Order, model: Model, salts: tuple[str, ...], created: str) -> Plan:
    return Plan(
        tool=Tool(version=__version__),
        created=created,
        signer=order.signer,
        case_file=salted_file(salts, order.cases.raw),
        cases=tuple(
            PlannedCase(id=case.id, digest=salted_case(salt, case))
            for case, salt in zip(order.cases.cases, salts, strict=True)
        ),
        settings=order.recorded,
        views=order.settings.views,
        model_name=model.identity.name,
        model_root=model.identity.root,
    )


def _run_cases(
    order: Order, out: Path, model: Model, terms: Terms, salts: tuple[str, ...], host: Host, watch: Watch
) -> Iterator[SealedCase]:
    cases = order.cases.cases
    for number, (case, salt) in enumerate(zip(cases, salts, strict=True), start=1):
        watch.case_begins(case, number, len(cases))
        measured = None
        try:
            with as_memory_error():
                measured = audit_case(model, case, terms, salt, host, _stopping(watch))
            ended = _write_case(order, out, *measured)
        except Stopped:
            ended = SealedCase(id=case.id, status="skipped", reason=_STOPPED)
        except (CaseError, Incomplete) as error:
            measured, ended = None, SealedCase(id=case.id, status="failed", reason=str(error))
        except MemoryError:
            ended = SealedCase(id=case.id, status="failed", reason=_OUT_OF_MEMORY)
        watch.case_ends(case, ended, measured)
        yield ended


def _stopping(watch: Watch) -> Progress:
    """The watch's progress, which ends the case as soon as a stop is asked for: before the next pass, never within
    writing, so that a case is either whole or not there."""

    def progress(done: int, total: int) -> None:
        if watch.stop_requested():
            raise Stopped(_STOPPED)
        watch.units(done, total)

    return progress


def _write_case(order: Order, out: Path, content: Content, evidence: Evidence) -> SealedCase:
    files = case_files(content, evidence)
    subjects = tuple((name, sha256(data)) for name, data in files.items())
    attestation = order.seal_up(Statement(subjects, summary(content, evidence)))
    bundle.write_case(out, content.case.id, {**files, order.name(bundle.ATTESTATION): attestation})
    return SealedCase(id=content.case.id, status="ok", attestation=sha256(attestation))


def case_files(content: Content, evidence: Evidence) -> dict[str, bytes]:
    """The files of a case that its attestation names, in that order."""
    views = {"html": html.report, "pdf": pdf.report}
    rendered = {bundle.view_name(view): views[view](content, evidence) for view in evidence.views}
    return {bundle.CONTENT: canonical(content), bundle.EVIDENCE: canonical(evidence), **rendered}
