"""The last layer's feed-forward part, at the rows whose logits are asked for: what it makes of the others is read by
nothing, unlike their keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList
from torch.nn.functional import pad

from attn_audit.judge.probe import TOLERANCE
from attn_audit.measure.probe import random_ids

_NAMES = ("mlp", "feed_forward", "ffn", "block_sparse_moe")
_TOKENS = 16  # random ones, on which it is proved
_DIMENSIONS = 3  # rows of the batch, rows of the pass, width
_first: ContextVar[int] = ContextVar("first", default=0)


def feed_forward(network: Any, seed: int) -> Module | None:
    """That part, where it is proved on this very network, on random tokens, that leaving rows out changes no logits of
    those that stay; else None, and all rows are computed."""
    part = _named(network)
    if part is None:
        return None
    first = _TOKENS // 2
    options = {
        "input_ids": random_ids(network, _TOKENS, seed).expand(2, -1).to(network.device),
        "logits_to_keep": torch.arange(first, _TOKENS, device=network.device),
        "use_cache": False,
    }
    with torch.inference_mode():
        whole = network(**options).logits
        try:
            with leaving_out(part), rows_from(first):
                cut = network(**options).logits
        except (RuntimeError, TypeError, IndexError):  # it takes or gives something else than a tensor of rows
            return None
    return part if whole.shape == cut.shape and (whole - cut).abs().max().item() <= TOLERANCE else None


@contextmanager
def leaving_out(part: Module | None) -> Iterator[None]:
    """While it lasts, the part obeys ``rows_from``."""
    if part is None:
        yield
        return
    hooks = part.register_forward_pre_hook(_cut), part.register_forward_hook(_fill)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def rows_from(first: int) -> Iterator[None]:
    """Around one forward pass, in its thread: logits are asked for from this row of the pass on."""
    token = _first.set(first)
    try:
        yield
    finally:
        _first.reset(token)


def _named(network: Any) -> Module | None:
    count = network.config.get_text_config().num_hidden_layers
    stacks = (module for module in network.modules() if isinstance(module, ModuleList) and len(module) == count)
    last = next(stacks, [None])[-1]
    found = (getattr(last, name, None) for name in _NAMES)
    return next((part for part in found if isinstance(part, Module)), None)


def _cut(part: Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A forward pre-hook: what has a value for each row of the pass is cut."""
    if not (first := _first.get()):
        return None
    return tuple(
        value[:, first:].contiguous() if isinstance(value, Tensor) and value.dim() == _DIMENSIONS else value
        for value in args
    )


def _fill(part: Module, args: tuple[Any, ...], given: Any) -> Any:
    """A forward hook: the rows that were left out are zero."""
    if not (first := _first.get()):
        return None
    if isinstance(given, tuple):  # with the scores of a router
        return (_filled(given[0], first), *given[1:])
    return _filled(given, first)


def _filled(rows: Tensor, first: int) -> Tensor:
    return pad(rows, (0, 0, first, 0))
