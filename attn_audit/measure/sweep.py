"""Units to scores: each unit suppressed in turn, the untouched beginning reused, units that start near each other in
one batch, logits at the answer's rows only.

Keys and values up to the end of a unit's first run are those of the untouched run: its own rows are left alone, and
nothing before them can see it. Only what follows is computed again; this is exact, not an approximation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.records import Sweep
from attn_audit.judge.relevance import DECIMALS
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.attention import Operator, Suppress, suppression
from attn_audit.measure.cache import keys_and_values, prefix
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model

Progress = Callable[[int, int], None]  # pieces done, pieces in all
Runs = tuple[tuple[int, int], ...]  # start:stop of the positions that are suppressed together
Reach = Literal["total", "direct"]  # which later rows obey: all of them, or those that predict the answer
_MOST_ROWS: dict[tuple[str, Reach], int] = {
    ("cpu", "total"): 8,  # more rows share a start less often and no longer fill the processor better
    ("cpu", "direct"): 32,  # all start at the answer, so that more rows read the weights less often
    ("cuda", "total"): 64,
    ("cuda", "direct"): 256,
}
_LIVE_COPIES = 12  # activations of one layer that exist at a time, in multiples of (rows, tokens, width)


@dataclass(frozen=True)
class Batch:
    """Pieces (indices) measured in one pass over positions ``start`` to the end."""

    start: int
    pieces: tuple[int, ...]

    def halves(self) -> tuple[Batch, Batch]:
        """The same pieces in two passes."""
        middle = len(self.pieces) // 2
        return Batch(self.start, self.pieces[:middle]), Batch(self.start, self.pieces[middle:])


@dataclass(frozen=True)
class Swept:
    """Scores (pieces, answer tokens) = log p(y_t | piece suppressed), nats, rounded; the planned cost; and how often a
    pass did not fit the memory and was split in two."""

    scores: tuple[tuple[float, ...], ...]
    cost: Sweep
    halvings: int


def plan(pieces: Sequence[Runs], prompt_tokens: int, rows: int, reach: Reach = "total") -> tuple[Batch, ...]:
    """Pieces in the order of the end of their first run, ``rows`` at a time; each piece in exactly one batch.

    For the direct effect only the rows that predict the answer change, so every piece starts at the first of them.
    """
    last = prompt_tokens - 1
    starts = [min(runs[0][1], last) if reach == "total" else last for runs in pieces]
    order = sorted(range(len(pieces)), key=lambda index: (starts[index], index))
    return tuple(
        Batch(starts[order[first]], tuple(order[first : first + rows])) for first in range(0, len(order), rows)
    )


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
    """What one row of a pass needs beside the weights: its keys and values twice (the shared beginning and its own),
    the activations of a layer, its scores, and the logits of the answer."""
    config = model.network.config.get_text_config()
    tokens = base.inputs.shape[1]
    cached = sum(keys.numel() + values.numel() for keys, values in keys_and_values(base.cache))
    queries = tokens if reach == "total" else len(base.answer)
    activations = _LIVE_COPIES * queries * config.hidden_size
    scores = 2 * config.num_attention_heads * queries * tokens
    logits = 2 * len(base.answer) * config.vocab_size
    return int(model.network.dtype.itemsize * (2 * cached + activations + scores + logits))


def batch_rows(model: Model, base: Base, max_memory: float, reach: Reach = "total") -> int:
    """How many pieces fit one pass in ``max_memory`` GB beside the weights: a function of model, prompt and setting
    alone, never of what happens to be free, so that evidence does not depend on the moment."""
    free = max_memory * 1e9 - weight_bytes(model)
    most = _MOST_ROWS[model.device.type, reach]
    return int(min(most, max(1, free // row_bytes(model, base, reach))))


def sweep(
    model: Model,
    base: Base,
    pieces: Sequence[Runs],
    rows: int,
    progress: Progress,
    operator: Operator = Operator(),  # noqa: B008  (immutable)
    reach: Reach = "total",
) -> Swept:
    """Each piece suppressed on its own. Raises CaseError where a score is not a number, MemoryError where one piece
    alone does not fit, UsageError where the operator cannot be applied to the model."""
    planned = plan(pieces, len(base.prompt), rows, reach)
    scores = torch.empty(len(pieces), len(base.answer))
    waiting, halvings, done = list(reversed(planned)), 0, 0
    expected = base.log_probabilities.cpu()
    untouched, noise = {planned[index] for index in (0, len(planned) // 2, -1)}, 0.0
    with torch.inference_mode(), suppression(model.network, operator) as suppress:
        while waiting:
            batch = waiting.pop()
            try:
                rows_of = [pieces[index] for index in batch.pieces] + [()] * (batch in untouched)
                with as_memory_error():
                    found = _measure(model, base, rows_of, batch.start, reach, suppress)
            except MemoryError:
                if batch in untouched:
                    untouched.discard(batch)
                    waiting.append(batch)
                    continue
                if len(batch.pieces) == 1:
                    raise
                waiting += reversed(batch.halves())
                halvings += 1
                continue
            scores[list(batch.pieces)] = found[: len(batch.pieces)]
            for row in found[len(batch.pieces) :]:
                noise = max(noise, abs(float((row - expected).sum())))
            done += len(batch.pieces)
            progress(done, len(pieces))
    if not torch.isfinite(scores).all():
        raise CaseError("a score is not a number; the model's weights may be damaged")
    cost = cost_of(planned, base.inputs.shape[1]).model_copy(update={"noise": round(noise, DECIMALS)})
    return Swept(tuple(rounded(row) for row in scores), cost, halvings)


def rounded(values: Tensor) -> tuple[float, ...]:
    """As recorded: 6 decimals, far below what float32 resolves in these sums."""
    return tuple(round(value, DECIMALS) + 0.0 for value in values.tolist())


def _measure(model: Model, base: Base, pieces: Sequence[Runs], start: int, reach: Reach, suppress: Suppress) -> Tensor:
    """One pass from position ``start`` on: (pieces, answer tokens), nats, on the CPU."""
    inputs, device = base.inputs, model.device
    n, m = len(base.prompt), len(base.answer)
    columns = torch.zeros(len(pieces), inputs.shape[1], dtype=torch.bool)  # (pieces, positions)
    for row, runs in enumerate(pieces):
        for first, stop in runs:
            columns[row, first:stop] = True
    readers = (torch.arange(inputs.shape[1]) >= n - 1).to(device) if reach == "direct" else None
    with suppress(columns.to(device), readers):
        logits = model.network(
            input_ids=inputs[:, start:].expand(len(pieces), -1),
            past_key_values=prefix(base.cache, start, len(pieces)),
            logits_to_keep=torch.arange(n - 1, n + m - 1, device=device) - start,
        ).logits
    return log_probabilities(logits, base.answer).cpu()
