"""How the answer's log-probability leans on each piece, to first order, in one pass forward and one back.

Two looks at every piece: the derivative with respect to a number added, in every layer and head, to the attention
scores of its columns for the rows outside it (what suppression sends to minus infinity, at 0); and how strongly the
answer hangs on the hidden states at its positions, which does not vanish where single heads cancel out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.attention import sensitivity, suppression
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Runs, rounded, weight_bytes

_KEPT_SCORES = 4  # tables (heads, tokens, tokens) of each layer that wait for the way back
_KEPT_ACTIVATIONS = 24  # and activations, in multiples of (tokens, width)


@dataclass(frozen=True)
class Gradients:
    """Of the sum of log p(y_t | ...), less that of the contrast, nats, rounded; (pieces,) each.

    ``scores``: with respect to a bias on the pieces' columns; None for a model that takes no additive mask.
    ``states``: the norm of the gradient with respect to the hidden state, summed over layers and the piece's tokens.
    """

    scores: tuple[float, ...] | None
    states: tuple[float, ...]


def fits(model: Model, base: Base, max_memory: float) -> bool:
    """Whether the way back needs no more than ``max_memory`` GB, by estimate."""
    config = model.network.config.get_text_config()
    tokens = base.inputs.shape[1]
    scores = _KEPT_SCORES * config.num_attention_heads * tokens * tokens
    activations = _KEPT_ACTIVATIONS * tokens * config.hidden_size
    kept = model.network.dtype.itemsize * config.num_hidden_layers * (scores + activations)
    return bool(weight_bytes(model) + kept <= max_memory * 1e9)


def gradients(model: Model, bases: Sequence[Base], pieces: Sequence[Runs], max_memory: float) -> Gradients | None:
    """``bases``: of the answer, and of the contrast where there is one. None where the way back does not fit
    ``max_memory`` GB, or gives no numbers."""
    if not all(fits(model, base, max_memory) for base in bases):
        return None
    prompt = len(bases[0].prompt)  # its hidden states do not know the answer: they are those of both
    owner = torch.full((prompt,), -1, device=model.device)
    for index, runs in enumerate(pieces):
        for start, stop in runs:
            owner[start:stop] = index
    try:
        (scores, states), *others = (_gradients(model, base, owner, len(pieces)) for base in bases)
    except MemoryError:
        return None
    for other_scores, other_states in others:
        scores = None if scores is None or other_scores is None else scores - other_scores
        states -= other_states
    norms = states.norm(dim=-1).sum(0)  # (prompt,)
    strength = torch.zeros(len(pieces), device=model.device).index_add_(0, owner[owner >= 0], norms[owner >= 0])
    if not all(torch.isfinite(found).all() for found in (scores, strength) if found is not None):
        return None
    return Gradients(None if scores is None else rounded(scores), rounded(strength))


def _gradients(model: Model, base: Base, owner: Tensor, pieces: int) -> tuple[Tensor | None, Tensor]:
    """(pieces,) of the bias, and (layers - 1, prompt, width) of the hidden states between the layers."""
    n, m = len(base.prompt), len(base.answer)
    positions = torch.cat((owner, owner.new_full((m - 1,), -1)))
    embedding = model.network.get_input_embeddings()
    hook = embedding.register_forward_hook(_requiring_gradient)  # also where no mask leads back to the bias
    try:
        with as_memory_error(), suppression(model.network), sensitivity(positions, pieces) as bias:
            found = model.network(
                input_ids=base.inputs,
                use_cache=False,
                output_hidden_states=True,
                logits_to_keep=torch.arange(n - 1, n + m - 1, device=model.device),
            )
            total = log_probabilities(found.logits, base.answer).sum()
            between = found.hidden_states[1:-1] or found.hidden_states[:1]
            scores, *states = _derivatives(total, (bias, *between))
    finally:
        hook.remove()
    return scores, torch.stack([state[0, :n].float() for state in states if state is not None])


def _derivatives(of: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """None where ``of`` does not depend on it."""
    return torch.autograd.grad(of, wanted, allow_unused=True)


def _requiring_gradient(module: Any, args: Any, embedded: Tensor) -> Tensor:
    return embedded.requires_grad_()
