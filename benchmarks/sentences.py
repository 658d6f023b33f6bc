"""Does the sentence that holds the answer come out on top?

SQuAD items in file order with paragraphs of at most 100 words, whose gold answer loses more than 2 nats without the
paragraph; the gold answer is teacher-forced, units are sentences. Prints a line an item and the share of firsts.

    python benchmarks/sentences.py --data squad_sample.json
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from squad import LEAST_LOSS, NOW, Item, case_of, items, loss_without_paragraph

from attn_audit.judge.relevance import ranking, relevance
from attn_audit.measure.answer import score
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.sweep import room, rounded, sweep
from attn_audit.measure.units import cut

MOST_WORDS = 100
MAX_MEMORY = 8.0  # GB


@dataclass(frozen=True)
class Outcome:
    """``rank`` (from 1) of the answer's sentence among the paragraph's; ``loss`` without the paragraph, nats."""

    question: str
    sentences: int
    rank: int
    loss: float
    seconds: float


def measure(model: Model, item: Item) -> Outcome | None:
    """None where the answer does not depend on the paragraph enough to be found in it."""
    began = time.perf_counter()
    answer = tokenise_answer(model.tokenizer, item.answer).ids
    case = case_of(item.context + item.asked)
    prompt = render(model.tokenizer, case.messages, NOW)
    base = score(model, prompt.ids, answer)
    loss = loss_without_paragraph(model, item, base)
    if loss <= LEAST_LOSS:
        return None
    units = cut(case, prompt, "sentence")
    pieces = [unit.runs for unit in units]
    scores = sweep(model, base, pieces, room(model, base, MAX_MEMORY), _silent).scores
    ordered = [units[index].spans[0] for index in ranking(relevance(rounded(base.log_probabilities), scores))]
    sentences = [span for span in ordered if span.start < len(item.context)]
    rank = 1 + next(index for index, span in enumerate(sentences) if span.start <= item.span[0] < span.end)
    return Outcome(item.question, len(sentences), rank, loss, time.perf_counter() - began)


def _silent(done: int, total: int) -> None:
    """The table is all that is shown."""


def main(
    data: Annotated[Path, typer.Option(help="SQuAD sample: a JSON list with context, question, answer, answer_span.")],
    model: Annotated[str, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = "smollm2",
    wanted: Annotated[int, typer.Option("--items", help="How many items to measure.")] = 10,
) -> None:
    """Rank of the sentence that holds the answer."""
    loaded = load(locate(model), seed=0)
    outcomes: list[Outcome] = []
    skipped = 0
    for item in (one for one in items(data) if len(one.context.split()) <= MOST_WORDS):
        if len(outcomes) == wanted:
            break
        outcome = measure(loaded, item)
        if outcome is None:
            skipped += 1
        else:
            outcomes.append(outcome)
    _print(outcomes, skipped)


def _print(outcomes: list[Outcome], skipped: int) -> None:
    table = Table("question", "sentences", "rank", "loss, nats", "seconds")
    for one in outcomes:
        row: list[Any] = [one.question, one.sentences, one.rank, f"{one.loss:.2f}", f"{one.seconds:.1f}"]
        table.add_row(*map(str, row))
    console = Console()
    console.print(table)
    firsts = sum(one.rank == 1 for one in outcomes)
    chance = sum(1 / one.sentences for one in outcomes)
    console.print(f"first in {firsts} of {len(outcomes)} items; random order: {chance:.1f} expected")
    console.print(
        f"{skipped} items were passed over: their answer lost at most {LEAST_LOSS} nats without the paragraph"
    )


if __name__ == "__main__":
    typer.run(main)
