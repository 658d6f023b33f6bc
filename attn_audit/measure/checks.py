"""A map to the checks of it: deletions from the text, reliance on the input, and what its highest units do together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, islice
from math import fsum

from attn_audit.evidence.measured import Checks, Faithfulness, Pair, Reliance, Together, Unit
from attn_audit.evidence.records import CheckEffort
from attn_audit.judge.checks import budget_of, chains, relies_on
from attn_audit.judge.faithfulness import Chain, p_value, verdict
from attn_audit.judge.relevance import DECIMALS, Values, highest, relevance_of_all
from attn_audit.measure.deletion import Kept, delete, left_of
from attn_audit.measure.explain import Sweeps, runs_together
from attn_audit.measure.planner import Clock, Work
from attn_audit.measure.sweep import room


class Checker:
    """The checks of one map. Deletions and sweeps add up in ``passes`` and ``tokens``."""

    def __init__(self, sweeps: Sweeps, units: Sequence[Unit], relevance: Values) -> None:
        self._sweeps, self._units, self._relevance = sweeps, units, relevance
        self._length = sweeps.bases[0].inputs.shape[1]
        self._sweep_tokens = sweeps.cost.forward_tokens
        self._work = Work()

    def run(self, effort: CheckEffort, clock: Clock) -> Checks | None:
        """What the effort asks for; nothing where a limit of seconds leaves no time for it. Raises as ``delete`` and
        ``sweep`` do."""
        settings = self._sweeps.settings
        if effort == "none":
            return None
        budget = budget_of(effort, self._sweep_tokens, self._length)
        own, random = chains(self._units, self._relevance, settings.seed, self._length, budget)
        if settings.max_seconds is not None:
            planned = self._planned((own, *random), effort).seconds(clock.pace)
            if clock.elapsed() + planned > settings.max_seconds:
                return Checks(not_run="seconds")
        faithfulness = self._faithfulness(own, random, effort)
        reliance = together = None
        if effort == "full":
            reliance, together = self._reliance(), self._together()
        return Checks(
            faithfulness=faithfulness,
            reliance=reliance,
            together=together,
            passes=self._work.passes,
            forward_tokens=self._work.tokens,
        )

    def _planned(self, every: Sequence[Chain], effort: CheckEffort) -> Work:
        rows = [self._left(chosen) for one in every for chosen in one]
        # In full, what a draw deletes is kept alone, too: the two make up the whole.
        tokens = self._length * len(rows) if effort == "full" else sum(len(row) for row in rows)
        return Work(0, tokens * len(self._sweeps.bases))

    def _faithfulness(self, own: Chain, random: tuple[Chain, ...], effort: CheckEffort) -> Faithfulness:
        every = (own, *random)
        ours, *others = self._falls(every, frozenset())
        kept: list[tuple[float, ...]] = []
        if effort == "full":
            kept = self._falls(every, frozenset(range(len(self._units))))
        p = p_value(ours, others)
        return Faithfulness(
            sizes=tuple(len(chosen) for chosen in own),
            comprehensiveness=ours,
            random_comprehensiveness=tuple(others),
            sufficiency=kept[0] if kept else None,
            random_sufficiency=tuple(kept[1:]) if kept else None,
            p=p,
            verdict=verdict(p, len(others)),
        )

    def _falls(self, every: Sequence[Chain], but: frozenset[int]) -> list[tuple[float, ...]]:
        """(chains, sizes), nats: the chosen units deleted; or, where ``but`` holds all units, all but the chosen."""
        chosen = [one ^ but for chain_ in every for one in chain_]
        falls = self._deleted([self._left(one) for one in chosen])
        in_order = iter(falls)
        return [tuple(islice(in_order, len(one))) for one in every]

    def _left(self, chosen: Iterable[int]) -> Kept:
        return left_of(len(self._sweeps.bases[0].prompt), (self._units[unit].runs for unit in chosen))

    def _deleted(self, kept: Sequence[Kept]) -> list[float]:
        """The fall of the answer's log-probability, less the contrast's, nats. Each row once, however often asked."""
        sweeps, rows = self._sweeps, list(dict.fromkeys(kept))
        tables = []
        for base, recorded in zip(sweeps.bases, sweeps.recorded, strict=True):
            fitting = room(sweeps.model, base, sweeps.settings.max_memory)
            found = delete(sweeps.model, base, rows, fitting, sweeps.progress)
            sweeps.halvings += found.halvings
            self._work += Work(found.passes, found.forward_tokens)
            tables.append([fsum(recorded) - total for total in found.totals])
        answer, *other = tables
        falls = [a - b for a, b in zip(answer, other[0], strict=True)] if other else answer
        of_row = {row: round(fall, DECIMALS) + 0.0 for row, fall in zip(rows, falls, strict=True)}
        return [of_row[one] for one in kept]

    def _suppressed(self, groups: Sequence[Sequence[int]]) -> tuple[float, ...]:
        """The fall with each group of units suppressed together, nats."""
        sweeps = self._sweeps
        before = sweeps.cost
        table, other = sweeps.of([runs_together(self._units, group) for group in groups], sweeps.reach)
        self._work += Work(sweeps.cost.passes - before.passes, sweeps.cost.forward_tokens - before.forward_tokens)
        base, *rest = sweeps.recorded
        return relevance_of_all(base, table, rest[0] if rest else None, other)

    def _reliance(self) -> Reliance:
        everything = range(len(self._units))
        (suppressed,) = self._suppressed([everything])
        left = self._left(everything)
        deleted = self._deleted([left])[0] if left else None
        return Reliance(suppressed=suppressed, deleted=deleted, verdict=relies_on(suppressed, deleted))

    def _together(self) -> Together:
        top = highest(self._relevance)
        pairs = tuple(combinations(top, 2))
        whole, *falls = self._suppressed([top, *pairs])
        found = tuple(Pair(units=pair, together=fall) for pair, fall in zip(pairs, falls, strict=True))
        return Together(units=top, together=whole, pairs=found)
