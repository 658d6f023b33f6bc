"""The operators written a second time, slowly, straight from their formulas: full passes, one unit at a time, explicit
masks in eager attention. Nothing here uses the package's own suppression, cache or batching.

Knockout in all layers is a mask that the model is given as a whole (`log_probabilities`); everything else is done to
each layer by itself (`weakened`): a term added to the mask that the library made for it, or, for the shifted operator,
attention written out row by row.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

Runs = Sequence[tuple[int, int]]
Route = Literal["one mask", "a mask for each kind of layer", "added in each block"]
_BY_KIND = {"smollm3", "qwen2", "qwen3", "gemma2", "gemma3_text", "gemma4_text", "cohere2", "exaone4", "llama4_text",
            "gpt_oss"}  # fmt: skip
_LOWEST = torch.finfo(torch.float32).min
_SCORES_CHANGED = ("softcap", "s_aux", "position_bias")  # what the attention written out here knows nothing of


@dataclass(frozen=True)
class Weakening:
    """What happens to the unit's columns: in ``layers`` (start, stop; None: all), for rows from ``first_reader`` on."""

    name: Literal["knockout", "soft", "shifted"]
    factor: float = 0.0
    layers: tuple[int, int] | None = None
    first_reader: int = 0


def mask(length: int, unit: Runs, window: int | None = None, chunk: int | None = None) -> torch.Tensor:
    """(1, 1, length, length), additive: query r sees key c iff c <= r (and r - c < window, both in one chunk),
    and not (c in u, r not)."""
    inside = _positions(unit)

    def seen(row: int, column: int) -> bool:
        near = window is None or row - column < window
        together = chunk is None or row // chunk == column // chunk
        return column <= row and near and together and not (column in inside and row not in inside)

    rows = [[0.0 if seen(row, column) else _LOWEST for column in range(length)] for row in range(length)]
    return torch.tensor(rows)[None, None]


def _positions(unit: Runs) -> set[int]:
    return {position for start, stop in unit for position in range(start, stop)}


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
    # The library sets it for no Falcon, which reads it in each pass. With ALiBi it stays: there, the library's plain
    # attention adds the bias twice.
    switched_by_hand = network.config.model_type == "falcon" and not network.config.alibi
    if switched_by_hand:
        network.config._attn_implementation = "eager"
    try:
        yield
    finally:
        if switched_by_hand:
            network.config._attn_implementation = before
        network.set_attn_implementation(before)


def blocks(network: Any) -> list[Any]:
    """The layers of the language model in their order: the one list of as many modules as there are layers."""
    count = network.config.get_text_config().num_hidden_layers
    (found,) = [
        list(module)
        for module in network.modules()
        if isinstance(module, torch.nn.ModuleList)
        and len(module) == count
        and "attention_mask" in inspect.signature(type(module[0]).forward).parameters
    ]
    return found


@contextlib.contextmanager
def added_in_each_block(network: Any, table: torch.Tensor, layers: tuple[int, int] | None = None) -> Iterator[None]:
    """``table`` (1, 1, length, length) is added to the mask of every block, or of those in ``layers``."""

    def add(module: Any, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any]:
        call = inspect.signature(type(module).forward).bind(module, *args, **options)
        own = call.arguments["attention_mask"]
        # MPT's says yes or no, where yes means hidden.
        call.arguments["attention_mask"] = own | (table == _LOWEST) if own.dtype == torch.bool else own + table
        return call.args[1:], call.kwargs

    chosen = blocks(network)[slice(*layers)] if layers else blocks(network)
    hooks = [block.register_forward_pre_hook(add, with_kwargs=True) for block in chosen]
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


def cells(length: int, unit: Runs, first_reader: int = 0) -> torch.Tensor:
    """(length, length), boolean: whether the operator weakens column c for row r: c in u, r not, r >= c, r obeys."""
    inside = _positions(unit)
    return torch.tensor(
        [
            [
                first_reader <= row and row not in inside and column in inside and column <= row
                for column in range(length)
            ]
            for row in range(length)
        ]
    )


