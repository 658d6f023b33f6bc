"""What a measurement will take, before it begins; and the finest units that fit a limit of seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import (
    Case,
    Effort,
    Prompt,
    UnitKind,
)
from attn_audit.evidence.settings import Settings
from attn_audit.judge.checks import budget_of, variants
from attn_audit.judge.faithfulness import DRAWS, FEWEST_DRAWS, SHARES
from attn_audit.judge.relevance import HIGHEST
from attn_audit.judge.screening import share_of
from attn_audit.measure.alike import alike
from attn_audit.measure.answer import Base
from attn_audit.measure.gradient import fits
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import EACH_PASS, Reach, Runs, cost_of, plan, room, row_bytes, weight_bytes
from attn_audit.measure.units import cut

_GRADIENT_PASSES = 4  # passes that one pass forward and back takes
_LEAST_SHARE = 0.2  # of the units; where time is left for fewer, coarser units say more
_ROWS_OF_A_DELETION = 3  # that share a pass: only those of the same length do
_SAFE = 0.8  # of the time is planned, since estimates err


@dataclass(frozen=True)
class Clock:
    """Seconds since the case began, and how many a token of a full pass over its prompt took: the warm-up."""

    elapsed: Callable[[], float]
    pace: float


@dataclass(frozen=True)
class Work:
    """Passes, and the tokens that they compute."""

    passes: int = 0
    tokens: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.passes + other.passes, self.tokens + other.tokens)

    def seconds(self, pace: float) -> float:
        """``pace``: seconds a token."""
        return pace * (self.tokens + EACH_PASS["cpu"] * self.passes)


@dataclass(frozen=True)
class Planned:
    """What will be measured. ``work``, ``seconds`` and ``gigabytes`` are estimates."""

    units: tuple[Unit, ...]
    kind: UnitKind
    effort: Effort
    groups: tuple[tuple[int, ...], ...]
    work: Work
    seconds: float
    gigabytes: float


class Planner:
    """Estimates for one case. ``bases``: the untouched run of the answer, and of its contrast where it has one."""

    def __init__(self, model: Model, case: Case, prompt: Prompt, bases: Sequence[Base], settings: Settings) -> None:
        self._model, self._case, self._prompt, self._bases = model, case, prompt, bases
        self._settings = settings

    def choose(self, clock: Clock) -> Planned:
        """Units and effort: as set; or, where ``max_seconds`` is set, the finest units of which all, or enough after a
        screening, can be measured in the time that is left. Raises CaseError where there is nothing to suppress."""
        settings, left = self._settings, float("inf")
        kinds: tuple[UnitKind, ...] = get_args(UnitKind) if settings.units == "auto" else (settings.units,)
        efforts: tuple[Effort, ...] = (settings.effort,)
        if settings.max_seconds is not None:
            left = _SAFE * settings.max_seconds - clock.elapsed()
            efforts = ("full", "screened") if settings.effort == "full" else ("screened",)
        for choice in self._choices(kinds, efforts, clock.pace):
            if choice.seconds <= left:
                break
        return choice

    def fitting(self, pieces: Sequence[Runs], seconds: float, pace: float) -> int:
        """How many of the first ``pieces`` can be measured in ``seconds``."""
        least, most = 0, len(pieces)
        while least < most:
            middle = (least + most + 1) // 2
            if self.work(pieces[:middle]).seconds(pace) <= seconds:
                least = middle
            else:
                most = middle - 1
        return least

    def work(self, pieces: Sequence[Runs], reach: Reach = "total") -> Work:
        """Of sweeps over ``pieces`` for the answer and for its contrast."""
        return sum((self._sweep(base, pieces, reach) for base in self._bases), Work())

    def _sweep(self, base: Base, pieces: Sequence[Runs], reach: Reach) -> Work:
        rows = room(self._model, base, self._settings.max_memory, reach).rows
        planned = plan(pieces, len(base.prompt), rows, reach, EACH_PASS[self._model.device.type])
        cost = cost_of(planned, base.inputs.shape[1])
        return Work(cost.passes, cost.forward_tokens)

    def _choices(self, kinds: tuple[UnitKind, ...], efforts: tuple[Effort, ...], pace: float) -> Iterator[Planned]:
        """From the dearest to the cheapest."""
        kappa = self._settings.kappa
        for kind in kinds:
            units = cut(self._case, self._prompt, kind)
            groups = () if kappa is None else alike(self._model, self._prompt.ids, units, kappa)
            for effort in efforts:
                work = sum(self._parts(units, groups, effort), Work())
                yield Planned(units, kind, effort, groups, work, work.seconds(pace), self._gigabytes())

    def _parts(self, units: tuple[Unit, ...], groups: tuple[tuple[int, ...], ...], effort: Effort) -> Iterator[Work]:
        """The sweeps one by one."""
        settings = self._settings
        pieces = [unit.runs for unit in units]
        full = sum(base.inputs.shape[1] for base in self._bases)
        affordable = all(fits(self._model, base, settings.max_memory) for base in self._bases)
        if settings.effect != "total" or (effort == "screened" and not affordable):
            yield self.work(pieces, "direct")
        if effort == "screened":
            if affordable:
                yield Work(len(self._bases), _GRADIENT_PASSES * full)
            yield self.work(_every(pieces, self._measured(units)))
        elif settings.effect != "direct":
            yield self.work(pieces)
        yield self.work([units[group[0]].runs for group in groups])
        if settings.max_seconds is None:  # under a limit, checks take what is left
            yield self._checks(units)
        if settings.bands is not None:
            yield Work(settings.bands, settings.bands * HIGHEST * self._bases[0].inputs.shape[1])

    def _checks(self, units: tuple[Unit, ...]) -> Work:
        """Of deletions, each size taken for a share of the tokens; and of the sweeps with other operators and over
        paraphrases. The other checks are few passes."""
        effort = self._settings.checks
        if effort == "none":
            return Work()
        length = self._bases[0].inputs.shape[1]
        suppressible = sum(stop - start for unit in units for start, stop in unit.runs)
        one = sum(length - share * suppressible for share in SHARES)
        budget = budget_of(effort, self.work([unit.runs for unit in units]).tokens, length)
        random = DRAWS if budget is None else min(DRAWS, max(FEWEST_DRAWS, int(budget // one)))
        rows = len(SHARES) * (1 + random) * len(self._bases)
        kept = rows * length if effort == "full" else 0  # what a draw deletes, and what it leaves, make up the whole
        found = Work(rows // _ROWS_OF_A_DELETION, round(max(one * rows / len(SHARES), kept)))
        again = self.work([unit.runs for unit in units]) if effort == "full" else Work()
        return sum([again] * (len(variants(self._settings)) + len(self._case.paraphrases)), found)

    def _measured(self, units: tuple[Unit, ...]) -> int:
        """How many units a screening measures, at least."""
        if self._settings.max_seconds is None:
            return share_of(units)
        return max(1, round(_LEAST_SHARE * len(units)))

    def _gigabytes(self) -> float:
        """The weights, and the largest passes that run at once."""
        largest = 0
        for base in self._bases:
            fitting = room(self._model, base, self._settings.max_memory)
            largest = max(largest, fitting.rows * fitting.at_once * row_bytes(self._model, base))
        return (weight_bytes(self._model) + largest) / 1e9


def _every(pieces: Sequence[Runs], count: int) -> list[Runs]:
    """``count`` pieces spread evenly: which ones a screening will choose is not known yet."""
    return [pieces[index * len(pieces) // count] for index in range(count)]
