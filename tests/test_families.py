"""Every family of causal models is held to the slow reference, and those that cannot be are refused with the reason.

The reference takes one of three ways into a model (reference.route), none of which is the package's own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import safetensors.torch
import torch
import transformers

import families
import reference
import tiny
from attn_audit.cli.main import main
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import OperatorName
from attn_audit.measure import attention, query_blocks
from attn_audit.measure.answer import Base
from attn_audit.measure.attention import Operator
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.operator_probe import prove
from attn_audit.measure.probe import longest_window, probe
from attn_audit.measure.sweep import Reach

LEAK = "a token still reaches later ones when the attention to it is suppressed"
NOTHING = "suppressing the attention to a token changes nothing: its layers are recurrent or do not attend"
REASONS = {
    "mamba": NOTHING,
    "mamba2": NOTHING,
    "rwkv": NOTHING,
    "jamba": LEAK,
    "falcon_h1": LEAK,
    "qwen3_next": LEAK,
    "lfm2": LEAK,
    "recurrent_gemma": LEAK,
    "t5": "is an encoder-decoder",
    "deepseek_v32": "keys and values of the beginning cannot be reused",
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with families.one_thread():
        yield


@pytest.fixture(scope="module", params=tiny.FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Loading it is a test already: the probe accepts it."""
    return families.loaded(tmp_path_factory.mktemp("family"), name)


@pytest.fixture(scope="module")
def scored(model: Model) -> Base:
    """The untouched run, for all sweeps of a family."""
    return families.base(model)


def test_probe_is_far_from_its_tolerance_and_longer_than_any_window(name: str, model: Model) -> None:
    found = model.probe
    assert max(found.causal, found.empty_suppression, found.leak, found.prefix_reuse) < found.tolerance / 10
    assert found.effect > 0.1
    windowed = any(word in repr(tiny.FAMILIES[name].values) for word in ("sliding_window", "window_size", "chunk_size"))
    assert longest_window(model.network.config.get_text_config()) == (tiny.WINDOW if windowed else 0)
    assert found.tokens == longest_window(model.network.config.get_text_config()) + 24


