"""The only place that touches the inside of transformers: weakening the attention to columns through the library's
documented interfaces, within a context that always restores.

Operators (docs/method.md), for every column j of a unit and every later query row r outside the unit, before softmax:
knockout sets the score to minus infinity; soft adds log f; shifted replaces it by (s - m) * f + m, where m is the
least score that row r can see (Deiseroth et al. 2023, section 3, with the minimum over visible keys only; adding m back
shifts a whole row, which softmax does not notice). Rows inside the unit are left alone, so no row is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.masking_utils import eager_mask, sdpa_mask

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import OperatorName
from attn_audit.evidence.settings import Settings
from attn_audit.measure.layer_bands import Band, remember
from attn_audit.measure.query_blocks import in_blocks

MaskFunction = Callable[..., Tensor | None]
Suppress = Callable[..., AbstractContextManager[None]]
_ORIGINAL: dict[str, MaskFunction] = {"sdpa": sdpa_mask, "eager": eager_mask}
_SHIFTED = "attn_audit_shifted"
_SUPPRESSED = -1.0  # in the mask that the shifted operator reads: visible, but to be weakened
_HARMLESS = {  # keywords of attention functions that do not change what is computed from the mask
    *("position_ids", "cache_position", "use_cache", "output_attentions", "output_router_logits"),
    *("sliding_window", "is_causal", "dropout"),
}


@dataclass(frozen=True)
class Operator:
    """How attention is weakened, and in which ``layers`` (start, stop; None: all)."""

    name: OperatorName = "knockout"
    factor: float | None = None
    layers: tuple[int, int] | None = None


def operator_of(settings: Settings) -> Operator:
    """The operator that the settings name."""
    return Operator(settings.operator, settings.factor, settings.layer_range)


@dataclass(frozen=True)
class _Weakened:
    """``columns``: boolean (rows of the batch, positions); ``readers``: boolean (positions,), the rows that obey."""

    operator: Operator
    columns: Tensor
    readers: Tensor | None

    def cells(self, queries: slice, keys: slice) -> Tensor:
        """(rows, 1, queries, keys): where the attention is weakened. Positions are absolute."""
        outside = ~self.columns[:, queries]
        if self.readers is not None:
            outside = outside & self.readers[queries]
        return self.columns[:, None, None, keys] & outside[:, None, :, None]


_weakened: ContextVar[_Weakened | None] = ContextVar("weakened", default=None)


@contextmanager
def suppression(network: Any, operator: Operator = Operator()) -> Iterator[Suppress]:
    """While it lasts, masks obey the contexts it yields: ``suppress(columns, readers=None)``, columns boolean (rows,
    positions) from the first token on. Restores the library's own functions, whatever happens. Raises UsageError where
    the operator cannot be applied to this model."""
    with ExitStack() as stack:
        for name, original in _ORIGINAL.items():
            AttentionMaskInterface.register(name, _obeying(original))
            stack.callback(AttentionMaskInterface.register, name, original)
        if operator.name == "shifted":
            stack.enter_context(_shifted_attention(network))
        stack.enter_context(in_blocks(network))
        band = Band(network, operator.layers) if operator.layers else None
        if band is not None:
            stack.enter_context(band.exchanging())

        @contextmanager
        def suppress(columns: Tensor, readers: Tensor | None = None) -> Iterator[None]:
            token = _weakened.set(_Weakened(operator, columns, readers))
            try:
                with nullcontext() if band is None else band.one_pass():
                    yield
            finally:
                _weakened.reset(token)

        yield suppress


def _obeying(original: MaskFunction) -> MaskFunction:
    def mask(
        batch_size: int, q_length: int, kv_length: int, q_offset: int = 0, kv_offset: int = 0, **others: Any
    ) -> Tensor | None:
        weakened = _weakened.get()
        if weakened is not None:
            others["allow_is_causal_skip"] = False  # a skipped mask would be None: nothing to weaken
        visible = original(batch_size, q_length, kv_length, q_offset, kv_offset, **others)
        if visible is None or weakened is None:
            return visible
        queries, keys = slice(q_offset, q_offset + q_length), slice(kv_offset, kv_offset + kv_length)
        cells = weakened.cells(queries, keys)
        changed = _apply(weakened.operator, visible, cells, others.get("dtype", torch.float32))
        remember(changed, visible)
        return changed

    return mask


def _apply(operator: Operator, visible: Tensor, cells: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask with the operator applied: boolean for knockout in sdpa, additive otherwise."""
    if operator.name == "knockout":
        if visible.dtype == torch.bool:
            return visible & ~cells
        return visible.masked_fill(cells, torch.finfo(visible.dtype).min)
    visible = _additive(visible, dtype)
    seen = cells & (visible == 0)
    return visible.masked_fill(seen, _SUPPRESSED if operator.name == "shifted" else log(operator.factor or 1.0))


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where a row sees a column, the least number where it does not."""
    if visible.dtype != torch.bool:
        return visible
    zeros = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return zeros.masked_fill(~visible, torch.finfo(dtype).min)


# -- shifted: needs the scores themselves -----------------------------------------------------------------------------


@contextmanager
def _shifted_attention(network: Any) -> Iterator[None]:
    """Attention by a function of ours, whose mask function is the library's eager one."""
    before = network.config.get_text_config()._attn_implementation
    AttentionInterface.register(_SHIFTED, _attend_shifted)
    AttentionMaskInterface.register(_SHIFTED, _obeying(eager_mask))
    try:
        network.set_attn_implementation(_SHIFTED)
    except (ValueError, KeyError, AttributeError):
        raise UsageError(_no_shift(network)) from None
    if network.config.get_text_config()._attn_implementation != _SHIFTED:
        raise UsageError(_no_shift(network))
    try:
        yield
    finally:
        network.set_attn_implementation(before)


def _no_shift(network: Any) -> str:
    return (
        f"operator shifted cannot be applied to {type(network).__name__}, whose attention does not go through the "
        "library's interface; use knockout"
    )


def _attend_shifted(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """(rows, heads, queries, width) attention; raises UsageError on any keyword it would otherwise ignore."""
    unknown = sorted(name for name, given in others.items() if given is not None and name not in _HARMLESS)
    if unknown:
        raise UsageError(f"operator shifted cannot be applied to this model ({unknown[0]}); use knockout")
    weakened = _weakened.get()
    groups = query.shape[1] // key.shape[1]
    scores = query @ repeat_kv(key, groups).transpose(-1, -2)
    scores = scores.float() * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    hidden = attention_mask < _SUPPRESSED - 1
    operator = None if weakened is None else weakened.operator
    if operator is not None and operator.factor is not None:
        least = scores.masked_fill(hidden, float("inf")).amin(-1, keepdim=True)
        scores = torch.where(attention_mask == _SUPPRESSED, (scores - least) * operator.factor + least, scores)
    weights = scores.masked_fill(hidden, float("-inf")).softmax(-1).to(query.dtype)
    return (weights @ repeat_kv(value, groups)).transpose(1, 2).contiguous(), None
