"""Proof, on the very model, that suppressing a column cuts every path from it; otherwise the model is refused.

Five measurements on random tokens longer than any attention window (docs/method.md): causality, empty suppression,
effect, leak, prefix reuse. Recurrent and linear-attention layers carry a token past its suppressed column and leak.
"""

from __future__ import annotations

from math import isnan
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import Probe
from attn_audit.measure.attention import suppressing, suppression
from attn_audit.measure.cache import prefix

TOLERANCE = 1e-3  # logits, float32; sound models stay below 1e-5, others fail by whole logits
_LEAST_EFFECT = 1e-6
_TOKENS = 24
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size", "local_attention_window")


def probe(network: Any, seed: int) -> Probe:
    """Probe a loaded model in evaluation mode. Raises UsageError with the reason of the refusal."""
    name = type(network).__name__
    config = network.config.get_text_config()
    if getattr(config, "_attn_implementation", None) not in ("sdpa", "eager"):
        raise UsageError(f"model {name} uses an attention that cannot be suppressed; it is refused")
    length = _length(config)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(config.vocab_size, (1, length), generator=generator)
    try:
        with torch.inference_mode(), suppression():
            found = _measure(network, ids)
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"model {name} cannot be measured: its attention does not take the probe ({reason})") from None
    _judge(found, name)
    return found


def _length(config: Any) -> int:
    """Longer than any window or block, so that masks that crop are seen cropping."""
    windows = [getattr(config, name, None) for name in _WINDOWS]
    longest = max((window for window in windows if isinstance(window, int)), default=0)
    context = getattr(config, "max_position_embeddings", None) or _TOKENS
    return int(min(longest + _TOKENS, context))


def _measure(network: Any, ids: Tensor) -> Probe:
    length = ids.shape[1]
    column = length // 3
    start = column + 1
    cache = DynamicCache()
    untouched = _logits(network, ids, past_key_values=cache)
    other = ids.clone()
    other[0, column] = (ids[0, column] + 1) % network.config.get_text_config().vocab_size
    nothing = torch.zeros(1, length, dtype=torch.bool)
    knocked = nothing.clone()
    knocked[0, column] = True
    with suppressing(nothing):
        empty = _logits(network, ids)
    with suppressing(knocked):
        cut = _logits(network, ids)
        cut_other = _logits(network, other)
        reused = _logits(network, ids[:, start:], past_key_values=prefix(cache, start, 1))
    changed = _logits(network, other)
    return Probe(
        tokens=length,
        causal=_difference(untouched[:, :column], changed[:, :column]),
        empty_suppression=_difference(untouched, empty),
        effect=_difference(untouched[:, start:], cut[:, start:]),
        leak=_difference(cut[:, start:], cut_other[:, start:]),
        prefix_reuse=_difference(cut[:, start:], reused),
        tolerance=TOLERANCE,
    )


def _judge(found: Probe, name: str) -> None:
    reasons = {
        "its layers let a token see later ones (not causal)": found.causal > found.tolerance,
        "an empty suppression already changes its output": found.empty_suppression > found.tolerance,
        "suppressing the attention to a token changes nothing: its layers are recurrent or do not attend": found.effect
        < _LEAST_EFFECT,
        "a token still reaches later ones when the attention to it is suppressed, as in recurrent or linear-attention "
        "layers": found.leak > found.tolerance,
        "keys and values of the beginning cannot be reused": found.prefix_reuse > found.tolerance,
    }
    for reason, holds in reasons.items():
        if holds:
            raise UsageError(f"model {name} is refused: {reason}; its map would be meaningless")


def _logits(network: Any, ids: Tensor, **options: Any) -> Tensor:
    return network(input_ids=ids, **options).logits.float()  # type: ignore[no-any-return]


def _difference(one: Tensor, other: Tensor) -> float:
    """Largest absolute difference; infinite where a value is not a number."""
    worst = (one - other).abs().max().item()
    return float("inf") if isnan(worst) else float(worst)
