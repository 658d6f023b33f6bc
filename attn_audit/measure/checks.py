"""A map to the checks of it: deletions from the text, reliance on the input, what its highest units and those of equal
text do together, other ways to make a map, and the map made with other operators."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations, islice
from math import fsum

from attn_audit.evidence.checked import Baseline, Checks, Faithfulness, Joint, Reliance, Together, Variant
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import BaselineName, CheckEffort
from attn_audit.judge.checks import BASELINES, budget_of, chains, relies_on, variants
from attn_audit.judge.faithfulness import Chain, own_chain, p_value, verdict
from attn_audit.judge.relevance import DECIMALS, Values, fall, highest, ranking, relevance_of_all
from attn_audit.measure.attention import Operator
from attn_audit.measure.attention_weights import attention_weights
from attn_audit.measure.deletion import DeletionWork, Kept, left_of
from attn_audit.measure.explain import Sweeps, runs_together
from attn_audit.measure.gradient import gradient_times_input
from attn_audit.measure.operator_probe import prove
from attn_audit.measure.planner import Clock, Work
from attn_audit.measure.sweep import room


class Checker:
    """The checks of one map. ``repeated``: groups of units of equal text; ``paraphrases``: how many sweeps over others
    than its own prompt follow, for the time that all of it will take."""

    def __init__(
        self,
        sweeps: Sweeps,
        units: Sequence[Unit],
        relevance: Values,
        repeated: Sequence[tuple[int, ...]] = (),
        paraphrases: int = 0,
    ) -> None:
        self._sweeps, self._units, self._relevance = sweeps, units, relevance
        self._repeated, self._paraphrases = repeated, paraphrases
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
        found = Checks(faithfulness=self._faithfulness(own, random, effort))
        if effort == "full":
            sizes = [len(chosen) for chosen in own]
            found = found.model_copy(
                update={
                    "reliance": self._reliance(),
                    "together": self._together(),
                    "repeated": self._joint(self._repeated),
                    "baselines": self._baselines(sizes) if settings.baselines == "on" else (),
                    "stability": tuple(self._variant(Operator(*one)) for one in variants(settings)),
                }
            )
        return found.model_copy(update={"passes": self._work.passes, "forward_tokens": self._work.tokens})

    def _planned(self, every: Sequence[Chain], effort: CheckEffort) -> Work:
        rows = [self._left(chosen) for one in every for chosen in one]
        # In full, what a draw deletes is kept alone, too: the two make up the whole.
        tokens = self._length * len(rows) if effort == "full" else sum(len(row) for row in rows)
        again = (
            (len(variants(self._sweeps.settings)) + self._paraphrases) * self._sweep_tokens if effort == "full" else 0
        )
        return Work(0, tokens * len(self._sweeps.bases) + again)

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

    def _deleted(self, kept: Sequence[Kept], answers: int | None = None) -> list[float]:
        """The fall of the answer's log-probability, less the contrast's, nats; of the first ``answers`` of them. Each
        row once, however often asked."""
        sweeps, rows = self._sweeps, list(dict.fromkeys(kept))
        tables = []
        for base, recorded in list(zip(sweeps.bases, sweeps.recorded, strict=True))[:answers]:
            fitting = room(sweeps.model, base, sweeps.settings.max_memory)
            work = DeletionWork(sweeps.model, base, rows, fitting)
            found = work.deleted(sweeps.spread.measure(work, sweeps.progress))
            sweeps.halvings += found.halvings
            self._work += Work(found.passes, found.forward_tokens)
            tables.append([fsum(recorded) - total for total in found.totals])
        answer, *other = tables
        falls = [a - b for a, b in zip(answer, other[0], strict=True)] if other else answer
        of_row = {row: round(one, DECIMALS) + 0.0 for row, one in zip(rows, falls, strict=True)}
        return [of_row[one] for one in kept]

    def _suppressed(self, groups: Sequence[Sequence[int]], operator: Operator | None = None) -> tuple[float, ...]:
        """The fall with each group of units suppressed together, nats; by the map's own operator, or another one."""
        sweeps = self._sweeps
        before = sweeps.cost
        table, other = sweeps.of([runs_together(self._units, group) for group in groups], sweeps.reach, operator)
        self._work += Work(sweeps.cost.passes - before.passes, sweeps.cost.forward_tokens - before.forward_tokens)
        base, *rest = sweeps.recorded
        return relevance_of_all(base, table, rest[0] if rest else None, other)

    def _reliance(self) -> Reliance:
        """Of the answer alone: what it shares with a contrast hangs on the input or does not, like the rest of it."""
        everything, sweeps = range(len(self._units)), self._sweeps
        before = sweeps.cost
        [row] = sweeps.one(sweeps.bases[0], [runs_together(self._units, everything)], sweeps.reach, sweeps.operator)
        self._work += Work(sweeps.cost.passes - before.passes, sweeps.cost.forward_tokens - before.forward_tokens)
        suppressed = fall(sweeps.recorded[0], row)
        left = self._left(everything)
        deleted = self._deleted([left], answers=1)[0] if left else None
        return Reliance(suppressed=suppressed, deleted=deleted, verdict=relies_on(suppressed, deleted))

    def _together(self) -> Together:
        top = highest(self._relevance)
        whole, *pairs = self._joint([top, *combinations(top, 2)])
        return Together(units=top, together=whole.together, pairs=tuple(pairs))

    def _joint(self, groups: Sequence[tuple[int, ...]]) -> tuple[Joint, ...]:
        falls = self._suppressed(groups)
        return tuple(Joint(units=group, together=one) for group, one in zip(groups, falls, strict=True))

    def _baselines(self, sizes: Sequence[int]) -> tuple[Baseline, ...]:
        """Other maps, and the falls where their highest units are deleted."""
        sweeps, pieces = self._sweeps, [unit.runs for unit in self._units]
        maps = dict.fromkeys(BASELINES)
        maps["gradient x input"] = gradient_times_input(sweeps.model, sweeps.bases, pieces, sweeps.settings.max_memory)
        maps["attention"] = attention_weights(sweeps.model, sweeps.bases[0], pieces)
        return tuple(self._baseline(name, maps[name], sizes) for name in BASELINES)

    def _baseline(self, name: BaselineName, values: tuple[float, ...] | None, sizes: Sequence[int]) -> Baseline:
        falls: tuple[float, ...] = ()
        if values is not None:
            [falls] = self._falls([own_chain(ranking(values), sizes)], frozenset())
        return Baseline(name=name, values=values, comprehensiveness=falls)

    def _variant(self, operator: Operator) -> Variant:
        """The map of the same units with another operator; none where the model turns it into something else."""
        sweeps = self._sweeps
        operator = replace(operator, layers=sweeps.operator.layers)
        measured = [index for index, value in enumerate(self._relevance) if value is not None]
        relevance: tuple[float | None, ...] | None = None
        try:
            prove(sweeps.model.network, operator, sweeps.settings.seed)
        except UsageError:
            pass
        else:
            falls = dict(zip(measured, self._suppressed([(index,) for index in measured], operator), strict=True))
            relevance = tuple(falls.get(index) for index in range(len(self._units)))
        return Variant(operator=operator.name, factor=operator.factor, relevance=relevance)
