"""Keys and values of an untouched beginning, shared by the rows of a batch."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from transformers import DynamicCache


def prefix(cache: DynamicCache, stop: int, rows: int) -> DynamicCache:
    """The first ``stop`` positions of a one-row cache, for a batch of ``rows``.

    Plain ``DynamicCache()``: the one made from a config keeps only the last window of sliding layers, and slicing that
    would be silently wrong.
    """
    shared = DynamicCache()
    for index, (keys, values) in enumerate(keys_and_values(cache)):
        shared.update(keys[:, :, :stop].expand(rows, -1, -1, -1), values[:, :, :stop].expand(rows, -1, -1, -1), index)
    return shared


def keys_and_values(cache: DynamicCache) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each layer: (rows, heads, positions, width) each."""
    for layer in cache.layers:
        yield layer.keys, layer.values  # type: ignore[union-attr, misc]
