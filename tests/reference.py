"""The knockout written a second time, slowly, straight from the formula: full passes, one unit at a time, an explicit
additive mask in eager attention. Nothing here uses the package's own suppression, cache or batching."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch

Runs = Sequence[tuple[int, int]]
Route = Literal["one mask", "a mask for each kind of layer", "added in each block"]
_BY_KIND = {"smollm3", "qwen2", "qwen3", "gemma2", "gemma3_text", "gemma4_text", "cohere2", "exaone4", "llama4_text",
            "gpt_oss"}  # fmt: skip


def mask(length: int, unit: Runs, window: int | None = None, chunk: int | None = None) -> torch.Tensor:
    """(1, 1, length, length), additive: query r sees key c iff c <= r (and r - c < window, both in one chunk),
    and not (c in u, r not)."""
    inside = {position for start, stop in unit for position in range(start, stop)}
    lowest = torch.finfo(torch.float32).min
    table = torch.full((length, length), lowest)
    for row in range(length):
        for column in range(row + 1):
            near = window is None or row - column < window
            together = chunk is None or row // chunk == column // chunk
            if near and together and not (column in inside and row not in inside):
                table[row, column] = 0.0
    return table[None, None]


def route(network: Any) -> Route:
    """How this family is given an explicit mask.

    BLOOM, and Falcon with ALiBi, read positions off the mask that the model is given, hence accept no explicit one: the
    formula's mask is added to the one that each block receives. All others take it as it is: one, or one for each
    kind of layer (OPT would read positions off it too, hence is told them).
    """
    config = network.config.get_text_config()
    if config.model_type == "bloom" or getattr(config, "alibi", False):
        return "added in each block"
    return "a mask for each kind of layer" if config.model_type in _BY_KIND else "one mask"


def masks(config: Any, length: int, unit: Runs) -> dict[str, torch.Tensor]:
    """The mask of each kind of layer, from the formula."""
    window = getattr(config, "sliding_window", None)
    chunk = getattr(config, "attention_chunk_size", None)
    kinds = {"full_attention": mask(length, unit)}
    if window is not None:
        kinds["sliding_attention"] = mask(length, unit, window=window)
    if chunk is not None:
        kinds["chunked_attention"] = mask(length, unit, chunk=chunk)
    return kinds


@contextlib.contextmanager
def eager(network: Any) -> Iterator[None]:
    """The same network with the library's plain attention for the time being."""
    before = network.config._attn_implementation
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(before)


@contextlib.contextmanager
def added_in_each_block(network: Any, table: torch.Tensor) -> Iterator[None]:
    """``table`` (1, 1, length, length) is added to the mask of every block of BLOOM or Falcon."""

    def add(_module: Any, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any]:
        return args, {**options, "attention_mask": options["attention_mask"] + table}

    hooks = [block.register_forward_pre_hook(add, with_kwargs=True) for block in network.transformer.h]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def log_probabilities(network: Any, prompt: Sequence[int], answer: Sequence[int], unit: Runs) -> torch.Tensor:
    """(answer tokens,) log p(y_t | x, y_<t, unit suppressed), nats."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode(), eager(network):
        logits = _masked(network, ids, masks(network.config.get_text_config(), ids.shape[1], unit))[0]
    return _scored(logits, len(prompt), answer)


def _masked(network: Any, ids: torch.Tensor, kinds: dict[str, torch.Tensor]) -> torch.Tensor:
    """(1, length, vocabulary) logits of one full pass."""
    way = route(network)
    if way == "added in each block":
        with added_in_each_block(network, kinds["full_attention"]):
            return network(input_ids=ids, use_cache=False).logits
    if way == "one mask":  # a model with a window and no kinds of layers has it in all of them
        given: Any = kinds.get("sliding_attention", kinds["full_attention"])
    else:
        given = kinds
    positions = {"position_ids": torch.arange(ids.shape[1])[None]} if network.config.model_type == "opt" else {}
    return network(input_ids=ids, attention_mask=given, use_cache=False, **positions).logits


def untouched(network: Any, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """(answer tokens,) log p(y_t | x, y_<t) by the library alone: no mask of ours, no cache."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode(), eager(network):
        logits = network(input_ids=ids, use_cache=False).logits[0]
    return _scored(logits, len(prompt), answer)


def _scored(logits: torch.Tensor, prompt_length: int, answer: Sequence[int]) -> torch.Tensor:
    rows = (logits[prompt_length - 1 + t].double() for t in range(len(answer)))
    return torch.stack([torch.log_softmax(row, dim=-1)[token] for row, token in zip(rows, answer, strict=True)])
