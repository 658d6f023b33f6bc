"""What a reader must know before relying on the map, judged from what is recorded alone."""

from __future__ import annotations

from math import exp, fsum

from attn_audit.evidence.records import AnswerScore, Prompt, Unit, Warn
from attn_audit.judge.relevance import positive_share

_CERTAIN = 0.999
_IMPOSSIBLE = 1e-6
_MOST_OF_THE_MASS = 0.8
_FEW_UNITS = 3

_SENTENCES = {
    "answer-cut": "The answer was cut at the length limit, so what is explained may not be the whole answer; raise "
    "max_new_tokens to see it end.",
    "near-certain": f"The answer was nearly certain (probability above {_CERTAIN}), so single pieces can hardly lower "
    "it and small scores may hide what matters.",
    "near-impossible": f"The model gives this answer a probability below {_IMPOSSIBLE:g}; the map explains a choice "
    "the model would rarely make, or a long answer.",
    "one-piece": f"One piece holds more than {_MOST_OF_THE_MASS:.0%} of the positive relevance; read it in its "
    "context.",
    "last-piece": "The prompt ends with a piece of the input. That piece itself predicts the first token of the "
    "answer, so its score leaves this token out and is too low.",
    "special-token": "A message holds text that the model reads as a control token, as if another turn had begun; "
    "that text was not measured.",
    "dated-prompt": "The model's chat template wrote the date into the prompt; on another day the same case is "
    "another prompt.",
    "no-support": "No piece of the input supported the answer; it came from the model or from pieces acting together.",
}


def warnings(
    answer: AnswerScore, relevance: tuple[float, ...], units: tuple[Unit, ...], prompt: Prompt
) -> tuple[Warn, ...]:
    """The warnings that hold, in a fixed order. ``relevance`` is (units,), nats."""
    certainty = exp(min(0.0, fsum(answer.base)))
    share = max(positive_share(relevance), default=0.0)
    last = len(prompt.ids) - 1
    holds = {
        "answer-cut": answer.stop == "length limit",
        "near-certain": certainty > _CERTAIN,
        "near-impossible": certainty < _IMPOSSIBLE,
        "one-piece": share > _MOST_OF_THE_MASS and len(relevance) > _FEW_UNITS,
        "last-piece": any(start <= last < stop for unit in units for start, stop in unit.runs),
        "special-token": bool(prompt.special),
        "dated-prompt": prompt.date is not None,
        "no-support": not any(value > 0 for value in relevance),
    }
    return tuple(Warn(code=code, sentence=sentence) for code, sentence in _SENTENCES.items() if holds[code])
