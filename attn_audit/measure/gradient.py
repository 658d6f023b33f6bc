"""How strongly the answer hangs on each piece, to first order, in one pass forward and one back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Runs, rounded, weight_bytes

_KEPT_SCORES = 4  # tables (heads, tokens, tokens) of each layer that wait for the way back
_KEPT_ACTIVATIONS = 24  # and activations, in multiples of (tokens, width)


def fits(model: Model, base: Base, max_memory: float) -> bool:
    """Whether the way back needs no more than ``max_memory`` GB, by estimate."""
    config = model.network.config.get_text_config()
    tokens = base.inputs.shape[1]
    scores = _KEPT_SCORES * config.num_attention_heads * tokens * tokens
    activations = _KEPT_ACTIVATIONS * tokens * config.hidden_size
    kept = model.network.dtype.itemsize * config.num_hidden_layers * (scores + activations)
    return bool(weight_bytes(model) + kept <= max_memory * 1e9)


def gradient(
    model: Model, bases: Sequence[Base], pieces: Sequence[Runs], max_memory: float
) -> tuple[float, ...] | None:
    """(pieces,): the length of the gradient of the sum of log p(y_t | ...), less that of the contrast, with respect to
    the hidden states behind each layer but the last, summed over layers and the piece's tokens; nats, rounded.

    A length does not cancel out where single heads do, as the derivative with respect to the attention to a piece can.
    ``bases``: of the answer, and of the contrast where there is one. None where the way back does not fit
    ``max_memory`` GB, or gives no numbers.
    """
    if not all(fits(model, base, max_memory) for base in bases):
        return None
    try:
        states, *others = (_gradient(model, base) for base in bases)
    except MemoryError:
        return None
    for other in others:  # the prompt's hidden states do not know the answer: they are those of both
        states -= other
    lengths = states.norm(dim=-1).sum(0)  # (prompt,)
    strength = torch.stack([torch.cat([lengths[start:stop] for start, stop in runs]).sum() for runs in pieces])
    return rounded(strength) if torch.isfinite(strength).all() else None


def _gradient(model: Model, base: Base) -> Tensor:
    """(layers - 1, prompt, width); of a single layer, that of what it is given."""
    n, m = len(base.prompt), len(base.answer)
    hook = model.network.get_input_embeddings().register_forward_hook(_requiring_gradient)
    try:
        with as_memory_error(), torch.enable_grad():
            found = model.network(
                input_ids=base.inputs,
                use_cache=False,
                output_hidden_states=True,
                logits_to_keep=torch.arange(n - 1, n + m - 1, device=model.device),
            )
            total = log_probabilities(found.logits, base.answer).sum()
            between = found.hidden_states[1:-1] or found.hidden_states[:1]
            states = torch.autograd.grad(total, between)
    finally:
        hook.remove()
    return torch.stack([state[0, :n].float() for state in states])


def _requiring_gradient(module: Any, args: Any, embedded: Tensor) -> Tensor:
    return embedded.requires_grad_()