def weakened(
    network: Any, prompt: Sequence[int], answer: Sequence[int], unit: Runs, weakening: Weakening
) -> torch.Tensor:
    """(answer tokens,) log p(y_t | x, y_<t, unit weakened), nats. The unit may hold positions of the answer too."""
    ids = torch.tensor([[*prompt, *answer]])
    weak = cells(ids.shape[1], unit, weakening.first_reader)
    if weakening.name == "shifted":
        way = shifted_by_hand(network, weak, weakening.factor, weakening.layers)
    else:
        term = _LOWEST if weakening.name == "knockout" else math.log(weakening.factor)
        way = added_in_each_block(network, torch.where(weak, term, 0.0)[None, None], weakening.layers)
    with torch.inference_mode(), eager(network), way:
        logits = network(input_ids=ids, use_cache=False).logits[0]
    return _scored(logits, len(prompt), answer)


@contextlib.contextmanager
def shifted_by_hand(
    network: Any, weak: torch.Tensor, factor: float, layers: tuple[int, int] | None = None
) -> Iterator[None]:
    """The plain attention of the model's own file is exchanged for the formula: (s - m), for the columns of ``weak``
    times the factor, where m is the least score among those that the row can see. The layers come in their order."""
    home: Any = sys.modules[type(network).__module__]
    plain = home.eager_attention_forward
    calls = itertools.count()

    def attend(
        _module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **others: Any
    ) -> tuple[Any, None]:
        if any(others.get(name) is not None for name in _SCORES_CHANGED):
            raise NotImplementedError(str(others.keys()))
        layer = next(calls)
        within = layers is None or layers[0] <= layer < layers[1]
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        keys = key[0].repeat_interleave(query.shape[1] // key.shape[1], 0)  # (heads, length, width)
        values = value[0].repeat_interleave(query.shape[1] // key.shape[1], 0)
        out = torch.zeros(1, query.shape[2], query.shape[1], value.shape[-1])
        products = query[0] @ keys.transpose(-1, -2) * scale
        for row in range(query.shape[2]):
            seen = (attention_mask[0, 0, row] == 0).nonzero()[:, 0]
            scores = products[:, row, seen]
            scores = scores - scores.amin(-1, keepdim=True)
            if within:
                scores = torch.where(weak[row, seen], scores * factor, scores)
            out[0, row] = (scores.softmax(-1)[:, None] @ values[:, seen])[:, 0]
        return out, None

    home.eager_attention_forward = attend
    try:
        yield
    finally:
        home.eager_attention_forward = plain
    if next(calls) != len(blocks(network)):
        raise RuntimeError(f"{type(network).__name__} did not attend once in each layer through {home.__name__}")


def untouched(network: Any, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """(answer tokens,) log p(y_t | x, y_<t) by the library alone: no mask of ours, no cache."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.inference_mode(), eager(network):
        logits = network(input_ids=ids, use_cache=False).logits[0]
    return _scored(logits, len(prompt), answer)


def _scored(logits: torch.Tensor, prompt_length: int, answer: Sequence[int]) -> torch.Tensor:
    rows = (logits[prompt_length - 1 + t].double() for t in range(len(answer)))
    return torch.stack([torch.log_softmax(row, dim=-1)[token] for row, token in zip(rows, answer, strict=True)])


def deleted(network: Any, prompt: Sequence[int], answer: Sequence[int], gone: Runs) -> float:
    """log p(y | x without the positions in ``gone``), nats: one full pass over what is left."""
    inside = _positions(gone)
    left = [token for position, token in enumerate(prompt) if position not in inside]
    with torch.inference_mode(), eager(network):
        logits = network(input_ids=torch.tensor([[*left, *answer]]), use_cache=False).logits[0]
    return float(_scored(logits, len(left), answer).sum())
