"""The answer's log-probability with units deleted from the text: their tokens are taken out of the prompt, what is left
moves together, and nothing is tokenised anew. An operator that has nothing in common with suppression."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from attn_audit.evidence.errors import CaseError
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.cache import prefix
from attn_audit.measure.model import Model
from attn_audit.measure.passes import halving, side_by_side
from attn_audit.measure.sweep import Progress, Room, Runs

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


def delete(model: Model, base: Base, kept: Sequence[Kept], room: Room, progress: Progress) -> Deleted:
    """One value for each of ``kept``, none of which is empty. Only those of the same length share a pass, so that
    nothing is padded; what stands before the first deleted position is taken from the untouched run. Raises CaseError
    where a score is not a number, MemoryError where one row alone does not fit."""
    starts = [_first_deleted(one) for one in kept]
    order = sorted(range(len(kept)), key=lambda index: (len(kept[index]), starts[index], index))
    jobs = [
        tuple(same[first : first + room.rows])
        for _, group in groupby(order, key=lambda index: len(kept[index]))
        for same in [list(group)]
        for first in range(0, len(same), room.rows)
    ]
    totals, halvings, tokens, done = torch.empty(len(kept)), 0, 0, 0

    def measured(job: tuple[int, ...]) -> tuple[Tensor, int]:
        return halving(partial(_pass, model, base, starts[job[0]]), [kept[index] for index in job])

    with closing(side_by_side(jobs, measured, room.at_once)) as passes:
        for job, (found, split) in passes:
            totals[list(job)] = found
            halvings += split
            tokens += len(job) * (len(kept[job[0]]) + len(base.answer) - 1 - starts[job[0]])
            done += len(job)
            progress(done, len(kept))
    if not torch.isfinite(totals).all():
        raise CaseError("a score is not a number; the model's weights may be damaged")
    return Deleted(tuple(totals.tolist()), len(jobs), tokens, halvings)


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
    logits = model.network(
        input_ids=ids,
        past_key_values=prefix(base.cache, start),
        logits_to_keep=torch.arange(left - 1, left + m - 1, device=model.device) - start,
    ).logits
    return log_probabilities(logits, base.answer).sum(-1).cpu()
