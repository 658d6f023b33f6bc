"""One answer to everything that is measured about it: the sweep over its units, whole or screened, and what the
settings ask for beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import (
    AnswerSources,
    ContrastScore,
    DirectEffect,
    Group,
    Profile,
    Screening,
    Sweep,
    Unit,
)
from attn_audit.evidence.records import AnswerText, Scores
from attn_audit.evidence.settings import Settings
from attn_audit.judge.relevance import Table, highest, relevance
from attn_audit.judge.screening import direct_relevance, promising, share_of
from attn_audit.measure.answer import Base
from attn_audit.measure.attention import Operator, operator_of
from attn_audit.measure.gradient import gradient
from attn_audit.measure.model import Model
from attn_audit.measure.operator_probe import prove
from attn_audit.measure.planner import Clock, Planned, Planner
from attn_audit.measure.spread import HERE, Progress, Spread
from attn_audit.measure.sweep import Reach, Runs, SweepWork, room, rounded
from attn_audit.measure.units import answer_units

_ROUND = 0.6  # of the time that is left is filled at a time, so that the pace is known better for the next round


@dataclass(frozen=True)
class Explained:
    """What was measured, as the evidence records it, and what it took."""

    scores: Scores
    contrast: ContrastScore | None
    direct: DirectEffect | None
    screening: Screening | None
    groups: tuple[Group, ...]
    profile: Profile | None
    answer_sources: AnswerSources | None
    cost: Sweep


def check(model: Model, settings: Settings) -> None:
    """Proves the operator of the settings on the model, and its bands of layers. Raises UsageError."""
    operator = operator_of(settings)
    prove(model.network, operator, settings.seed)
    if settings.bands is not None:
        band, *_ = bands_of(model.network.config.get_text_config().num_hidden_layers, settings.bands)
        prove(model.network, replace(operator, layers=band), settings.seed)


class Sweeps:
    """The sweeps of one case, for its answer and for its contrast; adds up what they take."""

    def __init__(
        self, model: Model, bases: Sequence[Base], settings: Settings, progress: Progress, spread: Spread = HERE
    ) -> None:
        self.model, self.bases, self.settings = model, bases, settings
        self.recorded = tuple(rounded(base.log_probabilities) for base in bases)  # as the evidence has them
        self.operator = operator_of(settings)
        self.halvings = 0
        self.cost = Sweep(batch_rows=0, passes=0, forward_tokens=0, naive_forward_tokens=0, noise=0.0)
        self.progress, self.spread = progress, spread

    @property
    def reach(self) -> Reach:
        """Of the map itself."""
        return "direct" if self.settings.effect == "direct" else "total"

    def of(
        self, pieces: Sequence[Runs], reach: Reach = "total", operator: Operator | None = None
    ) -> tuple[Table, Table | None]:
        """Scores of ``pieces`` for the answer, and for the contrast where there is one; by the operator of the
        settings, unless another one is given."""
        tables = [self.one(base, pieces, reach, operator or self.operator) for base in self.bases]
        return tables[0], (tables[1] if len(tables) > 1 else None)

    def one(self, base: Base, pieces: Sequence[Runs], reach: Reach, operator: Operator) -> Table:
        """Scores of ``pieces`` for one answer."""
        if not pieces:
            return ()
        fitting = room(self.model, base, self.settings.max_memory, reach)
        work = SweepWork(self.model, base, pieces, fitting, operator, reach)
        swept = work.swept(self.spread.measure(work, self.progress))
        self.count(swept.cost, swept.halvings)
        return swept.scores

    def count(self, cost: Sweep, halvings: int) -> None:
        """Add what a sweep took."""
        self.halvings += halvings
        self.cost = Sweep(
            batch_rows=max(self.cost.batch_rows, cost.batch_rows),
            passes=self.cost.passes + cost.passes,
            forward_tokens=self.cost.forward_tokens + cost.forward_tokens,
            naive_forward_tokens=self.cost.naive_forward_tokens + cost.naive_forward_tokens,
            noise=max(self.cost.noise, cost.noise),
        )


def explain(sweeps: Sweeps, answer: AnswerText, planned: Planned, planner: Planner, clock: Clock) -> Explained:
    """Raises CaseError, MemoryError and UsageError as ``sweep`` does."""
    settings = sweeps.settings
    pieces = [unit.runs for unit in planned.units]
    leaning = None
    if planned.effort == "screened":
        leaning = gradient(sweeps.model, sweeps.bases, pieces, settings.max_memory)
    direct, screening = None, None
    if settings.effect == "both" or (planned.effort == "screened" and leaning is None):
        table, other = sweeps.of(pieces, "direct")
        direct = DirectEffect(scores=table, contrast=other)
    if planned.effort == "screened":
        scores, others, screening = _screened(sweeps, planned, leaning, direct, planner, clock)
    else:
        scores, others = sweeps.of(pieces, sweeps.reach)
    base, *rest = sweeps.recorded
    contrast = ContrastScore(base=rest[0], scores=others) if rest and others is not None else None
    return Explained(
        scores=scores,
        contrast=contrast,
        direct=direct,
        screening=screening,
        groups=_groups(sweeps, planned),
        profile=_profile(sweeps, planned, highest(relevance(base, scores, contrast))),
        answer_sources=_answer_sources(sweeps, answer, planned),
        cost=sweeps.cost,
    )


# -- screening --------------------------------------------------------------------------------------------------------


def _screened(
    sweeps: Sweeps,
    planned: Planned,
    leaning: tuple[float, ...] | None,
    direct: DirectEffect | None,
    planner: Planner,
    clock: Clock,
) -> tuple[Scores, Scores | None, Screening]:
    """The promising units measured: by the gradient, or by the direct effect where that could not be had."""
    units = planned.units
    pieces = [unit.runs for unit in units]
    base, *rest = sweeps.recorded
    look = leaning or ()
    if leaning is None and direct is not None:
        look = direct_relevance(base, direct, rest[0] if rest else None)
    order = promising(units, look)
    found: dict[int, tuple[tuple[float, ...], tuple[float, ...] | None]] = {}
    for chosen in _rounds(order, pieces, share_of(units), sweeps.settings, planner, clock):
        table, other = sweeps.of([pieces[index] for index in chosen])
        found |= zip(chosen, zip(table, other or (None,) * len(table), strict=True), strict=True)
    scores: Scores = tuple(found[index][0] if index in found else None for index in range(len(units)))
    others = tuple(found[index][1] if index in found else None for index in range(len(units))) if rest else None
    return scores, others, Screening(gradient=leaning, measured=tuple(sorted(found)))


def _rounds(
    order: tuple[int, ...], pieces: Sequence[Runs], share: int, settings: Settings, planner: Planner, clock: Clock
) -> Iterator[tuple[int, ...]]:
    """``order`` in the portions that are measured at a time: a share of it at once, or more while seconds are left."""
    if settings.max_seconds is None:
        yield order[:share]
        return
    done, pace = 0, clock.pace
    while done < len(order):
        left = settings.max_seconds - clock.elapsed()
        waiting = [pieces[index] for index in order[done:]]
        count = planner.fitting(waiting, _ROUND * left, pace)
        if count == 0 and done:
            return
        began = clock.elapsed()
        chosen = order[done : done + max(count, 1)]
        yield chosen
        done += len(chosen)
        pace = (clock.elapsed() - began) / planner.work([pieces[index] for index in chosen]).seconds(1.0)


# -- beside the map ---------------------------------------------------------------------------------------------------


def _groups(sweeps: Sweeps, planned: Planned) -> tuple[Group, ...]:
    """Units that say alike, suppressed together."""
    table, other = sweeps.of([runs_together(planned.units, group) for group in planned.groups], sweeps.reach)
    rows = other or (None,) * len(table)
    return tuple(
        Group(units=group, scores=row, contrast=against)
        for group, row, against in zip(planned.groups, table, rows, strict=True)
    )


def runs_together(units: Sequence[Unit], group: Iterable[int]) -> Runs:
    """The positions of several units (indices) as one piece."""
    return tuple(sorted(run for index in group for run in units[index].runs))


def _profile(sweeps: Sweeps, planned: Planned, units: tuple[int, ...]) -> Profile | None:
    """The highest units in one band of layers at a time, for the answer."""
    if sweeps.settings.bands is None:
        return None
    pieces = [planned.units[index].runs for index in units]
    layers = sweeps.model.network.config.get_text_config().num_hidden_layers
    bands = bands_of(layers, sweeps.settings.bands)
    tables = (
        sweeps.one(sweeps.bases[0], pieces, sweeps.reach, replace(sweeps.operator, layers=band)) for band in bands
    )
    return Profile(units=units, bands=bands, scores=tuple(tables))


def bands_of(layers: int, count: int) -> tuple[tuple[int, int], ...]:
    """``count`` bands of nearly equal height, start:stop. Raises UsageError where there are fewer layers."""
    if count > layers:
        raise UsageError(f"the model has {layers} layers, which cannot be cut into {count} bands; give fewer bands")
    return tuple(pairwise(index * layers // count for index in range(count + 1)))


def _answer_sources(sweeps: Sweeps, answer: AnswerText, planned: Planned) -> AnswerSources | None:
    """Pieces of the answer, suppressed for what came after them."""
    if sweeps.settings.sources == "prompt":
        return None
    base = sweeps.bases[0]
    first = len(base.prompt)
    units = answer_units(answer, planned.kind)
    pieces = [((first + unit.tokens[0], first + unit.tokens[1]),) for unit in units]
    return AnswerSources(units=units, scores=sweeps.one(base, pieces, "total", sweeps.operator))
