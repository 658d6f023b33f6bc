"""An operator in a band of layers only: a model builds its mask once for all layers, so the layers outside the band get
the untouched one back as each of them is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attn_audit.evidence.errors import UsageError


@dataclass(frozen=True)
class _Pass:
    """One forward pass: its masks, changed and untouched, and the layers that got the untouched one."""

    masks: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    exchanged: set[int] = field(default_factory=set)

    def own(self, value: Any) -> Tensor | None:
        """The untouched mask in the place of ``value``, where that is a changed one; some get to the layers in another
        number type (MPT) or on another device (weights over several GPUs)."""
        for changed, untouched in self.masks:
            if value is changed:
                return untouched
        if not isinstance(value, Tensor):
            return None
        for changed, untouched in self.masks:
            if value.shape == changed.shape and torch.equal(value, changed.to(value)):
                return untouched.to(value)
        return None


_pass: ContextVar[_Pass | None] = ContextVar("pass", default=None)


def remember(changed: Tensor, untouched: Tensor) -> None:
    """Told by the mask function. Nothing happens where no band is set."""
    current = _pass.get()
    if current is not None:
        current.masks.append((changed, untouched))


class Band:
    """The layers of ``network`` outside ``layers`` (start, stop). Raises UsageError where there is no such band."""

    def __init__(self, network: Any, layers: tuple[int, int]) -> None:
        attending = {
            index: module
            for module in network.modules()
            if "Attention" in type(module).__name__ and (index := _layer_of(module)) is not None
        }
        count = network.config.get_text_config().num_hidden_layers
        if sorted(attending) != list(range(count)):
            raise UsageError(f"layer bands cannot be applied to {type(network).__name__}; leave --layers out")
        if not 0 <= layers[0] < layers[1] <= count:
            raise UsageError(f"layers {layers[0]}:{layers[1]} are not among the model's {count} layers, 0:{count}")
        self._outside = {index: module for index, module in attending.items() if not layers[0] <= index < layers[1]}

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """While it lasts, the layers outside exchange their masks in every ``one_pass``."""
        with ExitStack() as stack:
            for module in self._outside.values():
                stack.callback(module.register_forward_pre_hook(_exchange, with_kwargs=True).remove)
            yield

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Around one forward pass, in its thread. Raises UsageError where a layer outside kept the changed mask."""
        current = _Pass()
        token = _pass.set(current)
        try:
            yield
        finally:
            _pass.reset(token)
        if current.exchanged != set(self._outside):
            raise UsageError("layer bands cannot be applied to this model: a layer did not take its mask by itself")


def _exchange(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
    """A forward pre-hook: every argument that is a changed mask becomes the untouched one."""
    current, layer = _pass.get(), _layer_of(module)
    if current is None or layer is None:
        return None

    def own(value: Any) -> Any:
        found = current.own(value)
        if found is None:
            return value
        current.exchanged.add(layer)
        return found

    return tuple(map(own, args)), {name: own(value) for name, value in kwargs.items()}


def _layer_of(module: Any) -> int | None:
    """Which layer an attention module is told it stands in; GPT-Neo's call it ``layer_id``."""
    index = getattr(module, "layer_idx", getattr(module, "layer_id", None))
    return index if isinstance(index, int) else None
