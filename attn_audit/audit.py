"""One case to its record, top to bottom: prompt, answer, units, scores, judgement."""

from __future__ import annotations

from dataclasses import dataclass, replace

from attn_audit import __version__
from attn_audit.evidence.checked import Checks
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.errors import CaseError, UsageError
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.host import Host
from attn_audit.evidence.measured import (
    AnswerPart,
    AnswerScore,
    Evidence,
    Run,
    SelfExplanation,
    Setting,
    Signer,
    Sweep,
    Tool,
)
from attn_audit.evidence.records import (
    AnswerText,
    BatchInfo,
    Case,
    Content,
    Scores,
)
from attn_audit.evidence.settings import Settings, recorded_as_given
from attn_audit.judge.parts import answer_parts
from attn_audit.judge.policies import findings
from attn_audit.judge.relevance import relevance
from attn_audit.judge.repeats import repeated
from attn_audit.judge.warnings import warnings
from attn_audit.measure.asking import Asked, ask
from attn_audit.measure.checks import Checker
from attn_audit.measure.explain import Explained, Sweeps, check, explain
from attn_audit.measure.model import Model
from attn_audit.measure.paraphrases import paraphrase
from attn_audit.measure.planner import Clock, Planned, Planner
from attn_audit.measure.self_explanation import self_explanation
from attn_audit.measure.spread import HERE, Progress, Spread
from attn_audit.measure.sweep import rounded
from attn_audit.measure.units import frozen
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest

NO_PLAN = sha256(b"")  # of a case that was audited without one: the digest of no bytes


@dataclass(frozen=True)
class Terms:
    """What holds for all cases of a batch and is written into each record."""

    tool: Tool
    plan: str
    signer: Signer | None
    settings: Settings
    recorded: tuple[Setting, ...]
    batch: BatchInfo
    templates: str
    limits: str

    @classmethod
    def unsigned(cls, model: Model, settings: Settings | None = None) -> Terms:
        """For cases that are audited one by one, without a plan and unsigned; the report is HTML unless the settings
        name another. Raises UsageError where the settings do not suit the model."""
        held = {"dtype": model.identity.dtype, "device": str(model.device)}
        settings = settings or Settings()
        for name in held.keys() & settings.model_fields_set:
            if getattr(settings, name) != held[name]:
                raise UsageError(f"setting {name} = {getattr(settings, name)!r}, but the model is in {held[name]}")
        if "format" not in settings.model_fields_set:
            held["format"] = "html"
        settings = settings.model_copy(update=held)
        recorded = recorded_as_given(settings)
        check(model, settings)
        return cls(
            tool=Tool(version=__version__),
            plan=NO_PLAN,
            signer=None,
            settings=settings,
            recorded=(Setting(name="model", value=model.identity.name, origin="caller"), *recorded),
            batch=BatchInfo(),
            templates=template_digest(),
            limits=limits_version(),
        )


@dataclass(frozen=True)
class _Measured:
    """What was suppressed and found, what it took without the checks, and the checks, which are made last."""

    planned: Planned
    explained: Explained
    relevance: tuple[float | None, ...]
    parts: tuple[AnswerPart, ...]
    self_explanation: SelfExplanation | None
    cost: Sweep
    checks: Checks | None = None


@dataclass(frozen=True)
class _Times:
    """When it was: at the beginning, by the clock and by the timer; with the answer, and with the measured map."""

    started: str
    began: float
    answered: float
    measured: float


def unwatched(done: int, total: int) -> None:
    """The progress of a case that nobody looks at."""


def audit_case(
    model: Model,
    case: Case,
    terms: Terms,
    salt: str,
    host: Host,
    progress: Progress = unwatched,
    spread: Spread = HERE,
) -> tuple[Content, Evidence]:
    """Measure one case. ``salt``: 32 random bytes in hex, new for each case. ``progress`` is called with the passes
    that are done and all that are planned, and may raise to end the case; ``spread`` may have passes measured
    elsewhere, and raise for it. Raises CaseError where it cannot be audited honestly."""
    started, began = host.now(), host.timer()
    progress(0, 1)
    asked = ask(model, case, terms.settings, host, spread)
    answered_at = host.timer()
    clock = Clock(lambda: host.timer() - began, asked.pace)
    sweeps = Sweeps(model, asked.bases, terms.settings, progress, spread)
    measured = _measure(sweeps, case, asked, clock)
    times = _Times(started, began, answered_at, host.timer())
    measured = replace(measured, checks=_check(sweeps, case, asked, measured, clock))
    content = Content(
        salt=salt,
        case=case,
        batch=terms.batch,
        prompt=asked.prompt,
        answer=asked.answered.text,
        own_answer=asked.answered.own,
        contrast=asked.contrast,
    )
    evidence = _evidence(model, terms, content, asked, measured, _run(sweeps, host, measured, times))
    return content, _judged(content, evidence)


