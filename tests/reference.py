"""The knockout written a second time, slowly, straight from the formula: full passes, one unit at a time, an explicit
additive mask in eager attention. Nothing here uses the package's own suppression, cache or batching."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

Runs = Sequence[tuple[int, int]]


def mask(length: int, unit: Runs, window: int | None = None) -> torch.Tensor:
    """(1, 1, length, length), additive: query r sees key c iff c <= r (and r - c < window), and not (c in u, r not)."""
    inside = {position for start, stop in unit for position in range(start, stop)}
    lowest = torch.finfo(torch.float32).min
    table = torch.full((length, length), lowest)
    for row in range(length):
        for column in range(row + 1):
            visible = window is None or row - column < window
            if visible and not (column in inside and row not in inside):
                table[row, column] = 0.0
    return table[None, None]


@contextlib.contextmanager
def eager(network: Any) -> Iterator[None]:
    """The same network with the library's plain attention for the time being."""
    before = network.config._attn_implementation
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(before)


def log_probabilities(
    network: Any, prompt: Sequence[int], answer: Sequence[int], unit: Runs, window: int | None = None
) -> torch.Tensor:
    """(answer tokens,) log p(y_t | x, y_<t, unit suppressed), nats."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode(), eager(network):
        logits = network(input_ids=ids, attention_mask=mask(ids.shape[1], unit, window), use_cache=False).logits[0]
    return _scored(logits, len(prompt), answer)


def untouched(network: Any, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """(answer tokens,) log p(y_t | x, y_<t) by the library alone: no mask of ours, no cache."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode(), eager(network):
        logits = network(input_ids=ids, use_cache=False).logits[0]
    return _scored(logits, len(prompt), answer)


def _scored(logits: torch.Tensor, prompt_length: int, answer: Sequence[int]) -> torch.Tensor:
    rows = (logits[prompt_length - 1 + t].double() for t in range(len(answer)))
    return torch.stack([torch.log_softmax(row, dim=-1)[token] for row, token in zip(rows, answer, strict=True)])
