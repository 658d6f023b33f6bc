"""What the operators promise beside their formulas (which tests/test_families.py holds every family to): factors above
one, a minimum over what a row can see, and layers that must exist."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import families
import reference
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.measure.answer import score
from attn_audit.measure.attention import Operator
from attn_audit.measure.model import Model
from attn_audit.measure.operator_probe import prove
from attn_audit.measure.sweep import Reach, Room, sweep

RUNS = (((0, 3),), ((7, 10),), ((2, 4), (9, 11)))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with families.one_thread():
        yield


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return families.loaded(tmp_path_factory.mktemp("models"), "llama")


@pytest.mark.parametrize("reach", ["total", "direct"])
@pytest.mark.parametrize("name", ["soft", "shifted"])
def test_a_factor_above_one_strengthens_by_the_same_formula(llama: Model, name: str, reach: Reach) -> None:
    operator = Operator("soft" if name == "soft" else "shifted", 3.0)
    found = families.swept_with(llama, families.base(llama), operator, reach)
    assert (found - families.expected_with(llama, operator, reach)).abs().max() <= families.BOUND


def test_shifted_with_a_factor_of_nothing_gives_the_unit_the_least_score(llama: Model) -> None:
    operator = Operator("shifted", 0.0)
    found = families.swept_with(llama, families.base(llama), operator, "total")
    assert (found - families.expected_with(llama, operator, "total")).abs().max() <= families.BOUND


def test_shifted_ignores_what_a_row_cannot_see(llama: Model) -> None:
    """The minimum over future keys would leak what a token cannot see: how the answer goes on must not change how it
    begins (its last token is not read at all)."""
    one = score(llama, families.PROMPT, (40, 41, 42, 43, 44))
    two = score(llama, families.PROMPT, (40, 300, 301, 302, 44))
    found = [sweep(llama, base, RUNS, Room(3), lambda *_: None, Operator("shifted", 0.2)).scores for base in (one, two)]
    assert [row[0] for row in found[0]] == pytest.approx([row[0] for row in found[1]], abs=1e-5)


@pytest.mark.parametrize("family", ["gemma2", "gpt_oss"])
def test_the_reference_too_refuses_to_shift_what_it_knows_nothing_of(family: str) -> None:
    """Capped scores and sinks: a formula without them would be another model's."""
    network = tiny.network(family)
    with pytest.raises(NotImplementedError):
        reference.weakened(network, families.PROMPT, families.ANSWER, RUNS[0], reference.Weakening("shifted", 0.1))


@pytest.mark.parametrize(
    "operator", [Operator("soft", 0.1), Operator("knockout", None, (1, 2)), Operator("shifted", 0.1, (0, 1))]
)
def test_a_proof_leaves_the_model_as_it_was(operator: Operator) -> None:
    network = tiny.network("llama")
    network.set_attn_implementation("eager")
    ids = torch.tensor([families.PROMPT])
    with torch.inference_mode():
        before = network(input_ids=ids).logits
        prove(network, operator, seed=0)
        assert torch.equal(network(input_ids=ids).logits, before)
    assert network.config._attn_implementation == "eager"


@pytest.mark.parametrize("layers", [(1, 9), (2, 2), (3, 4)])
def test_layers_that_do_not_exist_are_refused(llama: Model, layers: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"layers {layers[0]}:{layers[1]} are not among the model's 3 layers, 0:3"):
        prove(llama.network, Operator("knockout", None, layers), seed=0)
