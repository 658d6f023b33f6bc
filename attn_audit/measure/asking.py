"""A case to its answers: the prompt, the answer that is explained, what stands beside it, and the untouched runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.host import Host
from attn_audit.evidence.measured import Observed
from attn_audit.evidence.records import AnswerText, Case, Prompt
from attn_audit.evidence.settings import Settings
from attn_audit.measure.answer import Base, check_length, generate, score
from attn_audit.measure.model import Model
from attn_audit.measure.prompt import decode_answer, render, tokenise_answer
from attn_audit.measure.spread import Spread

Stop = Literal["end of turn", "length limit", "supplied"]


@dataclass(frozen=True)
class Answered:
    """The answer that is explained, how it came about, and the model's own where it was supplied."""

    text: AnswerText
    stop: Stop
    own: str | None


@dataclass(frozen=True)
class Asked:
    """Prompt and answer, before anything is suppressed. ``bases``: the untouched runs of the answer and of its
    contrast; ``pace``: seconds that a token of the first one took; ``others``: paraphrases of the case, with their
    prompts."""

    prompt: Prompt
    answered: Answered
    contrast: AnswerText | None
    bases: tuple[Base, ...]
    pace: float
    others: tuple[tuple[Case, Prompt], ...]
    observed: Observed | None

    @property
    def answers(self) -> tuple[AnswerText, ...]:
        """The explained one, and its contrast where there is one."""
        return (self.answered.text,) if self.contrast is None else (self.answered.text, self.contrast)


def ask(model: Model, case: Case, settings: Settings, host: Host, spread: Spread) -> Asked:
    """Let the model answer. Raises CaseError where it cannot, or where prompt and answers do not fit it."""
    prompt = render(model.tokenizer, case.messages, host.clock())
    check_length(model, len(prompt.ids), case.max_new_tokens if case.answer is None else 0)
    answered = spread.once("answer", lambda: _answer(model, case, prompt))
    contrast = contrast_of(model, case, prompt, answered.text)
    bases, pace = untouched(model, prompt, (answered.text, contrast), host)
    others = paraphrased(model, case, answered.text, settings, host)
    return Asked(prompt, answered, contrast, bases, pace, others, _observed(model, case, prompt, answered))


def _answer(model: Model, case: Case, prompt: Prompt) -> Answered:
    """The supplied answer with the model's own beside it, or the model's own. Raises CaseError."""
    supplied = None if case.answer is None else tokenise_answer(model.tokenizer, case.answer)
    if supplied is not None:
        check_length(model, len(prompt.ids), max(len(supplied.ids), case.max_new_tokens))
    ids, stop = generate(model, prompt.ids, case.max_new_tokens)
    if supplied is not None:
        return Answered(supplied, "supplied", decode_answer(model.tokenizer, ids).text)
    if not ids:
        raise CaseError("the model ended its turn without an answer, so there is nothing to explain")
    return Answered(decode_answer(model.tokenizer, ids), stop, None)


def _observed(model: Model, case: Case, prompt: Prompt, answered: Answered) -> Observed | None:
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


def untouched(
    model: Model, prompt: Prompt, answers: tuple[AnswerText, AnswerText | None], host: Host
) -> tuple[tuple[Base, ...], float]:
    """The untouched runs of the answer and of its contrast, and the seconds that a token of the first one took."""
    began = host.timer()
    first = score(model, prompt.ids, answers[0].ids)
    pace = (host.timer() - began) / first.inputs.shape[1]
    others = tuple(score(model, prompt.ids, answer.ids) for answer in answers[1:] if answer is not None)
    return (first, *others), pace


def paraphrased(
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


def contrast_of(model: Model, case: Case, prompt: Prompt, answer: AnswerText) -> AnswerText | None:
    """The answer that did not come, where the case names one. Raises CaseError."""
    if case.contrast is None:
        return None
    if case.contrast.strip() == answer.text.strip():
        raise CaseError("the contrast is the answer itself, so there is nothing to compare; name another contrast")
    given = tokenise_answer(model.tokenizer, case.contrast)
    check_length(model, len(prompt.ids), len(given.ids))
    return given
