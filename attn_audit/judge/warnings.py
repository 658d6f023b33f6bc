"""What a reader must know before relying on the map, judged from what is recorded alone."""

from __future__ import annotations

from math import exp, fsum

from attn_audit.evidence.measured import (
    AnswerPart,
    AnswerScore,
    Unit,
    Warn,
)
from attn_audit.evidence.records import Prompt
from attn_audit.judge.relevance import Values, positive_share

_CERTAIN = 0.999
_IMPOSSIBLE = 0.01  # per token, geometric mean: long answers are improbable as a whole without being strange
_MOST_OF_THE_MASS = 0.8
_FEW_UNITS = 3

_SENTENCES = {
    "answer-cut": "The answer was cut at the length limit, so what is explained may not be the whole answer; raise "
    "max_new_tokens to see it end.",
    "near-certain": f"The answer was nearly certain (probability above {_CERTAIN}), so single pieces can hardly lower "
    "it and small scores may hide what matters.",
    "near-impossible": f"The model gives a token of this answer a probability below {_IMPOSSIBLE:.0%} on average "
    "(geometric mean); the map explains a choice that the model would hardly make.",
    "one-piece": f"One piece holds more than {_MOST_OF_THE_MASS:.0%} of the positive relevance; read it in its "
    "context.",
    "last-piece": "The prompt ends with a piece of the input. That piece itself predicts the first token of the "
    "answer, so its score leaves this token out and is too low.",
    "special-token": "A message holds text that the model reads as a control token, as if another turn had begun; "
    "that text was not measured.",
    "dated-prompt": "The model's chat template wrote the date into the prompt; on another day the same case is "
    "another prompt.",
    "screened": "Only the named and the most promising pieces were measured; the others were screened by a cheaper "
    "test and left out. A piece that drove the answer can be among them; measure in full to rule that out.",
    "part-missing": "A part of the answer that the case names is not in the answer, so nothing is said about it.",
    "no-support": "No piece of the input supported the answer; it came from the model or from pieces acting together.",
}


def warnings(
    answer: AnswerScore, relevance: Values, units: tuple[Unit, ...], prompt: Prompt, parts: tuple[AnswerPart, ...]
) -> tuple[Warn, ...]:
    """The warnings that hold, in a fixed order. ``relevance`` is (units,), nats."""
    total = min(0.0, fsum(answer.base))
    certainty, likelihood = exp(total), exp(total / max(1, len(answer.base)))
    share = max(positive_share(relevance), default=0.0)
    last = len(prompt.ids) - 1
    holds = {
        "answer-cut": answer.stop == "length limit",
        "near-certain": certainty > _CERTAIN,
        "near-impossible": likelihood < _IMPOSSIBLE,
        "one-piece": share > _MOST_OF_THE_MASS and len(relevance) > _FEW_UNITS,
        "last-piece": any(start <= last < stop for unit in units for start, stop in unit.runs),
        "special-token": bool(prompt.special),
        "dated-prompt": prompt.date is not None,
        "screened": any(value is None for value in relevance),
        "part-missing": any(part.tokens is None for part in parts),
        "no-support": not any(value is not None and value > 0 for value in relevance),
    }
    return tuple(Warn(code=code, sentence=sentence) for code, sentence in _SENTENCES.items() if holds[code])
