"""Units to scores: each unit suppressed in turn, the untouched beginning reused, units that start near each other in
one batch, logits at the answer's rows only.

Keys and values up to the end of a unit's first run are those of the untouched run: its own rows are left alone, and
nothing before them can see it. Only what follows is computed again; this is exact, not an approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from math import isfinite
from typing import Literal

import torch
from torch import Tensor

from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.measured import Sweep
from attn_audit.judge.relevance import DECIMALS
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.attention import Operator, Suppress, suppression
from attn_audit.measure.cache import keys_and_values, prefix
from attn_audit.measure.last_layer import leaving_out, rows_from
from attn_audit.measure.model import Model
from attn_audit.measure.passes import halving, side_by_side
from attn_audit.measure.spread import Found, Progress

Runs = tuple[tuple[int, int], ...]  # start:stop of the positions that are suppressed together
Reach = Literal["total", "direct"]  # which later rows obey: all of them, or those that predict the answer
_MOST_ROWS: dict[tuple[str, Reach], int] = {
    ("cpu", "total"): 8,  # more rows no longer fill the processor better
    ("cpu", "direct"): 32,  # all start at the answer, so that more rows read the weights less often
    ("cuda", "total"): 64,
    ("cuda", "direct"): 256,
}
EACH_PASS = {"cpu": 16, "cuda": 512}  # tokens that could be computed in the time that each pass takes for itself
_LIVE_COPIES = 12  # activations of one layer that exist at a time, in multiples of (rows, tokens, width)


@dataclass(frozen=True)
class Room:
    """What the memory has room for: ``rows`` of a pass, that is pieces measured together, and passes ``at_once``."""

    rows: int
    at_once: int = 1


@dataclass(frozen=True)
class Batch:
    """Pieces (indices) measured in one pass over positions ``start`` to the end."""

    start: int
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class Swept:
    """Scores (pieces, answer tokens) = log p(y_t | piece suppressed), nats, rounded; the planned cost; and how often a
    pass did not fit the memory and was split in two."""

    scores: tuple[tuple[float, ...], ...]
    cost: Sweep
    halvings: int


def plan(
    pieces: Sequence[Runs], prompt_tokens: int, rows: int, reach: Reach = "total", each_pass: int = EACH_PASS["cpu"]
) -> tuple[Batch, ...]:
    """Pieces in the order of the end of their first run, cut into batches of at most ``rows``, each piece in exactly
    one: those batches that take the least, counted in tokens. A batch computes each of its pieces from the first of
    their starts on, and costs ``each_pass`` tokens beside.

    For the direct effect only the rows that predict the answer change, so every piece starts at the first of them.
    """
    last = prompt_tokens - 1
    starts = [min(runs[0][1], last) if reach == "total" else last for runs in pieces]
    order = sorted(range(len(pieces)), key=lambda index: (starts[index], index))
    sums = [0, *accumulate(starts[index] for index in order)]
    least, cut = [0], [0]  # for the first so many pieces: their cost, and where their last batch begins
    for stop in range(1, len(order) + 1):
        costs = (
            (least[first] + sums[stop] - sums[first] - (stop - first) * starts[order[first]] + each_pass, first)
            for first in range(max(0, stop - rows), stop)
        )
        cost, first = min(costs)
        least.append(cost)
        cut.append(first)
    batches, stop = [], len(order)
    while stop:
        first = cut[stop]
        batches.append(Batch(starts[order[first]], tuple(order[first:stop])))
        stop = first
    return tuple(reversed(batches))


def cost_of(planned: Sequence[Batch], inputs: int) -> Sweep:
    """What a plan takes for ``inputs`` positions of prompt and answer."""
    pieces = sum(len(batch.pieces) for batch in planned)
    return Sweep(
        batch_rows=max((len(batch.pieces) for batch in planned), default=0),
        passes=len(planned),
        forward_tokens=sum((inputs - batch.start) * len(batch.pieces) for batch in planned),
        naive_forward_tokens=inputs * pieces,
        noise=0.0,
    )


def weight_bytes(model: Model) -> int:
    """What the weights need."""
    return int(model.network.dtype.itemsize * model.identity.parameters)


def row_bytes(model: Model, base: Base, reach: Reach = "total") -> int:
    """What one row of a pass needs beside the weights: the keys and values of the layer at work, once more for each
    head that shares them; the activations of a layer, its scores, and the logits of the answer."""
    config = model.network.config.get_text_config()
    tokens = base.inputs.shape[1]
    kept = max(keys.numel() + values.numel() for keys, values in keys_and_values(base.cache))
    heads = config.num_attention_heads
    sharing = heads // (getattr(config, "num_key_value_heads", None) or heads)
    queries = tokens if reach == "total" else len(base.answer)
    activations = _LIVE_COPIES * queries * config.hidden_size
    scores = 2 * heads * queries * tokens
    logits = len(base.answer) * config.vocab_size
    return int(model.network.dtype.itemsize * ((1 + sharing) * kept + activations + scores + logits))


def room(model: Model, base: Base, max_memory: float, reach: Reach = "total") -> Room:
    """What fits ``max_memory`` GB beside the weights. The rows are a function of model, prompt and setting alone, never
    of what happens to be free or of the number of threads, so that evidence does not depend on either.

    On the processor, passes run beside each other, one for each thread where that many fit: threads that share a pass
    wait for each other after each of its thousands of steps.
    """
    free, one = max_memory * 1e9 - weight_bytes(model), row_bytes(model, base, reach)
    rows = int(min(_MOST_ROWS[model.device.type, reach], max(1, free // one)))
    threads = torch.get_num_threads() if model.device.type == "cpu" else 1
    return Room(rows, int(min(threads, max(1, free // (rows * one)))))


@dataclass(frozen=True)
class SweepWork:
    """The passes of one sweep: each piece suppressed on its own, for one answer."""

    model: Model
    base: Base
    pieces: Sequence[Runs]
    room: Room
    operator: Operator
    reach: Reach

    @cached_property
    def batches(self) -> tuple[Batch, ...]:
        """As ``plan`` cuts them."""
        each_pass = EACH_PASS[self.model.device.type]
        return plan(self.pieces, len(self.base.prompt), self.room.rows, self.reach, each_pass)

    @property
    def cost(self) -> Sweep:
        """What all of them take."""
        return cost_of(self.batches, self.base.inputs.shape[1])

    @property
    def tokens(self) -> int:
        """That they compute."""
        return self.cost.forward_tokens

    def measure(self, batches: Sequence[Batch], progress: Progress) -> Found:
        """The rows of their pieces. Raises MemoryError where one piece alone does not fit, UsageError where the
        operator cannot be applied to the model."""
        base, every = self.base, self.batches
        riding = {every[index] for index in (0, len(every) // 2, -1)} if every else set()
        found: dict[int, tuple[float, ...]] = {}
        pieces, halvings, noise = sum(len(batch.pieces) for batch in batches), 0, 0.0
        expected = base.log_probabilities.cpu()
        with suppression(self.model.network, self.operator) as suppress, leaving_out(self.model.last):

            def measured(batch: Batch) -> tuple[Tensor, int]:
                rows = [*(self.pieces[index] for index in batch.pieces), *[()] * (batch in riding)]
                return halving(partial(_pass, self.model, base, self.reach, suppress, batch.start), rows)

            with closing(side_by_side(batches, measured, self.room.at_once)) as passes:
                for batch, (scores, split) in passes:
                    found |= zip(batch.pieces, map(rounded, scores), strict=False)
                    for untouched in scores[len(batch.pieces) :]:
                        noise = max(noise, abs(float((untouched - expected).sum())))
                    halvings += split
                    progress(len(found), pieces)
        return Found(found, noise, halvings)

    def swept(self, found: Found) -> Swept:
        """All rows in the order of the pieces. Raises CaseError where a score is not a number."""
        scores = tuple(found.rows[index] for index in range(len(self.pieces)))
        if not all(isfinite(score) for row in scores for score in row):
            raise CaseError("a score is not a number; the model's weights may be damaged")
        cost = self.cost.model_copy(update={"noise": round(found.noise, DECIMALS)})
        return Swept(scores, cost, found.halvings)


def sweep(
    model: Model,
    base: Base,
    pieces: Sequence[Runs],
    room: Room,
    progress: Progress,
    operator: Operator = Operator(),  # noqa: B008  (immutable)
    reach: Reach = "total",
) -> Swept:
    """Each piece suppressed on its own. Raises CaseError where a score is not a number, MemoryError where one piece
    alone does not fit, UsageError where the operator cannot be applied to the model."""
    work = SweepWork(model, base, pieces, room, operator, reach)
    return work.swept(work.measure(work.batches, progress))


def rounded(values: Tensor) -> tuple[float, ...]:
    """As recorded: 6 decimals, far below what float32 resolves in these sums."""
    return tuple(round(value, DECIMALS) + 0.0 for value in values.tolist())


def _pass(model: Model, base: Base, reach: Reach, suppress: Suppress, start: int, rows: Sequence[Runs]) -> Tensor:
    """From position ``start`` on: (rows, answer tokens), nats, on the CPU."""
    inputs, n, m = base.inputs, len(base.prompt), len(base.answer)
    device = model.device
    columns = torch.zeros(len(rows), inputs.shape[1], dtype=torch.bool)  # (rows, positions)
    for row, runs in enumerate(rows):
        for first, stop in runs:
            columns[row, first:stop] = True
    readers = (torch.arange(inputs.shape[1]) >= n - 1).to(device) if reach == "direct" else None
    with suppress(columns.to(device), readers), rows_from(n - 1 - start):
        logits = model.network(
            input_ids=inputs[:, start:].expand(len(rows), -1),
            past_key_values=prefix(base.cache, start),
            logits_to_keep=torch.arange(n - 1, n + m - 1, device=device) - start,
        ).logits
    return log_probabilities(logits, base.answer).cpu()
