"""What the checks of a map say, and whether a record of them follows from its own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Literal, get_args

from attn_audit.evidence.checked import Baseline, Checks, Faithfulness, Joint, Paraphrase, Reliance, Together, Variant
from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Evidence, Unit
from attn_audit.evidence.records import BaselineName, CheckEffort, Content, Message, OperatorName, Span
from attn_audit.evidence.settings import Settings
from attn_audit.judge.faithfulness import (
    DRAWS,
    LEAST_PASSES,
    Chain,
    affordable,
    draws,
    own_chain,
    p_value,
    sizes_of,
    verdict,
)
from attn_audit.judge.joint import MUCH
from attn_audit.judge.relevance import Values, highest, ranking
from attn_audit.judge.repeats import core, repeated

_FEWEST_UNITS = 2  # with one there is nothing to compare it with
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)
_VARIANTS: tuple[tuple[OperatorName, float | None], ...] = (("knockout", None), ("soft", 0.1), ("soft", 0.01))
_AGREE = {"float32": 0.01}  # nats: far above rounding
_AGREE_ROUGHLY = 1.0  # in the short number formats
STABLE_TOP = (5, 10)  # highest units that the variants of a map are compared by


def chains(
    units: Sequence[Unit], relevance: Values, seed: int, length: int, budget: int | None
) -> tuple[Chain, tuple[Chain, ...]]:
    """The map's own chain and the random ones to compare it with. ``length``: tokens of prompt and answer that a full
    pass computes; ``budget``: forward tokens that the random ones may take, None: no limit. Nothing is deleted where
    there are too few units."""
    ranked = ranking(relevance)
    own = own_chain(ranked, sizes_of(len(units), len(ranked)) if len(units) >= _FEWEST_UNITS else ())
    found = tuple(draws(own, len(units), seed, DRAWS))
    if budget is not None:
        tokens = [sum(stop - start for start, stop in unit.runs) for unit in units]
        found = found[: affordable(found, tokens, length, budget)]
    return own, found


def budget_of(effort: CheckEffort, sweep_tokens: int, length: int) -> int | None:
    """Forward tokens for the random draws: as many as the sweep took, or 64 full passes."""
    return None if effort == "full" else max(sweep_tokens, LEAST_PASSES * length)


def relies_on(suppressed: float, deleted: float | None) -> Literal["input", "weights", "cannot tell"]:
    """``weights`` where the answer hardly falls without the input. A prompt of which nothing would be left ends with a
    unit, whose own rows go on reading it: it cannot be told."""
    if deleted is None:
        return "cannot tell"
    return "weights" if max(suppressed, deleted) < MUCH else "input"


def variants(settings: Settings) -> tuple[tuple[OperatorName, float | None], ...]:
    """The other operators that the map is made with once more: name and factor."""
    return tuple(one for one in _VARIANTS if one != (settings.operator, settings.factor))


def overlap(one: Values, other: Values, top: int) -> float:
    """Share of the ``top`` highest units that two maps have in common; of fewer where there are fewer."""
    first, second = set(ranking(one)[:top]), set(ranking(other)[:top])
    return len(first & second) / max(1, len(first))


def shared_texts(content: Content, evidence: Evidence, number: int, top: int) -> float:
    """Share of the texts of the ``top`` highest units that are also among the ``top`` highest of a paraphrase."""
    found = evidence.checks.paraphrases[number].highest if evidence.checks else ()
    own = [core(evidence.units[unit].spans, content.case.messages) for unit in ranking(evidence.relevance)[:top]]
    other = {core(piece.spans, content.case.paraphrases[number]) for piece in found[:top]}
    return sum(bool(text) and text in other for text in own) / max(1, len(own))


def check_checks(evidence: Evidence, settings: Settings) -> None:
    """What follows from the numbers alone, without any text. Raises EvidenceError naming what does not."""
    runs = [*(run for unit in evidence.units for run in unit.runs), *evidence.frozen]
    length = sum(stop - start for start, stop in runs) + len(evidence.answer.base) - 1  # that a full pass computes
    checks = evidence.checks
    if (checks is None) != (settings.checks == "none"):
        raise EvidenceError("the checks are recorded or left out against the settings")
    if checks is None:
        return
    if checks.not_run is not None:
        if settings.max_seconds is None or checks != Checks(not_run=checks.not_run):
            raise EvidenceError("checks are said not to have been run against the settings, or were run")
        return
    full = settings.checks == "full"
    if checks.faithfulness is None or (checks.reliance is not None) != full or (checks.together is not None) != full:
        raise EvidenceError("a check is recorded or left out against the settings")
    _check_faithfulness(evidence, checks.faithfulness, settings, length)
    if checks.reliance is not None:
        _check_reliance(evidence, checks.reliance)
    if checks.together is not None:
        _check_together(evidence, checks.together)
    _check_joints(evidence, checks)
    _check_baselines(evidence, checks.baselines, BASELINES if full and settings.baselines == "on" else ())
    _check_stability(evidence, checks.stability, variants(settings) if full else ())


def check_texts(content: Content, evidence: Evidence, settings: Settings) -> None:
    """What depends on the texts: pieces of equal text, and those of the paraphrases. Raises EvidenceError."""
    full, checks = settings.checks == "full", evidence.checks
    if checks is None or checks.not_run is not None:
        return
    _check_repeated(checks.repeated, repeated(evidence.units, content.case.messages) if full else ())
    _check_paraphrases(checks.paraphrases, content.case.paraphrases if full else ())


def _check_faithfulness(evidence: Evidence, found: Faithfulness, settings: Settings, length: int) -> None:
    budget = budget_of(settings.checks, evidence.sweep.forward_tokens, length)
    own, random = chains(evidence.units, evidence.relevance, settings.seed, length, budget)
    sizes, count = tuple(len(chosen) for chosen in own), len(random)
    both = [(found.comprehensiveness, found.random_comprehensiveness)]
    kept = (found.sufficiency is not None, found.random_sufficiency is not None)
    if kept != (settings.checks == "full",) * 2:
        raise EvidenceError("the sufficiency is recorded or left out against the settings")
    if found.sufficiency is not None and found.random_sufficiency is not None:
        both.append((found.sufficiency, found.random_sufficiency))
    if found.sizes != sizes or any(len(ours) != len(sizes) or len(others) != count for ours, others in both):
        raise EvidenceError("the units that were deleted are not as many, or not as often, as the settings say")
    if any(len(one) != len(sizes) for _, others in both for one in others):
        raise EvidenceError("a random draw has not one value for each size")
    p = p_value(found.comprehensiveness, found.random_comprehensiveness)
    if (found.p, found.verdict) != (p, verdict(p, count)):
        raise EvidenceError("the verdict on the map does not follow from the deletions")


def _check_reliance(evidence: Evidence, found: Reliance) -> None:
    if (found.deleted is None) != (not evidence.frozen):
        raise EvidenceError("what the answer loses without the input is recorded or left out against the prompt")
    if found.verdict != relies_on(found.suppressed, found.deleted):
        raise EvidenceError("the verdict on the reliance on the input does not follow from its numbers")


def _check_together(evidence: Evidence, found: Together) -> None:
    top = highest(evidence.relevance)
    if found.units != top or tuple(pair.units for pair in found.pairs) != tuple(combinations(top, 2)):
        raise EvidenceError("the units that were suppressed together are not the highest ones")


def _check_joints(evidence: Evidence, checks: Checks) -> None:
    """The same units suppressed together give the same fall, wherever it is recorded; all of them, that of the
    reliance, which leaves a contrast out."""
    known: dict[tuple[int, ...], float] = {
        (unit,): value for unit, value in enumerate(evidence.relevance) if value is not None
    }
    if checks.reliance is not None and evidence.contrast is None:
        known.setdefault(tuple(range(len(evidence.units))), checks.reliance.suppressed)
    together = () if checks.together is None else (checks.together, *checks.together.pairs)
    allowed = _AGREE.get(evidence.model.dtype, _AGREE_ROUGHLY)
    for joint in (*together, *checks.repeated):
        units = tuple(sorted(joint.units))
        if abs(known.setdefault(units, joint.together) - joint.together) > allowed:
            raise EvidenceError("the same units are said to do different things together")


def _check_repeated(found: Sequence[Joint], expected: Sequence[tuple[int, ...]]) -> None:
    if tuple(joint.units for joint in found) != tuple(expected):
        raise EvidenceError("the units that were suppressed together are not those of equal text")


def _check_baselines(evidence: Evidence, found: Sequence[Baseline], expected: Sequence[BaselineName]) -> None:
    if tuple(one.name for one in found) != tuple(expected):
        raise EvidenceError("the other maps that were tried are not those that the settings ask for")
    sizes = evidence.checks.faithfulness.sizes if evidence.checks and evidence.checks.faithfulness else ()
    for one in found:
        values, falls = (0, 0) if one.values is None else (len(evidence.units), len(sizes))
        if (0 if one.values is None else len(one.values), len(one.comprehensiveness)) != (values, falls):
            raise EvidenceError("another map has not one value for each unit, or not one fall for each size")


def _check_stability(
    evidence: Evidence, found: Sequence[Variant], expected: Sequence[tuple[OperatorName, float | None]]
) -> None:
    if tuple((one.operator, one.factor) for one in found) != tuple(expected):
        raise EvidenceError("the operators that the map was made with once more are not those that the settings say")
    measured = [value is not None for value in evidence.relevance]
    proved = {"knockout", evidence.method.operator}
    for one in found:
        if one.relevance is None and one.operator in proved:
            raise EvidenceError("an operator that was proved on the model is said not to be applicable to it")
        if one.relevance is not None and [value is not None for value in one.relevance] != measured:
            raise EvidenceError("the map made with another operator is not of the same units")


def _check_paraphrases(found: Sequence[Paraphrase], expected: Sequence[Sequence[Message]]) -> None:
    if len(found) != len(expected):
        raise EvidenceError("the paraphrases that were measured are not those of the case")
    for one, messages in zip(found, expected, strict=True):
        values = [piece.relevance for piece in one.highest]
        if not values or len(values) > max(STABLE_TOP) or values != sorted(values, reverse=True):
            raise EvidenceError("the highest pieces of a paraphrase are not in order")
        spans = [span for piece in one.highest for span in piece.spans]
        if any(not piece.spans for piece in one.highest) or any(not fits(span, messages) for span in spans):
            raise EvidenceError("a piece of a paraphrase is not in its text")
        places = sorted((span.message, span.start, span.end) for span in spans)
        if any(before[0] == after[0] and after[1] < before[2] for before, after in pairwise(places)):
            raise EvidenceError("two pieces of a paraphrase share characters")


def fits(span: Span, messages: Sequence[Message]) -> bool:
    """Whether there are such characters."""
    return span.message < len(messages) and span.start < span.end <= len(messages[span.message].content)
