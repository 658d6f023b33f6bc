"""Does the screening keep what matters, and what does it save?

SQuAD items in file order with paragraphs of 90 to 150 words; the gold answer is teacher-forced, units are words. Each
item is measured in full and screened, one after the other. Kept: how many of the ten and five highest units of the
full map are among those that the screening chose to measure; then the same for other shares of measured units, from
the same looks at the units.

    python benchmarks/screened.py --data squad_sample.json
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import fmean, median
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from squad import NOW, Item, case_of, items

from attn_audit.evidence.measured import Screening
from attn_audit.evidence.settings import Settings
from attn_audit.judge.relevance import ranking, relevance
from attn_audit.judge.screening import SHARE, promising
from attn_audit.measure.answer import score
from attn_audit.measure.explain import Explained, Sweeps, explain
from attn_audit.measure.model import Model, load, locate, set_threads
from attn_audit.measure.planner import Clock, Planner
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.sweep import rounded

LEAST_WORDS, MOST_WORDS = 90, 150
SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
TOPS = (10, 5)


@dataclass(frozen=True)
class Outcome:
    """``top``: the highest units of the full map; ``order``: by which look, all units as they would be measured."""

    units: int
    top: tuple[int, ...]
    measured: frozenset[int]
    order: dict[str, tuple[int, ...]]
    seconds_full: float
    seconds_screened: float

    def kept(self, top: int) -> float:
        return len(set(self.top[:top]) & self.measured) / top

    def would_keep(self, look: str, top: int, share: float) -> float:
        return len(set(self.top[:top]) & set(self.order[look][: ceil(share * self.units)])) / top


def measure(model: Model, item: Item) -> Outcome:
    """Full and screened, on the same prompt and answer."""
    answer = tokenise_answer(model.tokenizer, item.answer)
    case = case_of(item.context + item.asked)
    prompt = render(model.tokenizer, case.messages, NOW)
    bases = (score(model, prompt.ids, answer.ids),)

    def run(settings: Settings) -> tuple[Explained, float]:
        began = time.perf_counter()
        planner = Planner(model, case, prompt, bases, settings)
        clock = Clock(lambda: 0.0, 0.0)
        found = explain(Sweeps(model, bases, settings, _silent), answer, planner.choose(clock), planner, clock)
        return found, time.perf_counter() - began

    full, seconds_full = run(Settings())
    screened, seconds_screened = run(Settings(effort="screened"))
    units = Planner(model, case, prompt, bases, Settings()).choose(Clock(lambda: 0.0, 0.0)).units
    base = rounded(bases[0].log_probabilities)
    screening = screened.screening or Screening(gradient=None, measured=())
    direct, _ = run(Settings(effect="direct"))
    return Outcome(
        units=len(units),
        top=ranking(relevance(base, full.scores)),
        measured=frozenset(screening.measured),
        order={
            "gradient": promising(units, screening.gradient or ()),
            "direct": promising(units, relevance(base, direct.scores)),
        },
        seconds_full=seconds_full,
        seconds_screened=seconds_screened,
    )


def _silent(done: int, total: int) -> None:
    """The tables are all that is shown."""


def report(console: Console, outcomes: Sequence[Outcome]) -> None:
    """What was kept and saved, then what other shares would have kept."""
    ratio = [outcome.seconds_screened / outcome.seconds_full for outcome in outcomes]
    console.print(
        f"{len(outcomes)} items of {min(o.units for o in outcomes)} to {max(o.units for o in outcomes)} words, "
        f"a share of {SHARE:.0%} measured: "
        + ", ".join(f"{fmean(o.kept(top) for o in outcomes):.3f} of the top {top} kept" for top in TOPS)
        + f"; time of the full sweep: median {median(ratio):.2f}, sums "
        f"{sum(o.seconds_screened for o in outcomes) / sum(o.seconds_full for o in outcomes):.2f}"
    )
    table = Table("look", "top", *(f"{share:.0%}" for share in SHARES), box=None)
    for look in ("gradient", "direct"):
        for top in TOPS:
            kept = (fmean(o.would_keep(look, top, share) for o in outcomes) for share in SHARES)
            table.add_row(look, str(top), *(f"{value:.3f}" for value in kept))
    console.print(table)


def main(
    data: Annotated[Path, typer.Option(help="SQuAD sample: a JSON list with context, question, answer, answer_span.")],
    model: Annotated[str, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = "smollm2",
    wanted: Annotated[int, typer.Option("--items", help="How many items to measure.")] = 30,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 2,
) -> None:
    """Share of the highest units that the screening keeps, and its time."""
    set_threads(threads)
    loaded = load(locate(model), seed=0)
    console = Console()
    outcomes: list[Outcome] = []
    for item in items(data):
        if len(outcomes) == wanted:
            break
        if LEAST_WORDS <= len(item.context.split()) <= MOST_WORDS:
            outcomes.append(found := measure(loaded, item))
            console.print(
                f"{len(outcomes)}: {found.units} units, kept {found.kept(10):.1f} and {found.kept(5):.1f}, "
                f"{found.seconds_full:.1f} s in full, {found.seconds_screened:.1f} s screened"
            )
    report(console, outcomes)


if __name__ == "__main__":
    typer.run(main)
