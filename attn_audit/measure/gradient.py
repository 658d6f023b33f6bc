"""How the answer's log-probability leans on each piece, to first order, in one pass forward and one back.

The derivative of the sum of log p(y_t | ...) with respect to a number added, in every layer and head, to the attention
scores of the piece's columns for the rows outside it: what suppression sends to minus infinity, at 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.attention import sensitivity, suppression
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Runs, rounded

_BYTES = 4  # float32
_KEPT_SCORES = 4  # tables (heads, tokens, tokens) of each layer that wait for the way back
_KEPT_ACTIVATIONS = 24  # and activations, in multiples of (tokens, width)


def gradient(model: Model, base: Base, pieces: Sequence[Runs], max_memory: float) -> tuple[float, ...] | None:
    """(pieces,) nats, rounded. None where the way back would need more than ``max_memory`` GB, and where the model
    takes no additive mask, so that no gradient reaches it."""
    if _bytes(model, base) > max_memory * 1e9:
        return None
    owner = torch.full((base.inputs.shape[1],), -1, device=model.device)
    for index, runs in enumerate(pieces):
        for start, stop in runs:
            owner[start:stop] = index
    n, m = len(base.prompt), len(base.answer)
    try:
        with as_memory_error(), suppression(model.network), sensitivity(owner, len(pieces)) as bias:
            logits = model.network(
                input_ids=base.inputs,
                use_cache=False,
                logits_to_keep=torch.arange(n - 1, n + m - 1, device=model.device),
            ).logits
            total = log_probabilities(logits, base.answer).sum()
            found = torch.autograd.grad(total, bias)[0] if total.requires_grad else None
    except MemoryError:
        return None
    if found is None or not torch.isfinite(found).all():
        return None
    return rounded(found)


def _bytes(model: Model, base: Base) -> int:
    config = model.network.config.get_text_config()
    tokens = base.inputs.shape[1]
    scores = _KEPT_SCORES * config.num_attention_heads * tokens * tokens
    activations = _KEPT_ACTIVATIONS * tokens * config.hidden_size
    return int(_BYTES * (model.identity.parameters + config.num_hidden_layers * (scores + activations)))