def test_sweep_equals_the_reference(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the queries of a pass are cut into blocks, as those of long prompts are."""
    formula = families.expected(model)
    for room, block in zip(families.ROOMS, (query_blocks._BLOCK, 7), strict=True):
        monkeypatch.setattr(query_blocks, "_BLOCK", block)
        difference = (families.swept(model, room) - formula).abs()
        assert difference.max() <= families.BOUND, families.UNITS[int(difference.amax(1).argmax())]


def test_the_last_layer_leaves_out_rows_in_all_families_but_one(name: str, model: Model) -> None:
    """OPT's has no part of its own between attention and output."""
    assert (model.last is None) == (name == "opt")


def test_reference_and_base_without_a_unit_equal_the_library(model: Model) -> None:
    """So the reference's own windows, chunks and ways into the model are right too."""
    untouched = reference.untouched(model.network, families.PROMPT, families.ANSWER)
    none = reference.log_probabilities(model.network, families.PROMPT, families.ANSWER, ())
    assert (none - untouched).abs().max() <= families.BOUND / 10
    assert (families.base(model).log_probabilities.double() - untouched).abs().max() <= families.BOUND
    largest = (families.expected(model) - untouched).abs().amax(1)  # out of reach of all windows: none
    assert (largest > 100 * families.BOUND).sum() > len(families.UNITS) / 2


def test_empty_suppression_equals_the_library(model: Model) -> None:
    ids = torch.tensor([[*families.PROMPT, *families.ANSWER]])
    with torch.inference_mode():
        library = model.network(input_ids=ids).logits
        with attention.suppression(model.network) as suppress, suppress(torch.zeros(ids.shape, dtype=torch.bool)):
            empty = model.network(input_ids=ids).logits
    assert (library - empty).abs().max() <= families.BOUND


# -- other operators, the direct effect, layer bands ------------------------------------------------------------------


def test_operators_and_bands_are_accepted_or_refused_as_listed(name: str, model: Model) -> None:
    first, rest, middle = families.bands(model)
    for operator in (
        Operator("soft", 0.1),
        Operator("shifted", 0.1),
        *(Operator("knockout", None, layers) for layers in (first, rest, middle)),
        Operator("soft", 0.1, middle),
        Operator("shifted", 0.1, rest),
    ):
        reason = families.why_refused(model, name, operator)
        with contextlib.nullcontext() if reason is None else pytest.raises(UsageError, match=reason):
            prove(model.network, operator, seed=0)


def test_every_listed_refusal_is_of_a_family() -> None:
    listed = (families.NO_SOFT, families.NO_SHIFTED, families.NO_BANDS)
    assert all(refused.keys() <= tiny.FAMILIES.keys() for refused in listed)


def hold(name: str, model: Model, scored: Base, operator: Operator, reach: Reach) -> None:
    """Where the family accepts the operator, the package and the reference agree, and it does something."""
    if families.why_refused(model, name, operator) is not None:
        return
    formula = families.expected_with(model, operator, reach)
    difference = (families.swept_with(model, scored, operator, reach) - formula).abs()
    assert difference.max() <= families.BOUND, (operator.layers, families.FEW_UNITS[int(difference.amax(1).argmax())])
    assert (formula - scored.log_probabilities).abs().max() > 100 * families.BOUND, operator.layers


@pytest.mark.parametrize("reach", ["total", "direct"])
@pytest.mark.parametrize(("operator", "factor"), families.OPERATORS)
def test_every_operator_and_reach_equals_the_reference(
    name: str, model: Model, scored: Base, operator: OperatorName, factor: float | None, reach: Reach
) -> None:
    hold(name, model, scored, Operator(operator, factor), reach)


@pytest.mark.parametrize("reach", ["total", "direct"])
@pytest.mark.parametrize(
    ("operator", "factor"),
    [pytest.param(*one, marks=pytest.mark.slow) if one[1] == 0.5 else one for one in families.OPERATORS],
)
def test_every_layer_band_equals_the_reference(
    name: str, model: Model, scored: Base, operator: OperatorName, factor: float | None, reach: Reach
) -> None:
    for layers in families.bands(model):
        hold(name, model, scored, Operator(operator, factor, layers), reach)


def test_both_ways_of_the_reference_agree(model: Model) -> None:
    """Masks from the formula given to the model as a whole, and a term added to the library's own in each layer."""
    for unit in families.FEW_UNITS:
        whole = reference.log_probabilities(model.network, families.PROMPT, families.ANSWER, unit)
        added = reference.weakened(
            model.network, families.PROMPT, families.ANSWER, unit, reference.Weakening("knockout")
        )
        assert (whole - added).abs().max() <= families.BOUND / 10


def test_the_reference_heeds_each_of_its_settings() -> None:
    network = tiny.network("llama")
    found = [
        reference.weakened(
            network, families.PROMPT, families.ANSWER, ((12, 20),), reference.Weakening(name, factor, layers, reader)
        )
        for name, factor in (("knockout", 0.0), ("soft", 0.1), ("soft", 0.5), ("shifted", 0.1), ("shifted", 0.5))
        for layers in (None, (0, 1), (1, 3), (1, 2))
        for reader in (0, families.FIRST_OF_ANSWER)
    ]
    for one, other in itertools.combinations(found, 2):
        assert (one - other).abs().max() > 2 * families.BOUND


WINDOWED = [name for name in tiny.FAMILIES if re.search("sliding_window|chunk_size", repr(tiny.FAMILIES[name].values))]


@pytest.mark.parametrize("windowed", WINDOWED)
def test_windows_and_chunks_matter_in_these_prompts(windowed: str) -> None:
    """Otherwise a family that ignored its window would pass."""
    network = tiny.network(windowed)
    ids = torch.tensor([[*families.PROMPT, *families.ANSWER]])
    everything = reference.mask(ids.shape[1], ())
    kinds = dict.fromkeys(("full_attention", "sliding_attention", "chunked_attention"), everything)
    given = kinds if reference.route(network) == "a mask for each kind of layer" else everything
    with torch.inference_mode(), reference.eager(network):
        library = network(input_ids=ids, use_cache=False).logits
        unlimited = network(input_ids=ids, attention_mask=given, use_cache=False).logits
    assert (library - unlimited).abs().max() > 0.01


# -- the probe --------------------------------------------------------------------------------------------------------


def test_longest_window_is_that_of_any_layer() -> None:
    values = {**tiny.FAMILIES["mistral"].values, "sliding_window": 8}
    by_layer = transformers.MistralConfig(**values, per_layer_config={1: {"sliding_window": 40}})
    assert longest_window(by_layer) == 40
    assert longest_window(SimpleNamespace(attention_window=[16, 32, None])) == 32
    assert longest_window(SimpleNamespace(sliding_window=4096, layer_types=["full_attention"] * 2)) == 0


def test_layers_that_see_later_tokens_are_refused() -> None:
    network = tiny.network("llama")
    network.config.is_causal = False
    with pytest.raises(UsageError, match="LlamaForCausalLM is refused: its layers let a token see later ones"):
        probe(network, seed=0)


def test_damaged_weights_are_refused_as_such() -> None:
    network = tiny.network("llama")
    torch.nn.init.constant_(network.lm_head.weight, float("nan"))
    with pytest.raises(UsageError, match="its output is not a number; its weights may be damaged"):
        probe(network, seed=0)


def test_a_context_too_short_for_the_probe_is_refused() -> None:
    network = tiny.network("llama")
    network.config.max_position_embeddings = 12
    with pytest.raises(UsageError, match="a context of 12 tokens is too short"):
        probe(network, seed=0)


def test_context_of_every_family_is_known(name: str, model: Model) -> None:
    """Nothing is ever cut or overrun silently; BLOOM alone states no limit."""
    assert model.identity.context_length == (None if name == "bloom" else tiny.CONTEXT)


def test_missing_weights_are_not_replaced_by_random_numbers(tmp_path: Path) -> None:
    folder = tiny.folder(tmp_path / "llama")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"it lacks 1 of its weights, such as model\.layers\.1\.mlp\.up_proj\.weight"):
        load(locate(str(folder)), seed=0)


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", REASONS)
def test_refused_with_one_true_sentence(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny.folder(tmp_path / refused, refused)
    capsys.readouterr()  # what saving prints
    monkeypatch.setattr(sys, "argv", ["attn-audit", "model", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert ended.value.code == 2
    assert not out
    first, second = err.splitlines()
    assert first == f"loading and probing {refused} ..."
    assert second.startswith("error: model ")
    assert REASONS[refused] in second


def test_every_refused_kind_has_a_reason() -> None:
    assert REASONS.keys() == tiny.RECURRENT.keys() | tiny.UNSUITED.keys()


# -- docs/models.md ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page_maker(request: pytest.FixtureRequest) -> ModuleType:
    path = request.config.rootpath / "tools" / "models_page.py"
    spec = importlib.util.spec_from_file_location("models_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_models_page_is_up_to_date(page_maker: ModuleType, repository: Path) -> None:
    """All but the figures, which differ between processors: `python tools/models_page.py` writes it anew."""
    stored = (repository / "docs" / "models.md").read_text(encoding="utf-8")
    assert without_figures(stored) == without_figures(page_maker.page())


def without_figures(text: str) -> str:
    return re.sub(r"\d+e-\d+|(?<=differ by )[\de.+-]+|(?<=torch )[\d.]+|(?<=transformers )[\d.]+\d", "#", text)
