"""Units to scores: each unit suppressed in turn, the untouched beginning reused, units that start near each other in
one batch, logits at the answer's rows only.

Keys and values up to the end of a unit's first run are those of the untouched run: its own rows are left alone, and
nothing before them can see it. Only what follows is computed again; this is exact, not an approximation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_audit.evidence.errors import CaseError
from attn_audit.evidence.records import Effect, Sweep, Unit
from attn_audit.judge.relevance import DECIMALS
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.attention import Operator, Suppress, suppression
from attn_audit.measure.cache import keys_and_values, prefix
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model

Progress = Callable[[int, int], None]  # units done, units in all
_MOST_ROWS = 8  # more rows share a start less often and no longer fill the processor better
_BYTES = 4  # float32
_LIVE_COPIES = 12  # activations of one layer that exist at a time, in multiples of (rows, tokens, width)


@dataclass(frozen=True)
class Batch:
    """Units measured in one pass over positions ``start`` to the end."""

    start: int
    units: tuple[int, ...]

    def halves(self) -> tuple[Batch, Batch]:
        """The same units in two passes."""
        middle = len(self.units) // 2
        return Batch(self.start, self.units[:middle]), Batch(self.start, self.units[middle:])


def plan(units: tuple[Unit, ...], prompt_tokens: int, rows: int, effect: Effect = "total") -> tuple[Batch, ...]:
    """Units in the order of the end of their first run, ``rows`` at a time; each unit in exactly one batch.

    For the direct effect only the rows that predict the answer change, so every unit starts at the first of them.
    """
    last = prompt_tokens - 1
    starts = [min(unit.runs[0][1], last) if effect == "total" else last for unit in units]
    order = sorted(range(len(units)), key=lambda index: (starts[index], index))
    return tuple(
        Batch(starts[order[first]], tuple(order[first : first + rows])) for first in range(0, len(order), rows)
    )


def batch_rows(model: Model, base: Base, max_memory: float) -> int:
    """How many units fit one pass in ``max_memory`` GB beside the weights: a function of model, prompt and setting
    alone, never of what happens to be free, so that evidence does not depend on the moment."""
    config = model.network.config.get_text_config()
    tokens = base.inputs.shape[1]
    cached = sum(keys.numel() + values.numel() for keys, values in keys_and_values(base.cache))
    activations = _LIVE_COPIES * tokens * config.hidden_size
    scores = 2 * config.num_attention_heads * tokens * tokens
    logits = 2 * len(base.answer) * config.vocab_size
    row = _BYTES * (2 * cached + activations + scores + logits)
    weights = _BYTES * model.identity.parameters
    return int(min(_MOST_ROWS, max(1, (max_memory * 1e9 - weights) // row)))


def sweep(
    model: Model,
    base: Base,
    units: tuple[Unit, ...],
    rows: int,
    progress: Progress,
    operator: Operator = Operator(),  # noqa: B008  (immutable)
    effect: Effect = "total",
) -> tuple[tuple[tuple[float, ...], ...], Sweep, int]:
    """Scores (units, answer tokens) = log p(y_t | unit suppressed), nats, rounded; the planned cost; and how often a
    pass did not fit the memory and was split in two.

    Raises CaseError where a score is not a number, MemoryError where one unit alone does not fit, UsageError where the
    operator cannot be applied to the model.
    """
    planned = plan(units, len(base.prompt), rows, effect)
    scores = torch.empty(len(units), len(base.answer))
    waiting, halvings, done = list(reversed(planned)), 0, 0
    with torch.inference_mode(), suppression(model.network, operator) as suppress:
        while waiting:
            batch = waiting.pop()
            try:
                with as_memory_error():
                    scores[list(batch.units)] = _measure(model, base, units, batch, effect, suppress)
            except MemoryError:
                if len(batch.units) == 1:
                    raise
                waiting += reversed(batch.halves())
                halvings += 1
                continue
            done += len(batch.units)
            progress(done, len(units))
    if not torch.isfinite(scores).all():
        raise CaseError("a score is not a number; the model's weights may be damaged")
    length = base.inputs.shape[1]
    took = Sweep(
        batch_rows=rows,
        passes=len(planned),
        forward_tokens=sum((length - batch.start) * len(batch.units) for batch in planned),
        naive_forward_tokens=length * len(units),
    )
    return tuple(rounded(row) for row in scores), took, halvings


def rounded(values: Tensor) -> tuple[float, ...]:
    """As recorded: 6 decimals, far below what float32 resolves in these sums."""
    return tuple(round(value, DECIMALS) + 0.0 for value in values.tolist())


def _measure(
    model: Model, base: Base, units: tuple[Unit, ...], batch: Batch, effect: Effect, suppress: Suppress
) -> Tensor:
    """(units of the batch, answer tokens), nats."""
    inputs = base.inputs
    n, m = len(base.prompt), len(base.answer)
    count = len(batch.units)
    columns = torch.zeros(count, inputs.shape[1], dtype=torch.bool)  # (units, positions)
    for row, index in enumerate(batch.units):
        for start, stop in units[index].runs:
            columns[row, start:stop] = True
    readers = torch.arange(inputs.shape[1]) >= n - 1 if effect == "direct" else None
    with suppress(columns, readers):
        logits = model.network(
            input_ids=inputs[:, batch.start :].expand(count, -1),
            past_key_values=prefix(base.cache, batch.start, count),
            logits_to_keep=torch.arange(n - 1, n + m - 1) - batch.start,
        ).logits
    return log_probabilities(logits, base.answer)
