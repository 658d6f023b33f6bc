"""Weights in the order in which the processor's own matrix product reads them, where that is measured to be faster.

On some processors oneDNN's product over packed weights takes half the time of torch's default for float32, on others a
tenth less, on others nothing is gained. torch offers it to its compiler only, as two operators of ``torch.ops.mkldnn``;
this file is all that knows of them. Without them, and for small models, everything stays as it is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear

from attn_audit.judge.probe import TOLERANCE
from attn_audit.measure.probe import random_ids

_WORTH_IT = 1.05  # times faster, at least
_ROWS = 512  # of the trial products; a pass over six suppressed pieces has about as many
_TRIALS = 9
_TOKENS = 64  # random ones, on which the packed network must agree with the plain one
_SMALL = 20_000_000  # weights: a model below this is as fast either way, and stays the same to the last bit


def pack(network: Any) -> bool:
    """Pack the weights of all linear layers but tied ones, if that is faster here; whether it was done."""
    layers = _packable(network)
    if sum(layer.weight.numel() for layer in layers) < _SMALL or not _is_faster(layers):
        return False
    return pack_all(network)


def pack_all(network: Any) -> bool:
    """Pack without a trial; undone, and False, where the network then answers otherwise (a layer whose weights are
    read by more than its own product)."""
    layers = _packable(network)
    before = _logits(network)
    for layer in layers:
        layer.forward = _packed(layer)  # type: ignore[method-assign, assignment]
    if not (_logits(network) - before).abs().max().item() <= TOLERANCE:
        for layer in layers:
            del layer.forward
        return False
    for layer in layers:  # the weights exist once, packed; what asks for their shape or type is still answered
        layer.weight.data = layer.weight.new_zeros(()).expand(layer.weight.shape)
    return True


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b over packed weights."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    """The same on the way back, too: torch knows no derivative of the packed operator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0] @ ctx.weight.to_dense(), None, None


def _packed(layer: Linear) -> Callable[[Tensor], Tensor]:
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
    bias = layer.bias

    def forward(x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return _Product.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
        return _product(x, weight, bias)

    return forward


def _packable(network: Any) -> list[Linear]:
    """Linear layers in float32 on the processor whose weights nothing else shares; none where torch lacks the
    operators."""
    operators = getattr(torch.ops, "mkldnn", None)
    if not all(hasattr(operators, name) for name in ("_reorder_linear_weight", "_linear_pointwise")):
        return []
    shared = Counter(id(weight) for module in network.modules() for weight in module.parameters(recurse=False))
    return [
        module
        for module in network.modules()
        if type(module) is Linear
        and module.weight.dtype == torch.float32
        and module.weight.device.type == "cpu"
        and shared[id(module.weight)] == 1
    ]


def _is_faster(layers: list[Linear]) -> bool:
    """By a trial on each shape, weighted by how often it stands in the model. On one thread, as most passes of a sweep
    run: there the ratio of two kernels hardly varies from load to load."""
    counts = Counter(layer.weight.shape for layer in layers)
    samples = {layer.weight.shape: layer for layer in layers}
    plain, packed = 0.0, 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        for shape, layer in samples.items():
            x, other = torch.ones(_ROWS, shape[1]), _packed(layer)
            trials = [(_seconds(layer, x), _seconds(other, x)) for _ in range(_TRIALS)]
            one, two = (min(times) for times in zip(*trials, strict=True))
            plain += counts[shape] * one
            packed += counts[shape] * two
    torch.set_num_threads(threads)
    return plain >= _WORTH_IT * packed


def _seconds(product: Callable[[Tensor], Tensor], x: Tensor) -> float:
    began = time.perf_counter()
    product(x)
    return time.perf_counter() - began


def _logits(network: Any) -> Tensor:
    with torch.inference_mode():
        return network(input_ids=random_ids(network, _TOKENS, 0), use_cache=False).logits.float()  # type: ignore[no-any-return]
