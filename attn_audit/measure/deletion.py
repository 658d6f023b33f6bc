"""The answer's log-probability with units deleted from the text: their tokens are taken out of the prompt, what is left
moves together, and nothing is tokenised anew. An operator that has nothing in common with suppression."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from math import isfinite

import torch
from torch import Tensor

from attn_audit.evidence.errors import CaseError
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.cache import prefix
from attn_audit.measure.last_layer import leaving_out, rows_from
from attn_audit.measure.model import Model
from attn_audit.measure.passes import halving, side_by_side
from attn_audit.measure.query_blocks import in_blocks
from attn_audit.measure.spread import Found, Progress
from attn_audit.measure.sweep import Room, Runs

Kept = tuple[int, ...]  # prompt positions that are left, ascending


@dataclass(frozen=True)
class Deleted:
    """``totals``: sum over t of log p(y_t | what is left), nats, one for each set of units; and what it took."""

    totals: tuple[float, ...]
    passes: int
    forward_tokens: int
    halvings: int


def left_of(prompt_tokens: int, deleted: Iterable[Runs]) -> Kept:
    """The positions that no deleted piece holds."""
    gone = {position for runs in deleted for start, stop in runs for position in range(start, stop)}
    return tuple(position for position in range(prompt_tokens) if position not in gone)


@dataclass(frozen=True)
class DeletionWork:
    """The passes over what is left of the prompt, for one answer. Only rows of the same length share a pass, so that
    nothing is padded; what stands before the first deleted position is taken from the untouched run."""

    model: Model
    base: Base
    kept: Sequence[Kept]
    room: Room

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Of each row: how many of its positions are as in the untouched prompt."""
        return tuple(_first_deleted(one) for one in self.kept)

    @cached_property
    def batches(self) -> tuple[tuple[int, ...], ...]:
        """Rows (indices) that are measured together."""
        kept, rows = self.kept, self.room.rows
        order = sorted(range(len(kept)), key=lambda index: (len(kept[index]), self.starts[index], index))
        return tuple(
            tuple(same[first : first + rows])
            for _, group in groupby(order, key=lambda index: len(kept[index]))
            for same in [list(group)]
            for first in range(0, len(same), rows)
        )

    @property
    def tokens(self) -> int:
        """That all passes compute."""
        after = len(self.base.answer) - 1
        return sum(len(batch) * (len(self.kept[batch[0]]) + after - self.starts[batch[0]]) for batch in self.batches)

    def measure(self, batches: Sequence[tuple[int, ...]], progress: Progress) -> Found:
        """The total of each of their rows. Raises MemoryError where one row alone does not fit."""
        found: dict[int, tuple[float, ...]] = {}
        rows, halvings = sum(len(batch) for batch in batches), 0

        def measured(batch: tuple[int, ...]) -> tuple[Tensor, int]:
            run = partial(_pass, self.model, self.base, self.starts[batch[0]])
            return halving(run, [self.kept[index] for index in batch])

        with (
            in_blocks(self.model.network),
            leaving_out(self.model.last),
            closing(side_by_side(batches, measured, self.room.at_once)) as passes,
        ):
            for batch, (totals, split) in passes:
                found |= zip(batch, ((total,) for total in totals.tolist()), strict=True)
                halvings += split
                progress(len(found), rows)
        return Found(found, halvings=halvings)

    def deleted(self, found: Found) -> Deleted:
        """All totals in the order of the rows. Raises CaseError where one is not a number."""
        totals = tuple(found.rows[index][0] for index in range(len(self.kept)))
        if not all(isfinite(total) for total in totals):
            raise CaseError("a score is not a number; the model's weights may be damaged")
        return Deleted(totals, len(self.batches), self.tokens, found.halvings)


def delete(model: Model, base: Base, kept: Sequence[Kept], room: Room, progress: Progress) -> Deleted:
    """One value for each of ``kept``, none of which is empty. Raises CaseError where a score is not a number,
    MemoryError where one row alone does not fit."""
    work = DeletionWork(model, base, kept, room)
    return work.deleted(work.measure(work.batches, progress))


def _first_deleted(kept: Kept) -> int:
    """How many positions at the beginning are as in the untouched prompt; the last one left is always computed, since
    it predicts the answer."""
    same = next((index for index, position in enumerate(kept) if index != position), len(kept))
    return min(same, len(kept) - 1)


def _pass(model: Model, base: Base, start: int, rows: Sequence[Kept]) -> Tensor:
    """From the ``start``-th of the positions that are left: (rows,), nats, on the CPU."""
    left, m = len(rows[0]), len(base.answer)
    answer = base.answer[:-1].expand(len(rows), -1)
    ids = torch.cat((base.prompt[torch.tensor(rows)][:, start:], answer), dim=1)
    with rows_from(left - 1 - start):
        logits = model.network(
            input_ids=ids,
            past_key_values=prefix(base.cache, start),
            logits_to_keep=torch.arange(left - 1, left + m - 1, device=model.device) - start,
        ).logits
    return log_probabilities(logits, base.answer).sum(-1).cpu()