# -- the steps of a case ------------------------------------------------------------------------------------------


def _measure(sweeps: Sweeps, case: Case, asked: Asked, clock: Clock) -> _Measured:
    planner = Planner(sweeps.model, case, asked.prompt, asked.bases, sweeps.settings)
    planned = sweeps.spread.once("plan", lambda: planner.choose(clock))
    explained = explain(sweeps, asked.answered.text, planned, planner, clock)
    base = sweeps.recorded[0]
    parts = _parts(case, asked.answered.text, base, explained.scores)
    return _Measured(
        planned,
        explained,
        relevance(base, explained.scores, explained.contrast),
        parts,
        self_explanation(sweeps, case, asked.prompt, parts),
        sweeps.cost,
    )


def _check(sweeps: Sweeps, case: Case, asked: Asked, measured: _Measured, clock: Clock) -> Checks | None:
    """The checks that the settings ask for, those over paraphrases last."""
    planned, others = measured.planned, asked.others
    checker = Checker(sweeps, planned.units, measured.relevance, repeated(planned.units, case.messages), len(others))
    checks = checker.run(sweeps.settings.checks, clock)
    if checks is None or checks.not_run is not None or not others:
        return checks
    before = sweeps.cost
    return checks.model_copy(
        update={
            "paraphrases": tuple(paraphrase(sweeps, *other, asked.answers, planned.kind) for other in others),
            "passes": checks.passes + sweeps.cost.passes - before.passes,
            "forward_tokens": checks.forward_tokens + sweeps.cost.forward_tokens - before.forward_tokens,
        }
    )


def _run(sweeps: Sweeps, host: Host, measured: _Measured, times: _Times) -> Run:
    """The record of what depends on the host or the moment, which ends with it."""
    planned = None if sweeps.settings.max_seconds is None else round(measured.planned.seconds, 3)
    return Run(
        started=times.started,
        finished=host.now(),
        seconds_answer=round(times.answered - times.began, 3),
        seconds_sweep=round(times.measured - times.answered, 3),
        seconds_checks=round(host.timer() - times.measured, 3),
        seconds_planned=planned,
        threads=host.threads,
        device=sweeps.model.device.type,
        halvings=sweeps.halvings,
        packed=sweeps.model.packed,
        executor=host.executor,
        attempts=host.attempt,
        parts=sweeps.spread.parts,
        host=host.facts,
    )


def _answer_score(asked: Asked) -> AnswerScore:
    return AnswerScore(
        source="generated" if asked.answered.own is None else "supplied",
        stop=asked.answered.stop,
        base=rounded(asked.bases[0].log_probabilities),
        observed=asked.observed,
    )


def _evidence(model: Model, terms: Terms, content: Content, asked: Asked, measured: _Measured, run: Run) -> Evidence:
    """All that was measured, in its record; not judged yet."""
    planned, explained = measured.planned, measured.explained
    return Evidence(
        tool=terms.tool,
        case_id=content.case.id,
        plan=terms.plan,
        content=sha256(canonical(content)),
        signer=terms.signer,
        model=model.identity,
        method=terms.settings.method(planned.kind, planned.effort),
        settings=terms.recorded,
        views=terms.settings.views,
        templates=terms.templates,
        limits=terms.limits,
        answer=_answer_score(asked),
        units=planned.units,
        frozen=frozen(planned.units, len(asked.prompt.ids)),
        scores=explained.scores,
        contrast=explained.contrast,
        relevance=measured.relevance,
        direct=explained.direct,
        screening=explained.screening,
        groups=explained.groups,
        profile=explained.profile,
        answer_sources=explained.answer_sources,
        parts=measured.parts,
        self_explanation=measured.self_explanation,
        checks=measured.checks,
        sweep=measured.cost,
        probe=model.probe,
        warnings=(),
        run=run,
    )


def _judged(content: Content, evidence: Evidence) -> Evidence:
    """With what became of the policies, and the warnings, which speak of those, too."""
    evidence = evidence.model_copy(update={"findings": _findings(content, evidence)})
    return evidence.model_copy(update={"warnings": warnings(content, evidence)})


def _parts(case: Case, answer: AnswerText, base: tuple[float, ...], scores: Scores) -> tuple[AnswerPart, ...]:
    try:
        return answer_parts(case.answer_parts, answer, base, scores)
    except TimeoutError:
        raise CaseError("the pattern of an answer part takes too long on the answer; simplify it") from None


def _findings(content: Content, evidence: Evidence) -> tuple[Finding, ...]:
    try:
        return findings(content, evidence)
    except TimeoutError:
        raise CaseError("the pattern of a policy takes too long on the case or its answer; simplify it") from None
