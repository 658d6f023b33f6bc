"""Each family loaded as a user loads it, its sweep held to the slow reference: for the tests and for docs/models.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import reference
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.measure.answer import Base, score
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.sweep import sweep

BOUND = 1e-4  # nats per answer token, float32
PROMPT = tuple(range(5, 33))
ANSWER = (40, 41, 42, 43)
BATCHES = (1, 5)
UNITS: tuple[tuple[tuple[int, int], ...], ...] = (
    *(((start, start + 1),) for start in range(0, len(PROMPT), 5)),  # single tokens, the first and one near the end
    ((0, 3),),
    ((12, 20),),  # as long as a window
    ((6, 10),),  # across the border of two chunks
    ((20, 28),),  # up to the end of the prompt
    ((0, 28),),  # all of it
    ((2, 4), (11, 14), (25, 26)),  # several runs
    ((0, 1), (27, 28)),  # the last token, whose row predicts the answer, among them
)


@contextmanager
def one_thread() -> Iterator[None]:
    """Models this small only lose time when threads wait for each other, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def loaded(folder: Path, family: str) -> Model:
    """Written to disk, located, loaded and probed."""
    return load(locate(str(tiny.folder(folder / family, family))), seed=0)


def base(model: Model) -> Base:
    """The untouched run that a sweep starts from."""
    return score(model, PROMPT, ANSWER)


def swept(model: Model, rows: int) -> torch.Tensor:
    """(units, answer tokens), nats: by the package, ``rows`` units in a pass."""
    return torch.tensor(sweep(model, base(model), UNITS, rows, lambda *_: None).scores, dtype=torch.float64)


def expected(model: Model) -> torch.Tensor:
    """(units, answer tokens), nats: by the reference."""
    return torch.stack([reference.log_probabilities(model.network, PROMPT, ANSWER, runs) for runs in UNITS])


def largest_difference(model: Model) -> float:
    """Of all units, answer tokens and batch shapes, nats."""
    formula = expected(model)
    return max((swept(model, rows) - formula).abs().max().item() for rows in BATCHES)


def refusal(folder: Path, family: str) -> str:
    """The sentence with which a family is refused, without the place of its folder."""
    try:
        loaded(folder, family)
    except UsageError as error:
        return str(error).replace(f"{folder}/", "")
    raise LookupError(f"{family} is not refused")
