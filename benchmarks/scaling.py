"""How does a sweep grow with the prompt, beside naive full passes?

Prompts of 64 to 2,048 tokens: paragraphs of SQuAD items joined and cut at a token, a short question under them, a
short answer teacher-forced; units are sentences (the last may be cut). Total and direct are measured whole. The naive
passes (one for each unit, explicit mask, nothing reused, logits of all positions) are measured on a sample of the
units, evenly spaced, and extrapolated: the table says from how many. Methods alternate; medians over the repeats.

    python benchmarks/scaling.py --data squad_sample.json
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from speed_methods import Setup, naive, ours
from squad import NOW, case_of, items

from attn_audit.evidence.records import Case, Prompt
from attn_audit.measure.answer import score
from attn_audit.measure.model import Model, load, locate, set_threads
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.sweep import cost_of, plan, room
from attn_audit.measure.units import cut

SIZES = "64,128,256,512,1024,2048"
ASKED = "\n\nWhat is this about?"
ANSWER = "History"


@dataclass(frozen=True)
class Point:
    """One length of the prompt. Seconds are medians; ``naive`` is extrapolated from ``sampled`` of the units."""

    tokens: int
    units: int
    total: float
    direct: float
    naive: float
    sampled: int
    total_tokens: int
    direct_tokens: int
    naive_tokens: int


def prompt_of(tokenizer: Any, text: str, size: int) -> tuple[Case, Prompt]:
    """As much of ``text`` as makes a prompt of ``size`` tokens; one more or less where no cut gives exactly that."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    kept, tried = size, dict[int, tuple[Case, Prompt]]()
    while kept not in tried:
        if not 0 < kept <= len(offsets):
            raise typer.BadParameter(f"no prompt of {size} tokens can be made of this text")
        case = case_of(text[: offsets[kept - 1][1]] + ASKED)
        tried[kept] = case, render(tokenizer, case.messages, NOW)
        kept += size - len(tried[kept][1].ids)
    return tried[kept]


def timed(run: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def measure(model: Model, text: str, size: int, options: Options) -> Point:
    """All three ways at one length."""
    case, prompt = prompt_of(model.tokenizer, text, size)
    base = score(model, prompt.ids, tokenise_answer(model.tokenizer, ANSWER).ids)
    pieces = tuple(unit.runs for unit in cut(case, prompt, "sentence"))
    sample = pieces[:: -(-len(pieces) // options.sampled)]
    ends = tuple(end for _, end in prompt.offsets)
    whole = Setup(model, base, pieces, prompt.rendered, ends, options.max_memory)
    some = Setup(model, base, sample, prompt.rendered, ends, options.max_memory)
    runs = {
        "total": ours(whole, "total"),
        "direct": ours(whole, "direct"),
        "naive": naive(some, rows=1, logits="all"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    inputs = base.inputs.shape[1]
    costs = {
        reach: cost_of(plan(pieces, len(prompt.ids), room(model, base, options.max_memory, reach).rows, reach), inputs)
        for reach in ("total", "direct")
    }
    return Point(
        tokens=len(prompt.ids),
        units=len(pieces),
        total=median(seconds["total"]),
        direct=median(seconds["direct"]),
        naive=median(seconds["naive"]) * len(pieces) / len(sample),
        sampled=len(sample),
        total_tokens=costs["total"].forward_tokens,
        direct_tokens=costs["direct"].forward_tokens,
        naive_tokens=inputs * len(pieces),
    )


@dataclass(frozen=True)
class Options:
    """``sampled``: how many units the naive passes are measured on, at most; ``max_memory`` in GB."""

    repeats: int
    sampled: int
    max_memory: float


def paragraphs(data: Path) -> Iterator[str]:
    """Each paragraph once, in file order."""
    yield from dict.fromkeys(item.context for item in items(data))


def main(
    data: Annotated[Path, typer.Option(help="SQuAD sample: a JSON list with context, question, answer, answer_span.")],
    sizes: Annotated[str, typer.Option(help="Prompt tokens, with commas between.")] = SIZES,
    model: Annotated[str, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = "smollm2",
    repeats: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 3,
    sampled: Annotated[int, typer.Option(help="Units that the naive passes are measured on, at most.", min=1)] = 8,
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1)] = os.cpu_count() or 1,
    max_memory: Annotated[float, typer.Option(help="GB that the package's own sweep may take.")] = 8.0,
) -> None:
    """Seconds and forward tokens of each way at each length."""
    set_threads(threads)
    loaded = load(locate(model), seed=0)
    text = "\n\n".join(paragraphs(data))
    options = Options(repeats, sampled, max_memory)
    points = []
    for size in map(int, sizes.split(",")):
        points.append(measure(loaded, text, size, options))
        print(points[-1], flush=True)
    _print(points)


def _print(points: list[Point]) -> None:
    titles = ("prompt tokens", "units", "naive s", "from passes", "total s", "direct s", "total x", "direct x")
    table = Table(*titles, "naive tokens", "total tokens", "direct tokens")
    for one in points:
        seconds = (f"{one.naive:.1f}", str(one.sampled), f"{one.total:.1f}", f"{one.direct:.2f}")
        factors = (f"{one.naive / one.total:.1f}", f"{one.naive / one.direct:.1f}")
        tokens = (f"{number:,}" for number in (one.naive_tokens, one.total_tokens, one.direct_tokens))
        table.add_row(str(one.tokens), str(one.units), *seconds, *factors, *tokens)
    console = Console(width=140)
    console.print(table)
    console.print("naive s: extrapolated to all units from the passes that were measured, one unit a pass")
    for before, after in pairwise(points):
        console.print(
            f"from {before.tokens} to {after.tokens} tokens: naive x {after.naive / before.naive:.1f}, "
            f"total x {after.total / before.total:.1f}, direct x {after.direct / before.direct:.1f}",
            highlight=False,
        )


if __name__ == "__main__":
    typer.run(main)
