"""What the checks of a map say, and whether a record of them follows from its own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import fsum, log
from typing import Literal

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import Checks, Evidence, Faithfulness, Reliance, Together, Unit
from attn_audit.evidence.records import CheckEffort
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
from attn_audit.judge.relevance import Values, highest, ranking

_FEWEST_UNITS = 2  # with one there is nothing to compare it with
HARDLY = log(2.0)  # nats: without any input the answer keeps more than half of its probability


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


def relies_on(suppressed: float, deleted: float | None) -> Literal["input", "weights"]:
    """``weights`` where the answer hardly falls without the input."""
    falls = [suppressed] if deleted is None else [suppressed, deleted]
    return "weights" if all(fall < HARDLY for fall in falls) else "input"


def ratio(together: Together, relevance: Values) -> float | None:
    """The fall of the highest units together, over the sum of what each does alone; None where that sum is not
    positive. Well above 1 they stand in for each other; well below 1 they are needed together."""
    alone = fsum(value for unit in together.units if (value := relevance[unit]) is not None)
    return together.together / alone if alone > 0 else None


def check_checks(evidence: Evidence, settings: Settings, length: int) -> None:
    """``length``: tokens of prompt and answer that a full pass computes. Raises EvidenceError naming what does not
    follow."""
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
        _check_reliance(checks.reliance)
    if checks.together is not None:
        _check_together(evidence, checks.together)


def _check_faithfulness(evidence: Evidence, found: Faithfulness, settings: Settings, length: int) -> None:
    budget = budget_of(settings.checks, evidence.sweep.forward_tokens, length)
    own, random = chains(evidence.units, evidence.relevance, settings.seed, length, budget)
    sizes, count = tuple(len(chosen) for chosen in own), len(random)
    both = [(found.comprehensiveness, found.random_comprehensiveness)]
    if settings.checks == "full" and (found.sufficiency is None or found.random_sufficiency is None):
        raise EvidenceError("the sufficiency is left out against the settings")
    if found.sufficiency is not None and found.random_sufficiency is not None:
        both.append((found.sufficiency, found.random_sufficiency))
    if found.sizes != sizes or any(len(ours) != len(sizes) or len(others) != count for ours, others in both):
        raise EvidenceError("the units that were deleted are not as many, or not as often, as the settings say")
    if any(len(one) != len(sizes) for _, others in both for one in others):
        raise EvidenceError("a random draw has not one value for each size")
    p = p_value(found.comprehensiveness, found.random_comprehensiveness)
    if (found.p, found.verdict) != (p, verdict(p, count)):
        raise EvidenceError("the verdict on the map does not follow from the deletions")


def _check_reliance(found: Reliance) -> None:
    if found.verdict != relies_on(found.suppressed, found.deleted):
        raise EvidenceError("the verdict on the reliance on the input does not follow from its numbers")


def _check_together(evidence: Evidence, found: Together) -> None:
    top = highest(evidence.relevance)
    if found.units != top or tuple(pair.units for pair in found.pairs) != tuple(combinations(top, 2)):
        raise EvidenceError("the units that were suppressed together are not the highest ones")
