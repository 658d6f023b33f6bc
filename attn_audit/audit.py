"""One case to its record, top to bottom: prompt, answer, units, scores, judgement."""

from __future__ import annotations

from dataclasses import dataclass
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
    Evidence,
    Observed,
    Prompt,
    Run,
    Setting,
    Signer,
    Tool,
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
    rows = batch_rows(model, base, terms.settings.max_memory)
    operator = operator_of(terms.settings.method)
    scores, coverage, halvings = sweep(model, base, units, rows, progress, operator, terms.settings.effect)
    content = Content(
        salt=salt, case=case, batch=terms.batch, prompt=prompt, answer=answered.text, own_answer=answered.own
    )
    answer = _scored(base, answered, observed)
    relevances = relevance(answer.base, scores)
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
        scores=scores,
        relevance=relevances,
        sweep=coverage,
        probe=model.probe,
        warnings=warnings(answer, relevances, units, prompt),
        not_evaluated=not_evaluated(case),
        run=Run(
            started=started,
            finished=host.now(),
            seconds_answer=round(seconds_answer, 3),
            seconds_sweep=round(host.timer() - clock - seconds_answer, 3),
            threads=host.threads,
            halvings=halvings,
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


def _scored(base: Base, answered: _Answered, observed: Observed | None) -> AnswerScore:
    return AnswerScore(
        source="generated" if answered.own is None else "supplied",
        stop=answered.stop,
        base=rounded(base.log_probabilities),
        observed=observed,
    )
