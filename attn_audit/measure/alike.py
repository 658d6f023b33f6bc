"""Units that say alike, by the model's own embeddings: the conceptual suppression of Deiseroth et al. 2023, section
3.2, with groups that share no unit."""

from __future__ import annotations

from collections import defaultdict

import torch

from attn_audit.evidence.measured import Unit
from attn_audit.measure.model import Model

_BLOCK = 1024  # rows of the table of cosines that exist at a time
_ROUNDING = 1e-6  # of a cosine of equal vectors


def alike(model: Model, prompt: tuple[int, ...], units: tuple[Unit, ...], kappa: float) -> tuple[tuple[int, ...], ...]:
    """Groups (indices, ascending) of at least two units that a chain of cosines of at least ``kappa`` connects. The
    embedding of a unit is the mean of the input embeddings of its tokens."""
    with torch.inference_mode():
        embedded = model.network.get_input_embeddings()(
            torch.tensor(prompt, device=model.device)
        ).float()  # (positions, width)
        means = torch.stack([torch.cat([embedded[start:stop] for start, stop in unit.runs]).mean(0) for unit in units])
        means = torch.nn.functional.normalize(means, dim=-1)
        parent = list(range(len(units)))
        for first in range(0, len(units), _BLOCK):
            near = means[first : first + _BLOCK] @ means.T >= kappa - _ROUNDING
            for row, column in near.nonzero().tolist():
                _unite(parent, first + row, column)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(units)):
        groups[_root(parent, index)].append(index)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _unite(parent: list[int], one: int, other: int) -> None:
    low, high = sorted((_root(parent, one), _root(parent, other)))
    parent[high] = low
