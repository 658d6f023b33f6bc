"""Other number formats and devices, and weights that are packed: the same map within their rounding, or a refusal."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

import families
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.settings import resolve
from attn_audit.measure import packing
from attn_audit.measure.attention import Operator
from attn_audit.measure.gradient import gradient
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.packing import pack, pack_all
from attn_audit.measure.placing import spread
from attn_audit.measure.sweep import Room, Swept, sweep

ROUNDING = 0.5  # nats per answer token: bfloat16 keeps 8 bits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.folder(tmp_path_factory.mktemp("models") / "llama")


def swept(model: Model) -> Swept:
    return sweep(model, families.base(model), families.UNITS, Room(3), lambda *_: None)


def difference(one: Swept, other: Swept) -> float:
    return (torch.tensor(one.scores) - torch.tensor(other.scores)).abs().max().item()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_short_numbers_give_the_same_map_within_their_rounding(folder: Path, dtype: Any) -> None:
    plain, short = load(locate(str(folder)), 0), load(locate(str(folder)), 0, dtype)
    assert (plain.identity.dtype, short.identity.dtype) == ("float32", dtype)
    one, other = swept(plain), swept(short)
    assert 1e-5 < difference(one, other) < ROUNDING
    assert one.cost.noise < 1e-4
    assert other.cost.noise < ROUNDING


@pytest.mark.parametrize("family", ["llama", "gemma3", "deepseek_v3", "falcon", "gpt2"])
def test_short_numbers_are_those_of_the_library(tmp_path: Path, family: str) -> None:
    """Also where it keeps float32: rounded rotary frequencies would be other positions."""
    path = tiny.folder(tmp_path / family, family)
    ours = load(locate(str(path)), 0, "bfloat16").network
    attention = ours.config.get_text_config()._attn_implementation
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.bfloat16, attn_implementation=attention
    ).eval()
    ids = torch.tensor([list(range(3, 203))])
    with torch.inference_mode():
        assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids).logits)


def test_noise_is_what_an_untouched_row_differs_by(folder: Path) -> None:
    """Where keys and values are wrong, the untouched row says so."""
    model = load(locate(str(folder)), 0)
    base = families.base(model)
    for layer in base.cache.layers:
        layer.keys = layer.keys + 0.1  # type: ignore[union-attr]
    assert sweep(model, base, families.UNITS, Room(3), lambda *_: None).cost.noise > 1e-2


def test_a_gpu_that_is_not_here_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="cuda:99 is not here"):
        load(locate(str(folder)), 0, device="cuda:99")


@pytest.mark.parametrize(("name", "value"), [("dtype", "int8"), ("device", "tpu")])
def test_unknown_formats_and_devices_are_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"setting {name}"):
        resolve({name: value}, {}, {})


def test_weights_in_several_places_give_the_same_map(folder: Path, tmp_path: Path) -> None:
    """As over several GPUs, for which the CPU and the disk stand in: the library's hooks move what the parts need."""
    plain, parted = (load(locate(str(folder)), 0) for _ in range(2))
    on_disk = {"model.layers.1": "disk", "model.norm": "disk"}
    rest = ("model.embed_tokens", "model.rotary_emb", "model.layers.0", "model.layers.2", "lm_head")
    spread(parted.network, dict.fromkeys(rest, "cpu") | on_disk, str(tmp_path / "weights"))
    assert parted.network.model.layers[1].mlp.up_proj.weight.device.type == "meta"
    for operator in (Operator(), Operator("soft", 0.2), Operator(layers=(1, 2)), Operator("shifted", 0.3)):
        one, other = (
            sweep(model, families.base(model), families.UNITS, Room(3), lambda *_: None, operator)
            for model in (plain, parted)
        )
        assert difference(one, other) < 1e-5


# -- packing ----------------------------------------------------------------------------------------------------------


def test_packed_weights_give_the_same_map_and_gradient(folder: Path) -> None:
    model = load(locate(str(folder)), 0)
    base, pieces = families.base(model), families.UNITS[:3]
    before, leaning = swept(model), gradient(model, [base], pieces, 8.0)
    assert pack_all(model.network)
    layer = model.network.model.layers[0].mlp.up_proj
    assert layer.weight.untyped_storage().nbytes() == layer.weight.itemsize  # they exist once, packed
    assert difference(before, swept(model)) < 1e-4
    assert gradient(model, [base], pieces, 8.0) == pytest.approx(leaning, abs=1e-4)


def test_tied_weights_are_read_as_they_are(tmp_path: Path) -> None:
    """The output layer of a model that reads the same weights as its embedding."""
    model = families.loaded(tmp_path, "gemma3")
    head = model.network.lm_head
    assert head.weight is model.network.get_input_embeddings().weight
    base, pieces = families.base(model), families.UNITS[:3]
    before, leaning, weight = swept(model), gradient(model, [base], pieces, 8.0), head.weight.clone()
    assert pack_all(model.network)
    assert "forward" in vars(head)
    assert torch.equal(head.weight, weight)
    assert difference(before, swept(model)) < 1e-4
    assert gradient(model, [base], pieces, 8.0) == pytest.approx(leaning, abs=1e-4)


def test_a_small_model_stays_the_same_to_the_last_bit(folder: Path) -> None:
    model = load(locate(str(folder)), 0)
    assert not pack(model.network)
    assert not model.packed


@pytest.mark.parametrize(("machine", "done"), [("x86_64", True), ("AMD64", True), ("aarch64", False)])
def test_what_is_packed_depends_on_the_kind_of_processor(
    folder: Path, monkeypatch: pytest.MonkeyPatch, machine: str, done: bool
) -> None:
    """Not on how fast it happens to be: a batch that is resumed must go on with the same last digits."""
    monkeypatch.setattr(packing, "_SMALL", 0)
    monkeypatch.setattr(packing.platform, "machine", lambda: machine)
    assert load(locate(str(folder)), 0).packed is done


class Reads(torch.nn.Module):
    """A network that reads the weights of its layer itself, too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, 16)
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=50))

    def forward(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        x = torch.nn.functional.one_hot(input_ids % 16, 16).float()
        return SimpleNamespace(logits=self.layer(x) + self.layer.weight.sum())


def test_packing_is_undone_where_the_network_answers_otherwise() -> None:
    network = Reads()
    ids = torch.arange(8)[None]
    before = network(ids).logits
    assert not pack_all(network)
    assert torch.equal(network(ids).logits, before)
    assert "forward" not in vars(network.layer)


@pytest.mark.model
def test_the_real_model_packed(smollm2: Model) -> None:
    """Large enough for shapes as in use; on a copy of one layer, since the model is shared between tests."""
    layer = smollm2.network.model.layers[0].mlp.down_proj
    block = torch.nn.Sequential(torch.nn.Linear(layer.in_features, layer.out_features, bias=False))
    # The layer times the unit matrix: its weights, also where they are packed already.
    block[0].weight.data = layer(torch.eye(layer.in_features)).T.contiguous()
    x = torch.randn(200, layer.in_features, generator=torch.Generator().manual_seed(0))
    expected = x @ block[0].weight.T
    with_config = torch.nn.Module()
    with_config.block = block
    with_config.config = smollm2.network.config  # type: ignore[assignment]
    with_config.forward = lambda input_ids, **_: SimpleNamespace(logits=block(x))  # type: ignore[assignment]
    assert pack_all(with_config)
    assert torch.allclose(block(x), expected, atol=1e-3)
