"""What a case will take, before it is run."""

from __future__ import annotations

from dataclasses import dataclass

from attn_audit.evidence.host import Host
from attn_audit.evidence.records import AnswerText, Case, Prompt
from attn_audit.evidence.settings import Settings
from attn_audit.measure.answer import check_length
from attn_audit.measure.asking import contrast_of, paraphrased, untouched
from attn_audit.measure.model import Model
from attn_audit.measure.planner import Clock, Planned, Planner
from attn_audit.measure.prompt import render, tokenise_answer


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
    paraphrased(model, case, answer, settings, host)
    bases, pace = untouched(model, prompt, (answer, contrast_of(model, case, prompt, answer)), host)
    planned = Planner(model, case, prompt, bases, settings).choose(Clock(lambda: host.timer() - began, pace))
    return Forecast(planned, len(prompt.ids), tuple(len(base.answer) for base in bases))


def _longest_answer(model: Model, case: Case, prompt: Prompt) -> AnswerText:
    """The supplied answer, or some token as often as the case allows."""
    if case.answer is not None:
        return tokenise_answer(model.tokenizer, case.answer)
    ids = prompt.ids[-1:] * case.max_new_tokens
    return AnswerText(text="", ids=ids, offsets=((0, 0),) * len(ids))
