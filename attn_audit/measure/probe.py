"""Proof, on the very model, that suppressing a column cuts every path from it; otherwise the model is refused.

Five measurements on random tokens longer than any attention window (docs/method.md). First without reuse: causality,
effect, leak; recurrent and linear-attention layers carry a token past its suppressed column and leak. Then with the
keys and values of the beginning: empty suppression, prefix reuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isnan
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Probe
from attn_audit.judge.probe import LEAST_EFFECT, TOLERANCE
from attn_audit.measure.attention import Suppress, suppression
from attn_audit.measure.cache import prefix

_TOKENS = 24  # beyond the longest window
_EARLY = 8  # this column leaves every window before the last row
_LATE = 10  # from the end: the beginning that is reused up to here is longer than any window
_WINDOWS = (
    "sliding_window",
    "sliding_window_size",
    "sliding_windows",
    "attention_chunk_size",
    "attention_window",
    "attention_window_size",
    "local_attention",
    "window_size",
)
_LARGEST_CONTEXT = 2**31  # tokens; larger numbers stand for "no limit"
_CONTEXTS = ("max_position_embeddings", "max_seq_len", "n_positions", "context_length", "seq_length")
# What a model raises whose layers or cache are not those of attention; they share no base below Exception.
_FOREIGN = (TypeError, ValueError, AttributeError, IndexError, KeyError, RuntimeError, NotImplementedError)
Run = Callable[..., Tensor]


def probe(network: Any, seed: int) -> Probe:
    """Probe a loaded model in evaluation mode. Raises UsageError with the reason of the refusal."""
    name = type(network).__name__
    config = network.config.get_text_config()
    if getattr(config, "_attn_implementation", None) not in ("sdpa", "eager"):
        raise UsageError(f"model {name} uses an attention that cannot be suppressed; it is refused")
    length = _length(config)
    if length < _EARLY + _LATE:
        raise UsageError(f"model {name} is refused: a context of {length} tokens is too short for the probe")
    ids = random_ids(network, length, seed)
    with torch.inference_mode(), suppression(network) as suppress:
        with _refused_for(f"model {name} cannot be measured: its layers do not take the probe"):
            untouched, causal, effect, leak = _paths(network, ids, suppress)
        _judge_paths(name, causal, effect, leak)
        with _refused_for(f"model {name} is refused: keys and values of the beginning cannot be reused"):
            empty, reuse = _reuse(network, ids, suppress, untouched)
        _judge_reuse(name, empty, reuse)
    return Probe(
        tokens=length,
        causal=causal,
        empty_suppression=empty,
        effect=effect,
        leak=leak,
        prefix_reuse=reuse,
        tolerance=TOLERANCE,
    )


def probe_moved(network: Any, seed: int) -> None:
    """After a move to another device or number format: rows before a column, and those that do not see it, must still
    not change with it. Rounding is the same on both sides, so the bounds are those of float32. Raises UsageError."""
    name = type(network).__name__
    ids = random_ids(network, _length(network.config.get_text_config()), seed).to(network.device)
    with torch.inference_mode(), suppression(network) as suppress:
        with _refused_for(f"model {name} cannot be measured on {network.device} in {network.dtype}"):
            _, *figures = _paths(network, ids, suppress)
        _judge_paths(name, *figures)


def random_ids(network: Any, length: int, seed: int) -> Tensor:
    """(1, length) token ids, on the CPU: the text on which a model is tried."""
    vocabulary = network.config.get_text_config().vocab_size
    return torch.randint(vocabulary, (1, length), generator=torch.Generator().manual_seed(seed))


def context_length(config: Any) -> int | None:
    """The most tokens that a text configuration allows, or None where it states no limit."""
    stated = (getattr(config, name, None) for name in _CONTEXTS)
    return next((value for value in stated if isinstance(value, int) and 0 < value <= _LARGEST_CONTEXT), None)


def longest_window(config: Any) -> int:
    """The longest window or block of any layer in tokens, 0 without one. Layers may have settings of their own."""
    layers = config.per_layer_config if getattr(config, "is_heterogeneous", False) else [config]
    return max((window for layer in layers for window in _windows(layer)), default=0)


def _windows(config: Any) -> Iterator[int]:
    types = getattr(config, "layer_types", None)
    if types and set(types) == {"full_attention"}:
        return  # a window may be stated and not used
    for name in _WINDOWS:
        value = getattr(config, name, None)
        for window in value if isinstance(value, list | tuple) else [value]:
            if isinstance(window, int):
                yield window


def _length(config: Any) -> int:
    length = longest_window(config) + _TOKENS
    return min(length, context_length(config) or length)


@contextmanager
def _refused_for(reason: str) -> Iterator[None]:
    """The exceptions of foreign layers and caches, as the refusal that they are."""
    try:
        yield
    except _FOREIGN as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{reason}: {said.rstrip('.')}") from None


def _paths(network: Any, ids: Tensor, suppress: Suppress) -> tuple[Tensor, float, float, float]:
    """The untouched logits, and three largest differences: causality, effect, leak. Nothing is reused."""
    rows = _rows(ids.shape[1])
    before, after = rows < _EARLY, rows > _EARLY
    knocked = _column(ids, _EARLY)
    other = ids.clone()
    other[0, _EARLY] = (ids[0, _EARLY] + 1) % network.config.get_text_config().vocab_size
    untouched = _logits(network, ids, rows, use_cache=False)
    with suppress(knocked):
        cut = _logits(network, ids, rows, use_cache=False)
        cut_other = _logits(network, other, rows, use_cache=False)
    # A row that saw a later column differs when the attention to it is cut, or, by another path, when its token is.
    seen = torch.maximum((untouched - cut).abs(), (cut - cut_other).abs())[:, before]
    return (
        untouched,
        _largest(seen),
        _largest(untouched[:, after] - cut[:, after]),
        _largest(cut[:, after] - cut_other[:, after]),
    )


def _reuse(network: Any, ids: Tensor, suppress: Suppress, untouched: Tensor) -> tuple[float, float]:
    """Two largest differences: of an empty suppression that keeps keys and values, and of what follows, from them."""
    length = ids.shape[1]
    rows = _rows(length)
    start = length - _LATE + 1
    knocked = _column(ids, start - 1)
    cache = DynamicCache()
    with suppress(torch.zeros_like(knocked)):
        empty = _logits(network, ids, rows, past_key_values=cache)
    with suppress(knocked):
        cut = _logits(network, ids, rows, use_cache=False)[:, rows >= start]
        following = torch.arange(length - start)
        reused = _logits(network, ids[:, start:], following, past_key_values=prefix(cache, start))
    return _largest(untouched - empty), _largest(cut - reused)


def _judge_paths(name: str, causal: float, effect: float, leak: float) -> None:
    if effect == float("inf"):
        raise UsageError(f"model {name} is refused: its output is not a number; its weights may be damaged")
    reasons = {
        f"its layers let a token see later ones (logits differ by {causal:.2g}), so it is not causal": causal
        > TOLERANCE,
        "suppressing the attention to a token changes nothing: its layers are recurrent or do not attend": effect
        < LEAST_EFFECT,
        "a token still reaches later ones when the attention to it is suppressed, as in recurrent, convolution or "
        f"linear-attention layers (logits differ by {leak:.2g})": leak > TOLERANCE,
    }
    _refuse(name, reasons)


def _judge_reuse(name: str, empty: float, reuse: float) -> None:
    reasons = {
        f"an empty suppression already changes its output (logits differ by {empty:.2g})": empty > TOLERANCE,
        f"keys and values of the beginning cannot be reused (logits differ by {reuse:.2g})": reuse > TOLERANCE,
    }
    _refuse(name, reasons)


def _refuse(name: str, reasons: dict[str, bool]) -> None:
    for reason, holds in reasons.items():
        if holds:
            raise UsageError(f"model {name} is refused: {reason}; its map would be meaningless")


def _rows(length: int) -> Tensor:
    """Rows whose logits are compared: the first and the last, since all of them may not fit the memory."""
    return torch.cat((torch.arange(min(_TOKENS, length)), torch.arange(max(_TOKENS, length - _TOKENS), length)))


def _column(ids: Tensor, position: int) -> Tensor:
    columns = torch.zeros(1, ids.shape[1], dtype=torch.bool, device=ids.device)
    columns[0, position] = True
    return columns


def _logits(network: Any, ids: Tensor, rows: Tensor, **options: Any) -> Tensor:
    """(1, rows, vocabulary) logits at ``rows`` of these ids. A model without that option gives them all."""
    found: Tensor = network(input_ids=ids, logits_to_keep=rows.to(ids.device), **options).logits.float()
    return found if found.shape[1] == len(rows) else found[:, rows]


def _largest(differences: Tensor) -> float:
    """Largest absolute value; infinite where a value is not a number, 0 where there is none."""
    worst = differences.abs().max().item() if differences.numel() else 0.0
    return float("inf") if isnan(worst) else float(worst)
