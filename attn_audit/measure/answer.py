"""A prompt to the model's answer (greedy) and the log-probability of each token of the answer that is explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import DynamicCache

from attn_audit.evidence.errors import CaseError
from attn_audit.measure.model import Model


@dataclass(frozen=True)
class Base:
    """The untouched run: ``log_probabilities`` (answer tokens,) nats, and its keys and values for reuse."""

    prompt: Tensor  # (n,) token ids
    answer: Tensor  # (m,) token ids
    log_probabilities: Tensor  # (m,) nats, float32
    cache: DynamicCache

    @property
    def inputs(self) -> Tensor:
        """(1, n + m - 1): the last answer token is predicted, never read."""
        return torch.cat((self.prompt, self.answer[:-1]))[None]


def check_length(model: Model, prompt_tokens: int, answer_tokens: int) -> None:
    """Nothing is ever cut silently. Raises CaseError where prompt and answer do not fit the model's context."""
    context = model.identity.context_length
    if context is not None and prompt_tokens + answer_tokens > context:
        raise CaseError(
            f"the prompt has {prompt_tokens} tokens and the answer may have {answer_tokens}, but the model's context "
            f"holds {context}; shorten the prompt"
        )


def generate(
    model: Model, prompt: tuple[int, ...], limit: int
) -> tuple[tuple[int, ...], Literal["end of turn", "length limit"]]:
    """The greedy answer of at most ``limit`` tokens, without the token that ended it, and why it ended.

    Plain argmax, written out: the library's ``generate`` merges in the model's own generation settings (penalties,
    sampling), and what is explained must be what was produced. Raises CaseError where the output is not a number.
    """
    cache = DynamicCache()
    ids = torch.tensor([prompt], device=model.device)
    answer: list[int] = []
    with torch.inference_mode():
        while len(answer) < limit:
            logits = model.network(input_ids=ids, past_key_values=cache, logits_to_keep=1).logits[0, -1]
            if not torch.isfinite(logits).all():
                raise CaseError("the model's output is not a number; its weights may be damaged")
            token = int(logits.argmax())
            if token in model.stop_ids:
                break
            answer.append(token)
            ids = torch.tensor([[token]], device=model.device)
        else:
            return tuple(answer), "length limit"
    return tuple(answer), "end of turn"


def score(model: Model, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Base:
    """One pass over prompt and answer ids, concatenated. Raises CaseError where a probability is not a number."""
    x, y = torch.tensor(prompt, device=model.device), torch.tensor(answer, device=model.device)
    cache = DynamicCache()
    with torch.inference_mode():
        rows = torch.arange(len(x) - 1, len(x) + len(y) - 1, device=model.device)
        inputs = torch.cat((x, y[:-1]))[None]
        logits = model.network(input_ids=inputs, past_key_values=cache, logits_to_keep=rows).logits
        found = log_probabilities(logits, y)[0]
    if not torch.isfinite(found).all():
        raise CaseError("the probability of the answer is not a number; the model's weights may be damaged")
    return Base(x, y, found, cache)


def log_probabilities(logits: Tensor, answer: Tensor) -> Tensor:
    """(rows, m, vocabulary) logits at the rows that predict the answer -> (rows, m) log p(y_t | ...), nats.

    Row by row: what is summed over the vocabulary would otherwise stand in the memory once more for all of them.
    """
    rows = (row.float() for row in logits)
    return torch.stack([row.gather(-1, answer[:, None])[:, 0] - row.logsumexp(-1) for row in rows])
