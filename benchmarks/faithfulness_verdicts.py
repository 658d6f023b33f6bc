"""The package's own verdict on a map, and on shuffled maps of the same values: can the verdict fail?

Units are deleted from the text, the highest ones and random ones (docs/method.md, "Faithfulness"), as `--checks basic`
does it. A shuffled map is held against the same random deletions as the true one of its question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import fsum

import numpy as np
from faithfulness_questions import Question
from speed_methods import silent

from attn_audit.evidence.settings import Settings
from attn_audit.judge.checks import budget_of, chains
from attn_audit.judge.faithfulness import Chain, Verdict, average, p_value, reached, sizes_of, verdict
from attn_audit.judge.relevance import DECIMALS, highest
from attn_audit.measure.checks import Checker
from attn_audit.measure.deletion import delete, left_of
from attn_audit.measure.explain import Sweeps
from attn_audit.measure.planner import Clock
from attn_audit.measure.sweep import cost_of, plan, room, rounded

SETTINGS = Settings()


@dataclass(frozen=True)
class Judged:
    """``falls`` and ``random``: averages over the sizes, nats. ``reached``: random draws that fell at least as far."""

    verdict: Verdict
    p: float
    falls: tuple[float, ...]
    random: tuple[float, ...]
    reached: int


@dataclass(frozen=True)
class Verdicts:
    """On the true map of one question, and on ``shuffled`` ones. ``top``: the highest units with their relevance."""

    sizes: tuple[int, ...]
    true: Judged
    shuffled: tuple[Judged, ...]
    top: tuple[tuple[str, float], ...]


def falls(question: Question, deleted: Sequence[Iterable[int]]) -> list[float]:
    """What the answer's log-probability falls by without these sets of units, nats; each set is measured once."""
    base = question.base
    rows = [left_of(len(base.prompt), (question.pieces[unit] for unit in units)) for units in deleted]
    different = list(dict.fromkeys(rows))
    fitting = room(question.model, base, question.max_memory)
    totals = delete(question.model, base, different, fitting, silent).totals
    whole = fsum(rounded(base.log_probabilities))
    fall = {row: round(whole - total, DECIMALS) + 0.0 for row, total in zip(different, totals, strict=True)}
    return [fall[row] for row in rows]


def kept_and_deleted(question: Question, orders: Sequence[Sequence[int]]) -> list[tuple[float, float]]:
    """Of each order of the units, comprehensiveness and sufficiency, nats: the fall with the first 10, 20 and 50 % of
    the units deleted, and with none but them left; averages over the three sizes (DeYoung et al. 2020)."""
    count = len(question.units)
    chosen = [frozenset(order[:size]) for order in orders for size in sizes_of(count, count)]
    whole = frozenset(range(count))
    found = iter(falls(question, [one for units in chosen for one in (units, whole - units)]))
    each = 2 * len(sizes_of(count, count))
    by_order = [tuple(islice(found, each)) for _ in orders]
    return [(average(one[0::2]), average(one[1::2])) for one in by_order]


def judge(question: Question, relevance: Sequence[float], shuffles: int) -> Verdicts:
    """``relevance``: of the units, by the default method. The true map goes through the package's own check."""
    sweeps = Sweeps(question.model, question.bases, SETTINGS, silent)
    tokens = _sweep_tokens(question)
    sweeps.cost = sweeps.cost.model_copy(update={"forward_tokens": tokens})
    checks = Checker(sweeps, question.units, relevance).run("basic", Clock(lambda: 0.0, 0.0))
    if checks is None or checks.faithfulness is None:
        raise SystemExit("the check was not run")
    found = checks.faithfulness
    own, random = _chains(question, relevance, tokens)
    known = {own: found.comprehensiveness, **dict(zip(random, found.random_comprehensiveness, strict=True))}
    draw = np.random.default_rng([len(relevance), *question.name.encode()])
    maps = [draw.permutation(np.asarray(relevance)).tolist() for _ in range(shuffles)]
    return Verdicts(
        sizes=found.sizes,
        true=_judged(known[own], [known[one] for one in random]),
        shuffled=tuple(_shuffled(question, one, tokens, known) for one in maps),
        top=tuple((question.words(unit), relevance[unit]) for unit in highest(relevance)),
    )


def _shuffled(
    question: Question, relevance: Sequence[float], tokens: int, known: dict[Chain, tuple[float, ...]]
) -> Judged:
    """``known``: falls that are measured already; those that are missing are added."""
    own, random = _chains(question, relevance, tokens)
    missing = [one for one in (own, *random) if one not in known]
    measured = iter(falls(question, [units for one in missing for units in one]))
    known |= {one: tuple(islice(measured, len(one))) for one in missing}
    return _judged(known[own], [known[one] for one in random])


def _chains(question: Question, relevance: Sequence[float], tokens: int) -> tuple[Chain, tuple[Chain, ...]]:
    length = question.passes
    return chains(question.units, relevance, SETTINGS.seed, length, budget_of("basic", tokens, length))


def _sweep_tokens(question: Question) -> int:
    """What the sweep takes: the check may take as much."""
    rows = room(question.model, question.base, question.max_memory).rows
    return cost_of(plan(question.pieces, len(question.base.prompt), rows), question.passes).forward_tokens


def _judged(own: Sequence[float], random: Sequence[Sequence[float]]) -> Judged:
    p = p_value(own, random)
    return Judged(verdict(p, len(random)), p, tuple(own), tuple(average(one) for one in random), reached(own, random))
