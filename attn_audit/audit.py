"""One case to its record, top to bottom: prompt, answer, units, scores, judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attn_audit import __version__
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.errors import CaseError, UsageError
from attn_audit.evidence.findings import Finding
from attn_audit.evidence.host import Host
from attn_audit.evidence.measured import AnswerPart, AnswerScore, Evidence, Observed, Run, Setting, Signer, Tool
from attn_audit.evidence.records import (
    AnswerText,
    BatchInfo,
    Case,
    Content,
    Prompt,
    Scores,
)
from attn_audit.evidence.settings import Settings, recorded_as_given
from attn_audit.judge.parts import answer_parts
from attn_audit.judge.policies import findings
from attn_audit.judge.relevance import relevance
from attn_audit.judge.repeats import repeated
from attn_audit.judge.warnings import warnings
from attn_audit.measure.answer import Base, check_length, generate, score
from attn_audit.measure.checks import Checker
from attn_audit.measure.explain import Sweeps, check, explain
from attn_audit.measure.model import Model
from attn_audit.measure.paraphrases import paraphrase
from attn_audit.measure.planner import Clock, Planned, Planner
from attn_audit.measure.prompt import decode_answer, render, tokenise_answer
from attn_audit.measure.self_explanation import self_explanation
from attn_audit.measure.spread import HERE, Progress, Spread
from attn_audit.measure.units import frozen
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest

NO_PLAN = sha256(b"")  # of a case that was audited without one: the digest of no bytes
Stop = Literal["end of turn", "length limit", "supplied"]


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
class _Answered:
    """The answer that is explained, how it came about, and the model's own where it was supplied."""

    text: AnswerText
    stop: Stop
    own: str | None


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
    settings = terms.settings
    progress(0, 1)
    prompt = render(model.tokenizer, case.messages, host.clock())
    check_length(model, len(prompt.ids), case.max_new_tokens if case.answer is None else 0)
    answered = spread.once("answer", lambda: _answer(model, case, prompt))
    bases, pace = _bases(model, prompt, (answered.text, against := _contrast(model, case, prompt, answered.text)), host)
    others = _paraphrased(model, case, answered.text, settings, host)
    observed = _observed(model, case, prompt, answered)
    seconds_answer = host.timer() - began
    clock = Clock(lambda: host.timer() - began, pace)
    planner = Planner(model, case, prompt, bases, settings)
    planned = spread.once("plan", lambda: planner.choose(clock))
    method = settings.method(planned.kind, planned.effort)
    sweeps = Sweeps(model, bases, settings, progress, spread)
    explained = explain(sweeps, answered.text, planned, planner, clock)
    content = Content(
        salt=salt,
        case=case,
        batch=terms.batch,
        prompt=prompt,
        answer=answered.text,
        own_answer=answered.own,
        contrast=against,
    )
    base = sweeps.recorded[0]
    answer = AnswerScore(
        source="generated" if answered.own is None else "supplied", stop=answered.stop, base=base, observed=observed
    )
    units = planned.units
    relevances = relevance(base, explained.scores, explained.contrast)
    parts = _parts(case, answered.text, base, explained.scores)
    explanation = self_explanation(sweeps, case, prompt, parts)
    cost, seconds_sweep = sweeps.cost, host.timer() - began - seconds_answer
    checker = Checker(sweeps, units, relevances, repeated(units, case.messages), len(others))
    checks = checker.run(settings.checks, clock)
    if checks is not None and checks.not_run is None and others:
        before, answers = sweeps.cost, (answered.text,) if against is None else (answered.text, against)
        checks = checks.model_copy(
            update={
                "paraphrases": tuple(paraphrase(sweeps, *other, answers, planned.kind) for other in others),
                "passes": checks.passes + sweeps.cost.passes - before.passes,
                "forward_tokens": checks.forward_tokens + sweeps.cost.forward_tokens - before.forward_tokens,
            }
        )
    evidence = Evidence(
        tool=terms.tool,
        case_id=case.id,
        plan=terms.plan,
        content=sha256(canonical(content)),
        signer=terms.signer,
        model=model.identity,
        method=method,
        settings=terms.recorded,
        views=terms.settings.views,
        templates=terms.templates,
        limits=terms.limits,
        answer=answer,
        units=units,
        frozen=frozen(units, len(prompt.ids)),
        scores=explained.scores,
        contrast=explained.contrast,
        relevance=relevances,
        direct=explained.direct,
        screening=explained.screening,
        groups=explained.groups,
        profile=explained.profile,
        answer_sources=explained.answer_sources,
        parts=parts,
        self_explanation=explanation,
        checks=checks,
        sweep=cost,
        probe=model.probe,
        warnings=(),
        run=Run(
            started=started,
            finished=host.now(),
            seconds_answer=round(seconds_answer, 3),
            seconds_sweep=round(seconds_sweep, 3),
            seconds_checks=round(host.timer() - began - seconds_answer - seconds_sweep, 3),
            seconds_planned=None if settings.max_seconds is None else round(planned.seconds, 3),
            threads=host.threads,
            device=model.device.type,
            halvings=sweeps.halvings,
            packed=model.packed,
            executor=host.executor,
            attempts=host.attempt,
            parts=spread.parts,
            host=host.facts,
        ),
    )
    evidence = evidence.model_copy(update={"findings": _findings(content, evidence)})
    return content, evidence.model_copy(update={"warnings": warnings(content, evidence)})


