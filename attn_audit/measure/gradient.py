"""How strongly the answer hangs on each piece, to first order, in one pass forward and one back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Runs, rounded, weight_bytes

_Chosen = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]  # of embeddings and hidden states, those looked at
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
    found = _of_all(model, bases, max_memory, _between)
    return None if found is None else by_piece(found[1].norm(dim=-1).sum(0), pieces)


def gradient_times_input(
    model: Model, bases: Sequence[Base], pieces: Sequence[Runs], max_memory: float
) -> tuple[float, ...] | None:
    """(pieces,): the same gradient with respect to the embeddings, times the embeddings, summed over width and the
    piece's tokens (Denil et al. 2014); nats, rounded. None as for ``gradient``."""
    found = _of_all(model, bases, max_memory, _embedded)
    return None if found is None else by_piece((found[0] * found[1]).sum(dim=(0, -1)), pieces)


def by_piece(values: Tensor, pieces: Sequence[Runs]) -> tuple[float, ...] | None:
    """Sums of (prompt,) over the tokens of each piece; None where they are no numbers."""
    sums = torch.stack([torch.cat([values[start:stop] for start, stop in runs]).sum() for runs in pieces])
    return rounded(sums) if torch.isfinite(sums).all() else None


def _between(embedded: Tensor, hidden: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The hidden states behind each layer but the last; of a single layer, what it is given."""
    return hidden[1:-1] or hidden[:1]


def _embedded(embedded: Tensor, hidden: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What the embedding gives, before any position is added to it."""
    return (embedded,)


def _of_all(model: Model, bases: Sequence[Base], max_memory: float, chosen: _Chosen) -> tuple[Tensor, Tensor] | None:
    """The ``chosen`` states, and the gradient for them, less that of the contrast: (states, prompt, width) each."""
    if not all(fits(model, base, max_memory) for base in bases):
        return None
    try:
        (states, slopes), *others = (_way_back(model, base, chosen) for base in bases)
    except MemoryError:
        return None
    for _, other in others:  # the prompt's hidden states do not know the answer: they are those of both
        slopes -= other
    return states, slopes


def _way_back(model: Model, base: Base, chosen: _Chosen) -> tuple[Tensor, Tensor]:
    n, m = len(base.prompt), len(base.answer)
    embedded: list[Tensor] = []

    def requiring_gradient(module: Any, args: Any, found: Tensor) -> Tensor:
        embedded.append(found.requires_grad_())
        return found

    hook = model.network.get_input_embeddings().register_forward_hook(requiring_gradient)
    try:
        with as_memory_error(), torch.enable_grad():
            found = model.network(
                input_ids=base.inputs,
                use_cache=False,
                output_hidden_states=True,
                logits_to_keep=torch.arange(n - 1, n + m - 1, device=model.device),
            )
            total = log_probabilities(found.logits, base.answer).sum()
            states = chosen(embedded[0], found.hidden_states)
            slopes = torch.autograd.grad(total, states)
    finally:
        hook.remove()
    return _of_prompt(states, n), _of_prompt(slopes, n)


def _of_prompt(states: Sequence[Tensor], n: int) -> Tensor:
    return torch.stack([state[0, :n].detach().float() for state in states])
