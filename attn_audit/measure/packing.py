"""Weights in the order in which the processor's own matrix product reads them.

On some x86-64 processors oneDNN's product over packed weights takes half the time of torch's default for float32, on
others nine tenths, on others nothing is gained. torch offers it to its compiler only, as two operators of
``torch.ops.mkldnn``; this file is all that knows of them. Without them, and for small models, everything stays as it
is. What is packed depends on the model and the kind of processor alone, never on a trial: the last digits hang on it,
and two runs on one machine must agree.
"""

from __future__ import annotations

import platform
from collections import Counter
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear

from attn_audit.judge.probe import TOLERANCE
from attn_audit.measure.probe import random_ids

_TOKENS = 64  # random ones, on which the packed network must agree with the plain one
_SMALL = 20_000_000  # weights: a model below this is as fast either way, and stays the same to the last bit
_PROCESSORS = ("x86_64", "AMD64")  # elsewhere oneDNN may have no fast product of its own


def pack(network: Any) -> bool:
    """Pack the weights of all linear layers but tied ones, where that may be faster; whether it was done."""
    layers = _packable(network)
    large = sum(layer.weight.numel() for layer in layers) >= _SMALL
    return large and platform.machine() in _PROCESSORS and pack_all(network)


def pack_all(network: Any) -> bool:
    """Pack whatever the size; undone, and False, where the network then answers otherwise (a layer whose weights are
    read by more than its own product). The weights exist once at any time, but for one layer's."""
    before = _logits(network)
    packed = {layer: _pack(layer) for layer in _packable(network)}
    tied = [layer for layer in _linear(network) if layer not in packed] if packed else []
    for layer in tied:  # the same product over weights in torch's order, which another module reads, too
        layer.forward = partial(_forward, layer.weight.detach(), layer.bias)  # type: ignore[method-assign]
    if (_logits(network) - before).abs().max().item() <= TOLERANCE:
        return True
    for layer in (*tied, *packed):
        del layer.forward
    for layer, weight in packed.items():
        layer.weight.data = weight.to_dense()
    return False


def _pack(layer: Linear) -> Tensor:
    """The packed weight, which the layer uses from here on; what asks its own for shape or type is still answered."""
    weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
    layer.forward = partial(_forward, weight, layer.bias)  # type: ignore[method-assign]
    layer.weight.data = layer.weight.new_zeros(()).expand(layer.weight.shape)
    return weight


def _forward(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        return _Product.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    return _product(x, weight, bias)


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
        weight = ctx.weight.to_dense() if ctx.weight.is_mkldnn else ctx.weight
        return grads[0] @ weight, None, None


def _packable(network: Any) -> list[Linear]:
    """Linear layers in float32 on the processor whose weights nothing else shares; none where torch lacks the
    operators."""
    operators = getattr(torch.ops, "mkldnn", None)
    if not all(hasattr(operators, name) for name in ("_reorder_linear_weight", "_linear_pointwise")):
        return []
    shared = Counter(id(weight) for module in network.modules() for weight in module.parameters(recurse=False))
    return [layer for layer in _linear(network) if shared[id(layer.weight)] == 1]


def _linear(network: Any) -> list[Linear]:
    """In float32 on the processor."""
    return [
        module
        for module in network.modules()
        if type(module) is Linear and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu"
    ]


def _logits(network: Any) -> Tensor:
    with torch.inference_mode():
        return network(input_ids=random_ids(network, _TOKENS, 0), use_cache=False).logits.float()  # type: ignore[no-any-return]