@dataclass(frozen=True)
class Forecast:
    """What measuring a case will take, and the tokens of its prompt, of the longest answer that it allows, and of its
    contrast where it has one."""

    planned: Planned
    prompt_tokens: int
    answer_tokens: tuple[int, ...]


def forecast_case(model: Model, case: Case, settings: Settings, host: Host) -> Forecast:
    """Nothing is answered or measured but one pass over the prompt. Raises CaseError."""
    began = host.timer()
    prompt = render(model.tokenizer, case.messages, host.clock())
    answer = _longest_answer(model, case, prompt)
    check_length(model, len(prompt.ids), len(answer.ids))
    _paraphrased(model, case, answer, settings, host)
    bases, pace = _bases(model, prompt, (answer, _contrast(model, case, prompt, answer)), host)
    planned = Planner(model, case, prompt, bases, settings).choose(Clock(lambda: host.timer() - began, pace))
    return Forecast(planned, len(prompt.ids), tuple(len(base.answer) for base in bases))


def _longest_answer(model: Model, case: Case, prompt: Prompt) -> AnswerText:
    """The supplied answer, or some token as often as the case allows."""
    if case.answer is not None:
        return tokenise_answer(model.tokenizer, case.answer)
    ids = prompt.ids[-1:] * case.max_new_tokens
    return AnswerText(text="", ids=ids, offsets=((0, 0),) * len(ids))


def _answer(model: Model, case: Case, prompt: Prompt) -> _Answered:
    """The supplied answer with the model's own beside it, or the model's own. Raises CaseError."""
    supplied = None if case.answer is None else tokenise_answer(model.tokenizer, case.answer)
    if supplied is not None:
        check_length(model, len(prompt.ids), max(len(supplied.ids), case.max_new_tokens))
    ids, stop = generate(model, prompt.ids, case.max_new_tokens)
    if supplied is not None:
        return _Answered(supplied, "supplied", decode_answer(model.tokenizer, ids).text)
    if not ids:
        raise CaseError("the model ended its turn without an answer, so there is nothing to explain")
    return _Answered(decode_answer(model.tokenizer, ids), stop, None)


def _observed(model: Model, case: Case, prompt: Prompt, answered: _Answered) -> Observed | None:
    """Whether this model gives the answer that production gave, and how probable it finds it."""
    if case.observed_answer is None:
        return None
    given = tokenise_answer(model.tokenizer, case.observed_answer)
    check_length(model, len(prompt.ids), len(given.ids))
    own = answered.text.text if answered.own is None else answered.own
    found = score(model, prompt.ids, given.ids).log_probabilities
    return Observed(
        reproduced=own.strip() == case.observed_answer.strip(),
        tokens=len(given.ids),
        log_probability=round(float(found.sum()), 6),
    )


def _bases(
    model: Model, prompt: Prompt, answers: tuple[AnswerText, AnswerText | None], host: Host
) -> tuple[tuple[Base, ...], float]:
    """The untouched runs of the answer and of its contrast, and the seconds that a token of the first one took."""
    began = host.timer()
    first = score(model, prompt.ids, answers[0].ids)
    pace = (host.timer() - began) / first.inputs.shape[1]
    others = tuple(score(model, prompt.ids, answer.ids) for answer in answers[1:] if answer is not None)
    return (first, *others), pace


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


def _paraphrased(
    model: Model, case: Case, answer: AnswerText, settings: Settings, host: Host
) -> tuple[tuple[Case, Prompt], ...]:
    """The paraphrases that will be measured, as cases with their prompts; none where the settings ask for none. Raises
    CaseError, before anything else is measured, where one does not fit the model."""
    found: list[tuple[Case, Prompt]] = []
    for number, messages in enumerate(case.paraphrases if settings.checks == "full" else (), start=1):
        try:
            prompt = render(model.tokenizer, messages, host.clock())
            check_length(model, len(prompt.ids), len(answer.ids))
        except CaseError as error:
            raise CaseError(f"paraphrase {number}: {error}") from None
        found.append((case.model_copy(update={"messages": messages, "named": ()}), prompt))
    return tuple(found)


def _contrast(model: Model, case: Case, prompt: Prompt, answer: AnswerText) -> AnswerText | None:
    """The answer that did not come, where the case names one. Raises CaseError."""
    if case.contrast is None:
        return None
    if case.contrast.strip() == answer.text.strip():
        raise CaseError("the contrast is the answer itself, so there is nothing to compare; name another contrast")
    given = tokenise_answer(model.tokenizer, case.contrast)
    check_length(model, len(prompt.ids), len(given.ids))
    return given
