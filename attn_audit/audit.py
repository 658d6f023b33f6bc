"""One case to its record, top to bottom: prompt, answer, units, scores, judgement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from attn_audit.cases import not_evaluated
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.host import Host
from attn_audit.evidence.records import (
    AnswerScore,
    AnswerText,
    BatchInfo,
    Case,
    Content,
    ContrastScore,
    Evidence,
    Observed,
    Prompt,
    Run,
    Setting,
    Signer,
    Sweep,
    Tool,
    Unit,
)
from attn_audit.evidence.settings import Settings
from attn_audit.judge.relevance import relevance
from attn_audit.judge.warnings import warnings
from attn_audit.measure.answer import Base, check_length, generate, score
from attn_audit.measure.attention import operator_of
from attn_audit.measure.model import Model
from attn_audit.measure.prompt import decode_answer, render, tokenise_answer
from attn_audit.measure.sweep import Progress, batch_rows, rounded, sweep
from attn_audit.measure.units import cut, frozen

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


@dataclass(frozen=True)
class _Answered:
    """The answer that is explained, how it came about, and the model's own where it was supplied."""

    text: AnswerText
    stop: Stop
    own: str | None


def audit_case(
    model: Model, case: Case, terms: Terms, salt: str, host: Host, progress: Progress
) -> tuple[Content, Evidence]:
    """Measure one case. ``salt`` is 32 random bytes in hex. Raises CaseError where it cannot be audited honestly."""
    started, clock = host.now(), host.timer()
    prompt = render(model.tokenizer, case.messages, host.clock())
    check_length(model, len(prompt.ids), case.max_new_tokens if case.answer is None else 0)
    units = cut(case, prompt, terms.settings.units)
    progress(0, len(units))
    answered = _answer(model, case, prompt)
    base = score(model, prompt.ids, answered.text.ids)
    observed = _observed(model, case, prompt, answered)
    seconds_answer = host.timer() - clock
    against = _contrast(model, case, prompt)
    swept = _swept(model, base, units, terms.settings, progress)
    contrast = None
    if against is not None:
        other = _swept(model, score(model, prompt.ids, against.ids), units, terms.settings, progress)
        contrast = ContrastScore(base=other.base, scores=other.scores)
        swept = swept.with_cost_of(other)
    content = Content(
        salt=salt,
        case=case,
        batch=terms.batch,
        prompt=prompt,
        answer=answered.text,
        own_answer=answered.own,
        contrast=against,
    )
    answer = _scored(swept.base, answered, observed)
    relevances = relevance(answer.base, swept.scores, contrast)
    evidence = Evidence(
        tool=terms.tool,
        case_id=case.id,
        plan=terms.plan,
        content=sha256(canonical(content)),
        signer=terms.signer,
        model=model.identity,
        method=terms.settings.method,
        settings=terms.recorded,
        views=terms.settings.views,
        templates=terms.templates,
        limits=terms.limits,
        answer=answer,
        units=units,
        frozen=frozen(units, len(prompt.ids)),
        scores=swept.scores,
        contrast=contrast,
        relevance=relevances,
        sweep=swept.cost,
        probe=model.probe,
        warnings=warnings(answer, relevances, units, prompt),
        not_evaluated=not_evaluated(case),
        run=Run(
            started=started,
            finished=host.now(),
            seconds_answer=round(seconds_answer, 3),
            seconds_sweep=round(host.timer() - clock - seconds_answer, 3),
            threads=host.threads,
            halvings=swept.halvings,
            host=host.facts,
        ),
    )
    return content, evidence


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


@dataclass(frozen=True)
class _Swept:
    """One answer measured: ``base`` (answer tokens,) and ``scores`` (units, answer tokens), nats, as recorded."""

    base: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]
    cost: Sweep
    halvings: int

    def with_cost_of(self, other: _Swept) -> _Swept:
        """The same measurement, with what another one took added."""
        summed = {
            name: getattr(self.cost, name) + getattr(other.cost, name)
            for name in ("passes", "forward_tokens", "naive_forward_tokens")
        }
        return replace(self, cost=self.cost.model_copy(update=summed), halvings=self.halvings + other.halvings)


def _swept(model: Model, base: Base, units: tuple[Unit, ...], settings: Settings, progress: Progress) -> _Swept:
    rows = batch_rows(model, base, settings.max_memory)
    operator = operator_of(settings.method)
    swept = sweep(model, base, [unit.runs for unit in units], rows, progress, operator, settings.effect)
    return _Swept(rounded(base.log_probabilities), swept.scores, swept.cost, swept.halvings)


def _contrast(model: Model, case: Case, prompt: Prompt) -> AnswerText | None:
    """The answer that did not come, where the case names one. Raises CaseError."""
    if case.contrast is None:
        return None
    given = tokenise_answer(model.tokenizer, case.contrast)
    check_length(model, len(prompt.ids), len(given.ids))
    return given


def _scored(base: tuple[float, ...], answered: _Answered, observed: Observed | None) -> AnswerScore:
    return AnswerScore(
        source="generated" if answered.own is None else "supplied",
        stop=answered.stop,
        base=base,
        observed=observed,
    )
