"""What a reader must know before relying on the map, judged from the recorded numbers alone."""

from __future__ import annotations

from math import exp, fsum

from attn_audit.evidence.records import AnswerScore, Warn
from attn_audit.judge.relevance import positive_share

_CERTAIN = 0.999
_IMPOSSIBLE = 1e-6
_MOST_OF_THE_MASS = 0.8
_FEW_UNITS = 3


def warnings(answer: AnswerScore, relevance: tuple[float, ...]) -> tuple[Warn, ...]:
    """The warnings that hold, in a fixed order. ``relevance`` is (units,), nats."""
    certainty = exp(min(0.0, fsum(answer.base)))
    share = max(positive_share(relevance), default=0.0)
    found = (
        (
            answer.stop == "length limit",
            "answer-cut",
            (
                "The answer was cut at the length limit, so what is explained may not be the whole answer; raise "
                "max_new_tokens to see it end."
            ),
        ),
        (
            certainty > _CERTAIN,
            "near-certain",
            (
                f"The answer was nearly certain (probability above {_CERTAIN}), so single pieces can hardly lower it "
                "and small scores may hide what matters."
            ),
        ),
        (
            certainty < _IMPOSSIBLE,
            "near-impossible",
            (
                f"The model gives this answer a probability below {_IMPOSSIBLE:g}; the map explains a choice the model "
                "would rarely make, or a long answer."
            ),
        ),
        (
            share > _MOST_OF_THE_MASS and len(relevance) > _FEW_UNITS,
            "one-piece",
            f"One piece holds more than {_MOST_OF_THE_MASS:.0%} of the positive relevance; read it in its context.",
        ),
        (
            not any(value > 0 for value in relevance),
            "no-support",
            "No piece of the input supported the answer; it came from the model or from pieces acting together.",
        ),
    )
    return tuple(Warn(code=code, sentence=sentence) for holds, code, sentence in found if holds)
