"""How much the rows that predict the answer attend to each piece: what is often shown as an explanation, and measured
here to be compared with one (Jain and Wallace 2019, "Attention is not Explanation")."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from attn_audit.judge.probe import TOLERANCE
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.cache import prefix
from attn_audit.measure.gradient import by_piece
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Runs

_ROUGHLY = 0.25  # nats: what another attention may change in a short number format


def attention_weights(model: Model, base: Base, pieces: Sequence[Runs]) -> tuple[float, ...] | None:
    """(pieces,): attention weights summed over the piece's tokens and the rows that predict the answer, and averaged
    over heads and layers. None where the model does not give them out, or answers otherwise while it does (Falcon)."""
    network, n = model.network, len(base.prompt)
    before = network.config.get_text_config()._attn_implementation
    try:
        network.set_attn_implementation("eager")  # the only one that has them
        with as_memory_error(), torch.inference_mode():
            found = network(
                input_ids=base.inputs[:, n - 1 :], past_key_values=prefix(base.cache, n - 1), output_attentions=True
            )
            again = log_probabilities(found.logits, base.answer)[0]
    except (ValueError, KeyError, AttributeError, TypeError, MemoryError):
        return None
    finally:
        network.set_attn_implementation(before)
    tolerance = TOLERANCE if network.dtype == torch.float32 else _ROUGHLY
    if not (again - base.log_probabilities).abs().max() <= tolerance:
        return None
    layers = [weights[0, :, :, :n].float().sum(1).mean(0).cpu() for weights in found.attentions or ()]
    if not layers or any(len(weights) != n for weights in layers):
        return None
    return by_piece(torch.stack(layers).mean(0), pieces)
