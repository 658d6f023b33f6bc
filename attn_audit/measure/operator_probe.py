"""Proof, on the very model, that an operator other than knockout does what its formula says; otherwise it is refused.

A factor of 1 must leave the model untouched, a vanishing soft factor must equal knockout, factors in between must all
differ from both (some models turn an additive mask into a yes or no), and a band of all layers must equal no band.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from attn_audit.evidence.errors import UsageError
from attn_audit.judge.probe import LEAST_EFFECT, TOLERANCE
from attn_audit.measure.attention import Operator, suppression
from attn_audit.measure.probe import random_ids

_TOKENS = 24
_VANISHING = 1e-30


def prove(network: Any, operator: Operator, seed: int) -> None:
    """Raises UsageError where the operator, or its layers, cannot be applied to this model."""
    config = network.config.get_text_config()
    ids = random_ids(network, _TOKENS, seed)
    whole = (0, config.num_hidden_layers)
    knockout = Operator()
    pairs: dict[str, tuple[Operator | None, Operator | None]] = {}
    if operator.name != "knockout":
        pairs["a factor of 1 changes the output"] = (None, replace(operator, factor=1.0))
    if operator.name == "soft":
        vanishing = replace(operator, factor=_VANISHING, layers=None)
        pairs["a vanishing factor is not knockout"] = (knockout, vanishing)
    if operator.layers is not None:
        pairs["a band of all layers is not the whole model"] = (
            replace(operator, layers=None),
            replace(operator, layers=whole),
        )
        _logits(network, ids, operator)
    if operator.name == "soft":
        _prove_graded(network, ids)
    with torch.inference_mode():
        for reason, (one, other) in pairs.items():
            difference = (_logits(network, ids, one) - _logits(network, ids, other)).abs().max().item()
            if not difference <= TOLERANCE:
                raise UsageError(
                    f"operator {operator.name} cannot be applied to {type(network).__name__}: {reason}; use knockout"
                )


def _prove_graded(network: Any, ids: Tensor) -> None:
    operators = (None, Operator("soft", 0.5), Operator("soft", 0.1), Operator())
    found = [_logits(network, ids, operator) for operator in operators]
    for one, other in combinations(found, 2):
        if (one - other).abs().max().item() < LEAST_EFFECT:
            raise UsageError(
                f"operator soft cannot be applied to {type(network).__name__}, which turns it into all or nothing; use "
                "knockout"
            )


def _logits(network: Any, ids: Tensor, operator: Operator | None) -> Tensor:
    """With a column in the middle weakened, or untouched where there is no operator."""
    # As in a sweep: told which rows are kept by a number only, Gemma 4 cuts its masks to size for its upper layers.
    options = {"input_ids": ids, "logits_to_keep": torch.arange(ids.shape[1], device=ids.device)}
    if operator is None:
        return network(**options).logits  # type: ignore[no-any-return]
    columns = torch.zeros(1, ids.shape[1], dtype=torch.bool, device=ids.device)
    columns[0, _TOKENS // 3] = True
    with torch.inference_mode(), suppression(network, operator) as suppress, suppress(columns):
        return network(**options).logits  # type: ignore[no-any-return]
