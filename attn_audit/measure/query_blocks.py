"""Attention on the processor with less to compute, for the same numbers but for rounding: queries in blocks, each
looking at the keys up to its last one only, and heads that share keys and values without a copy for each of them.

The library hands a mask with every key to torch, which then also computes what the mask hides: half of all, where
nothing of the prompt is reused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

_BLOCK = 64  # queries; fewer fill the processor less, more compute more that is hidden
_NAME = "sdpa"
_SHARED_HEADS = "TRANSFORMERS_SDPA_FORCE_GQA"  # read by the library in each call


@contextmanager
def in_blocks(network: Any) -> Iterator[None]:
    """While it lasts, attention through the library's interface to torch's own goes block by block, where the network
    is on the processor. Restores the library's function, whatever happens."""
    if network.device.type != "cpu":
        yield
        return
    before = os.environ.get(_SHARED_HEADS)
    AttentionInterface.register(_NAME, _attend)
    os.environ[_SHARED_HEADS] = "1"
    try:
        yield
    finally:
        AttentionInterface.register(_NAME, sdpa_attention_forward)
        os.environ.pop(_SHARED_HEADS)
        if before is not None:
            os.environ[_SHARED_HEADS] = before


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **others: Any
) -> tuple[Tensor, None]:
    """(rows, queries, heads, width) of (rows, heads, queries or keys, width)."""

    def attend(first: int, stop: int, keys: int) -> Tensor:
        mask = None if attention_mask is None else attention_mask[..., first:stop, :keys]
        found: Tensor = sdpa_attention_forward(
            module, query[:, :, first:stop], key[:, :, :keys], value[:, :, :keys], mask, **others
        )[0]
        return found

    queries, keys = query.shape[2], key.shape[2]
    biased = others.get("position_bias") is not None  # it would have to be cut, too
    if biased or attention_mask is None or queries <= _BLOCK or not _is_causal(attention_mask, queries, keys):
        return attend(0, queries, keys), None
    ends = ((first, min(first + _BLOCK, queries)) for first in range(0, queries, _BLOCK))
    return torch.cat([attend(first, stop, keys - queries + stop) for first, stop in ends], 1), None


def _is_causal(mask: Tensor, queries: int, keys: int) -> bool:
    """Whether the mask, boolean or additive, hides from each block all keys after its last query."""
    if mask.shape[-2:] != (queries, keys):
        return False
    seen = mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min
    stops = range(_BLOCK, queries, _BLOCK)
    return not any(bool(seen[..., stop - _BLOCK : stop, keys - queries + stop :].any()) for stop in stops)
