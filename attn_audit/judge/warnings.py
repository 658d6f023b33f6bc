"""What a reader must know before relying on the map, judged from what is recorded alone."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, fsum

from attn_audit.evidence.measured import Evidence, Warn
from attn_audit.evidence.records import Content
from attn_audit.judge.checks import STABLE_TOP, overlap
from attn_audit.judge.joint import decisive
from attn_audit.judge.relevance import below_noise, positive_share, told_apart
from attn_audit.judge.repeats import repeats_itself
from attn_audit.judge.self_explanation import reading

_CERTAIN = 0.999
_IMPOSSIBLE = 0.01  # per token, geometric mean: long answers are improbable as a whole without being strange
_MOST_OF_THE_MASS = 0.8
_FEW_UNITS = 3
_SHAKEN = 0.6  # of the highest pieces that a map made in another way must share

WARNINGS = (
    Warn(
        code="not-supported",
        sentence="Deleting the highest pieces from the text did not lower the answer's probability clearly more "
        "than deleting random ones.",
        advice="Do not rely on the order of the pieces; try longer pieces, or a contrast.",
    ),
    Warn(
        code="from-weights",
        sentence="Without any of the input the model keeps more than half of the answer's probability: the answer "
        "comes mostly from the model's weights.",
        advice="Do not read the map as a reason; ask a question whose answer depends on the input.",
    ),
    Warn(
        code="no-support",
        sentence="No piece of the input supported the answer; it came from the model or from pieces acting together.",
        advice="Run full checks, which hide pieces together, or take longer pieces.",
    ),
    Warn(
        code="confabulated",
        sentence="The reason that the answer gives hangs on other sentences than its decision: it is not what "
        "drove the decision.",
        advice="Do not pass the stated reason on; read what drove the decision.",
    ),
    Warn(
        code="stand-in",
        sentence="Some pieces carry the same information: alone each looks weak, together they decide.",
        advice="Read their value together, not the single ones.",
    ),
    Warn(
        code="repeated-text",
        sentence="The input says something twice. Pieces that say the same hide each other, so that each can look "
        "weak.",
        advice="Run full checks, which hide repeated pieces together.",
    ),
    Warn(
        code="unstable",
        sentence=f"Where attention is weakened instead of cut, less than {_SHAKEN:.0%} of the {STABLE_TOP[0]} "
        "highest pieces stay among the highest.",
        advice="Rely on what is high in all of the maps.",
    ),
    Warn(
        code="answer-cut",
        sentence="The answer was cut at the length limit, so what is explained may not be the whole answer.",
        advice="Raise max_new_tokens to see it end.",
    ),
    Warn(
        code="near-certain",
        sentence=f"The answer was nearly certain (probability above {_CERTAIN}), so single pieces can hardly lower "
        "it and small scores may hide what matters.",
        advice="Name a contrast, or look at pieces together with full checks.",
    ),
    Warn(
        code="near-impossible",
        sentence=f"The model gives a token of this answer a probability below {_IMPOSSIBLE:.0%} on average "
        "(geometric mean); the map explains a choice that the model would hardly make.",
        advice="Check that this model gave the answer, and that it was copied without change.",
    ),
    Warn(
        code="one-piece",
        sentence=f"One piece holds more than {_MOST_OF_THE_MASS:.0%} of the positive relevance.",
        advice="Read it in its context; smaller pieces may show what in it mattered.",
    ),
    Warn(
        code="below-noise",
        sentence="Some values are no larger than what rounding alone did in the same sweep; they are shown in grey.",
        advice="Read nothing into them; float32 has less noise.",
    ),
    Warn(
        code="last-piece",
        sentence="The prompt ends with a piece of the input. That piece itself predicts the first token of the "
        "answer, so its score leaves this token out and is too low.",
        advice="End the prompt with text of no interest, or use a model with a chat template.",
    ),
    Warn(
        code="special-token",
        sentence="A message holds text that the model reads as a control token, as if another turn had begun; that "
        "text was not measured.",
        advice="Look whether somebody put it there on purpose, and remove it.",
    ),
    Warn(
        code="dated-prompt",
        sentence="The model's chat template wrote the date into the prompt; on another day the same case is "
        "another prompt.",
        advice="Compare cases of the same day only.",
    ),
    Warn(
        code="screened",
        sentence="Only the named and the most promising pieces were measured; the others were screened by a "
        "cheaper test and left out. A piece that drove the answer can be among them.",
        advice="Measure in full to rule that out.",
    ),
    Warn(
        code="policy-unmatched",
        sentence="A policy names pieces that are not in this case, so nothing can be said of it.",
        advice="Correct its terms, pattern or names, or take the case out of what it covers.",
    ),
    Warn(
        code="part-missing",
        sentence="A part of the answer that the case names is not in the answer, so nothing is said about it.",
        advice="Correct its text or pattern, or read the answer for what stands there instead.",
    ),
)


def warnings(content: Content, evidence: Evidence) -> tuple[Warn, ...]:
    """The warnings that hold, in a fixed order; those that the evidence lists are not looked at."""
    raised = {*_of_the_answer(evidence), *_of_the_input(content, evidence), *_of_the_map(evidence)}
    return tuple(warning for warning in WARNINGS if warning.code in raised)


def _of_the_answer(evidence: Evidence) -> Iterator[str]:
    base = evidence.answer.base
    total = min(0.0, fsum(base))
    if evidence.answer.stop == "length limit":
        yield "answer-cut"
    if exp(total) > _CERTAIN:
        yield "near-certain"
    if exp(total / max(1, len(base))) < _IMPOSSIBLE:
        yield "near-impossible"
    if any(part.tokens is None for part in evidence.parts):
        yield "part-missing"
    if evidence.self_explanation is not None and reading(evidence.self_explanation.agreement) == "other":
        yield "confabulated"


def _of_the_input(content: Content, evidence: Evidence) -> Iterator[str]:
    last = len(content.prompt.ids) - 1
    if any(start <= last < stop for unit in evidence.units for start, stop in unit.runs):
        yield "last-piece"
    if any(finding.outcome == "nothing matched" for finding in evidence.findings):
        yield "policy-unmatched"
    if content.prompt.special:
        yield "special-token"
    if content.prompt.date is not None:
        yield "dated-prompt"
    hidden_together = evidence.checks is not None and bool(evidence.checks.repeated)
    if not hidden_together and repeats_itself(evidence.units, content.case.messages):
        yield "repeated-text"


def _of_the_map(evidence: Evidence) -> Iterator[str]:
    values, checks = evidence.relevance, evidence.checks
    if max(positive_share(values), default=0.0) > _MOST_OF_THE_MASS and len(values) > _FEW_UNITS:
        yield "one-piece"
    if not any(value is not None and value > 0 for value in told_apart(evidence)):
        yield "no-support"
    if any(value is None for value in values):
        yield "screened"
    if any(below_noise(evidence)):
        yield "below-noise"
    if checks is None:
        return
    if checks.faithfulness is not None and checks.faithfulness.verdict == "not supported":
        yield "not-supported"
    if checks.reliance is not None and checks.reliance.verdict == "weights":
        yield "from-weights"
    if decisive(checks, values):
        yield "stand-in"
    others = [one.relevance for one in checks.stability if one.relevance is not None]
    if any(overlap(values, other, STABLE_TOP[0]) < _SHAKEN for other in others):
        yield "unstable"
