"""A loaded network to the device and the number format that are asked for; over all GPUs where one does not hold it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from accelerate import dispatch_model
from accelerate.utils import get_balanced_memory, infer_auto_device_map

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.settings import NumberFormat

_FOR_WEIGHTS = 0.8  # of a GPU's free memory; the rest is for the passes


def find_device(name: str) -> torch.device:
    """``auto``: the first GPU where there is one. Raises UsageError where it is not here."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise UsageError(f"device {name} is not here: this installation of torch finds {gpus} GPUs; use --device cpu")
    return device


def place(network: Any, device: torch.device, dtype: NumberFormat) -> None:
    """Moves a network that is on the CPU. Raises UsageError where the GPUs together do not hold its weights."""
    _shorten(network, getattr(torch, dtype))
    if str(device) == "cuda" and torch.cuda.device_count() > 1:  # no GPU was named
        weights = sum(parameter.numel() * parameter.itemsize for parameter in network.parameters())
        if weights > _FOR_WEIGHTS * torch.cuda.mem_get_info(0)[0]:
            spread(network, _layers_on_gpus(network, weights))
            return
    network.to(device)


def _shorten(network: Any, dtype: torch.dtype) -> None:
    """Weights and buffers in another format, but for those buffers that the library, loading the model in that format,
    keeps in float32: the frequencies of rotary positions, of which rounding would make other positions."""
    if dtype == network.dtype:
        return
    with torch.device("meta"):
        like = type(network)._from_config(copy.deepcopy(network.config), dtype=dtype)
    kept = {name for name, buffer in like.named_buffers() if buffer.dtype == torch.float32}
    exact = {name: buffer.clone() for name, buffer in network.named_buffers() if name in kept}
    network.to(dtype)
    for name, buffer in network.named_buffers():
        if name in exact:
            buffer.data = exact[name]


def spread(network: Any, places: dict[str, Any], offload: str | None = None) -> None:
    """Each part of the network where ``places`` puts it; hooks of the library move what the parts hand to each other,
    and the logits back. ``offload``: the folder of what stays on the disk."""
    dispatch_model(network, device_map=places, offload_dir=offload)


def _layers_on_gpus(network: Any, weights: int) -> dict[str, Any]:
    undivided = getattr(network, "_no_split_modules", None)
    free = get_balanced_memory(network, dtype=network.dtype, no_split_module_classes=undivided)
    places: dict[str, Any] = infer_auto_device_map(
        network, max_memory=free, dtype=network.dtype, no_split_module_classes=undivided
    )
    if not all(isinstance(place, int) for place in places.values()):
        raise UsageError(
            f"the model's weights take {weights / 1e9:.0f} GB in {network.dtype}, more than all GPUs together hold; "
            "use a shorter --dtype or --device cpu"
        )
    return places
