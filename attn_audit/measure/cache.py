"""Keys and values of an untouched beginning, shared by the rows of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class _Shared(DynamicLayer):
    """One layer's beginning, held once. What follows is handed on with it and not kept: a pass ends with its logits,
    so that only the layer at work holds a copy of the beginning for each row."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """(rows, heads, positions, width) each."""
        return _joined(self.keys, key_states), _joined(self.values, value_states)


def _joined(beginning: Any, rest: Tensor) -> Tensor:
    return torch.cat((beginning.expand(len(rest), -1, -1, -1), rest), dim=-2)


def prefix(cache: DynamicCache, stop: int) -> DynamicCache:
    """The first ``stop`` positions of a one-row cache, for one pass over a batch of any number of rows.

    Layers that keep all positions: those of a cache that is made from a config keep only the last window of sliding
    layers, and slicing that would be silently wrong.
    """
    shared = DynamicCache()
    shared.layers = [_Shared(keys[:, :, :stop], values[:, :, :stop]) for keys, values in keys_and_values(cache)]
    return shared


def keys_and_values(cache: DynamicCache) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each layer: (rows, heads, positions, width) each."""
    for layer in cache.layers:
        yield layer.keys, layer.values  # type: ignore[union-attr, misc]
