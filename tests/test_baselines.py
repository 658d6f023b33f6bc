"""Other kinds of maps against their formulas, written once more with nothing of the package's passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import families
import reference
from attn_audit.measure.attention_weights import attention_weights
from attn_audit.measure.gradient import gradient_times_input
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Runs

PIECES: tuple[Runs, ...] = (((0, 1),), ((3, 5),), ((7, 8), (11, 14)), ((20, 28),))
FAMILIES = ("llama", "mistral", "gemma2", "gemma3", "gpt2", "opt", "gpt_oss", "bloom", "mpt", "falcon", "deepseek_v3")
MEMORY = 8.0  # GB


def by_piece(values: torch.Tensor) -> list[float]:
    return [float(sum(values[start:stop].sum() for start, stop in runs)) for runs in PIECES]


def by_hand(model: Model) -> list[float]:
    """d log p(answer) / d embedding, times the embedding."""
    network = model.network
    embedded = network.get_input_embeddings()(torch.tensor([[*families.PROMPT, *families.ANSWER]])).detach()
    embedded.requires_grad_()
    logits = network(inputs_embeds=embedded, use_cache=False).logits[0].log_softmax(-1)
    first = len(families.PROMPT)
    total = sum(logits[first - 1 + t, token] for t, token in enumerate(families.ANSWER))
    total.backward()  # type: ignore[union-attr]
    assert embedded.grad is not None
    return by_piece((embedded.grad * embedded).detach()[0].sum(-1))


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_times_input_is_its_formula(family: str, tmp_path: Path) -> None:
    model = families.loaded(tmp_path, family)
    found = gradient_times_input(model, (families.base(model),), PIECES, MEMORY)
    assert found == pytest.approx(by_hand(model), abs=1e-4)


def test_gradient_times_input_of_an_answer_rather_than_itself_is_nothing(tmp_path: Path) -> None:
    model = families.loaded(tmp_path, "llama")
    base = families.base(model)
    assert gradient_times_input(model, (base, base), PIECES, MEMORY) == (0.0,) * len(PIECES)
    assert gradient_times_input(model, (base,), PIECES, 1e-9) is None, "the way back does not fit"


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_what_the_rows_of_the_answer_look_at(family: str, tmp_path: Path) -> None:
    model = families.loaded(tmp_path, family)
    before = model.network.config.get_text_config()._attn_implementation
    found = attention_weights(model, families.base(model), PIECES)
    assert model.network.config.get_text_config()._attn_implementation == before
    if family == "falcon":  # the library goes on with the other attention, over a mask that is not made for it
        assert found is None
        return
    ids = torch.tensor([[*families.PROMPT, *families.ANSWER]])
    n, m = len(families.PROMPT), len(families.ANSWER)
    with reference.eager(model.network), torch.inference_mode():
        layers = model.network(input_ids=ids, use_cache=False, output_attentions=True).attentions
    rows = torch.stack([weights[0, :, n - 1 : n + m - 1, :n].sum(1).mean(0) for weights in layers]).mean(0)
    assert found == pytest.approx(by_piece(rows), abs=1e-5)
    assert 0 < sum(found or ()) < m


def test_a_model_that_keeps_its_attention_to_itself_has_no_such_map(tmp_path: Path) -> None:
    model = families.loaded(tmp_path, "llama")

    def refuse(_: str) -> None:
        raise ValueError("no eager attention")

    model.network.set_attn_implementation = refuse
    try:
        with pytest.raises(ValueError, match="no eager"):  # from putting the former attention back
            attention_weights(model, families.base(model), PIECES)
    finally:
        del model.network.set_attn_implementation
