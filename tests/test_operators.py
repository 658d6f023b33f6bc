"""Operators other than knockout, the direct effect and layer bands, each against its formula written slowly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.llama import modeling_llama

import reference
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.measure.answer import score
from attn_audit.measure.attention import Operator
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.operator_probe import prove
from attn_audit.measure.sweep import sweep

BOUND = 1e-4  # nats per answer token, float32
PROMPT = tuple(range(5, 29))
ANSWER = (40, 41, 42)
LENGTH = len(PROMPT) + len(ANSWER)
RUNS = (*(((start, start + 3),) for start in range(0, 24, 3)), ((2, 4), (9, 11)))
ALL_OR_NOTHING = ("mpt", "falcon_alibi")  # their code reads the mask as yes or no
OPERATORS = (Operator("soft", 0.1), Operator("knockout", None, (1, 2)), Operator("shifted", 0.1))
LOWEST = torch.finfo(torch.float32).min
Effect = Any


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(locate(str(tiny.folder(tmp_path_factory.mktemp("models") / "llama"))), seed=0)


def cells(unit: tuple[tuple[int, int], ...], first_reader: int) -> Iterator[tuple[int, int]]:
    """Every (row, column) that the operator weakens."""
    inside = {position for start, stop in unit for position in range(start, stop)}
    for row in range(first_reader, LENGTH):
        for column in range(row + 1):
            if column in inside and row not in inside:
                yield row, column


def mask(unit: tuple[tuple[int, int], ...], value: float, first_reader: int = 0) -> torch.Tensor:
    table = reference.mask(LENGTH, ())
    for row, column in cells(unit, first_reader):
        table[0, 0, row, column] = value
    return table


def scored(network: Any, attention_mask: torch.Tensor) -> torch.Tensor:
    ids = torch.tensor([[*PROMPT, *ANSWER]])
    with torch.inference_mode(), reference.eager(network):
        logits = network(input_ids=ids, attention_mask=attention_mask, use_cache=False).logits[0].double()
    rows = torch.log_softmax(logits, -1)
    return torch.stack([rows[len(PROMPT) - 1 + t, token] for t, token in enumerate(ANSWER)])


def check(model: Model, operator: Operator, effect: Effect, expected: Callable[[Any], torch.Tensor]) -> None:
    found = sweep(model, score(model, PROMPT, ANSWER), RUNS, 4, lambda *_: None, operator, effect).scores
    for unit, row in zip(RUNS, found, strict=True):
        worst = (torch.tensor(row, dtype=torch.float64) - expected(unit)).abs().max()
        assert worst <= BOUND, (unit, worst)


@pytest.mark.parametrize("factor", [0.1, 0.5, 3.0])
@pytest.mark.parametrize("effect", ["total", "direct"])
def test_soft_adds_the_logarithm_of_its_factor(llama: Model, factor: float, effect: str) -> None:
    first = len(PROMPT) - 1 if effect == "direct" else 0
    check(
        llama,
        Operator("soft", factor),
        effect,
        lambda unit: scored(llama.network, mask(unit, math.log(factor), first)),
    )


def test_direct_knockout_hides_the_unit_from_the_rows_that_predict(llama: Model) -> None:
    first = len(PROMPT) - 1
    check(llama, Operator(), "direct", lambda unit: scored(llama.network, mask(unit, LOWEST, first)))


@pytest.mark.parametrize("layers", [(0, 1), (1, 2), (1, 3), (0, 3)])
@pytest.mark.parametrize("name", ["knockout", "soft"])
def test_layer_bands(llama: Model, layers: tuple[int, int], name: str) -> None:
    value = LOWEST if name == "knockout" else math.log(0.2)
    operator = Operator("knockout", None, layers) if name == "knockout" else Operator("soft", 0.2, layers)

    def expected(unit: tuple[tuple[int, int], ...]) -> torch.Tensor:
        with masks_by_layer(llama.network, layers, mask(unit, value)):
            return scored(llama.network, mask((), 0.0))

    check(llama, operator, "total", expected)


@contextmanager
def masks_by_layer(network: Any, layers: tuple[int, int], within: torch.Tensor) -> Iterator[None]:
    """The layers of the band get the weakened mask by hand."""

    def give(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return args, {**kwargs, "attention_mask": within}

    handles = [
        network.model.layers[index].register_forward_pre_hook(give, with_kwargs=True) for index in range(*layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("factor", [0.0, 0.3])
def test_shifted_is_the_formula_over_visible_keys(llama: Model, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """(s - m) for the row, times the factor for the unit's columns; m is the minimum over what the row can see."""

    def expected(unit: tuple[tuple[int, int], ...]) -> torch.Tensor:
        weakened = set(cells(unit, 0))

        def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float, **_: Any) -> Any:
            heads, keys_per = query.shape[1], query.shape[1] // key.shape[1]
            out = torch.zeros_like(query)
            for head in range(heads):
                scores = query[0, head] @ key[0, head // keys_per].T * scaling
                for row in range(scores.shape[0]):
                    visible = scores[row, : row + 1]
                    shifted = visible - visible.min()
                    for column in range(row + 1):
                        if (row, column) in weakened:
                            shifted[column] = shifted[column] * factor
                    out[0, head, row] = shifted.softmax(-1) @ value[0, head // keys_per, : row + 1]
            return out.transpose(1, 2).contiguous(), None

        with monkeypatch.context() as patch:
            patch.setattr(modeling_llama, "eager_attention_forward", attend)
            return scored(llama.network, mask((), 0.0))

    check(llama, Operator("shifted", factor), "total", expected)


def test_shifted_ignores_what_a_row_cannot_see(llama: Model) -> None:
    """The minimum over future keys would leak what a token cannot see: another answer must not change the first row."""
    one = score(llama, PROMPT, (40, 41))
    two = score(llama, PROMPT, (40, 300))
    found = [sweep(llama, base, RUNS[:3], 3, lambda *_: None, Operator("shifted", 0.2)).scores for base in (one, two)]
    assert [row[0] for row in found[0]] == pytest.approx([row[0] for row in found[1]], abs=1e-5)


@pytest.mark.parametrize("family", sorted(tiny.FAMILIES))
@pytest.mark.parametrize(
    "operator", [Operator("soft", 0.1), Operator("knockout", None, (1, 2)), Operator("shifted", 0.1)]
)
def test_an_operator_is_proved_on_the_model_or_refused(family: str, operator: Operator, tmp_path: Path) -> None:
    network = tiny.network(family)
    network.set_attn_implementation("eager")
    before = network.config._attn_implementation
    try:
        prove(network, operator, seed=0)
    except UsageError as refusal:
        assert "cannot be applied" in str(refusal) or "among the model's" in str(refusal)  # noqa: PT017
        assert operator.name != "soft" or family in ALL_OR_NOTHING
    else:
        assert operator.name != "soft" or family not in ALL_OR_NOTHING
    assert network.config._attn_implementation == before


def test_layers_that_do_not_exist_are_refused(llama: Model) -> None:
    with pytest.raises(UsageError, match="0:3"):
        prove(llama.network, Operator("knockout", None, (1, 9)), seed=0)
