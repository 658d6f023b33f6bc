"""The only place that touches the inside of transformers: suppressing the attention to columns, through the library's
documented mask interface (``AttentionMaskInterface.register``), within a context that always restores.

Knockout (docs/method.md): in every layer and head, for every column j of a unit and every later query row r outside
the unit, the score is minus infinity before the softmax. Rows inside the unit are left alone, so no row is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionMaskInterface
from transformers.masking_utils import eager_mask, sdpa_mask

MaskFunction = Callable[..., Tensor | None]
_ORIGINAL: dict[str, MaskFunction] = {"sdpa": sdpa_mask, "eager": eager_mask}
_columns: ContextVar[Tensor | None] = ContextVar("columns", default=None)


@contextmanager
def suppression() -> Iterator[None]:
    """While it lasts, masks obey ``suppressing``. Restores the library's own mask functions, whatever happens."""
    for name, original in _ORIGINAL.items():
        AttentionMaskInterface.register(name, _obeying(original))
    try:
        yield
    finally:
        for name, original in _ORIGINAL.items():
            AttentionMaskInterface.register(name, original)


@contextmanager
def suppressing(columns: Tensor) -> Iterator[None]:
    """Knock out ``columns``: boolean, (rows of the batch, positions), absolute positions from the first token on."""
    token = _columns.set(columns)
    try:
        yield
    finally:
        _columns.reset(token)


def _obeying(original: MaskFunction) -> MaskFunction:
    def mask(
        batch_size: int, q_length: int, kv_length: int, q_offset: int = 0, kv_offset: int = 0, **others: Any
    ) -> Tensor | None:
        columns = _columns.get()
        if columns is not None:
            others["allow_is_causal_skip"] = False  # a skipped mask would be None: nothing to clear
        visible = original(batch_size, q_length, kv_length, q_offset, kv_offset, **others)
        if columns is None or visible is None:
            return visible
        inside = columns[:, q_offset : q_offset + q_length]
        knocked = columns[:, None, None, kv_offset : kv_offset + kv_length] & ~inside[:, None, :, None]
        if visible.dtype == torch.bool:
            return visible & ~knocked  # (rows, 1, queries, keys)
        return visible.masked_fill(knocked, torch.finfo(visible.dtype).min)

    return mask
