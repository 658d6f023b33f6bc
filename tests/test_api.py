"""A model that a program holds in memory: adopted as what its files make or refused with the reason, measured as the
command line measures, and left as it was. The example of docs/python.md runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

import audits
import tiny
from attn_audit.audit import NO_PLAN, Terms, audit_case
from attn_audit.cases import single_case
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Case, Content
from attn_audit.evidence.settings import Settings
from attn_audit.host import this_host
from attn_audit.judge.belonging import check_belonging
from attn_audit.judge.shape import check_shape
from attn_audit.measure.in_memory import check_same
from attn_audit.measure.model import Model, adopt, load, locate
from attn_audit.reports import html

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "The income of the applicant is high. Is the loan approved?"
EVERYTHING = Settings(checks="full", effort="screened", bands=2, kappa=0.9, sources="prompt+answer")


def example() -> str:
    """The code of docs/python.md."""
    (found,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/python.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return str(found)


def held(path: Path, **options: Any) -> tuple[Any, Any]:
    """Network and tokenizer as a program loads them."""
    return AutoModelForCausalLM.from_pretrained(path, **options), AutoTokenizer.from_pretrained(path)


def case(question: str = QUESTION, tokens: int = 6) -> Case:
    return single_case(question).cases[0].model_copy(update={"max_new_tokens": tokens})


def audited(model: Model, settings: Settings | None = None) -> tuple[Content, Evidence]:
    world = audits.host()
    return audit_case(model, case(), Terms.unsigned(model, settings), world.salt(), world)


def without_run(evidence: Evidence) -> dict[str, Any]:
    return evidence.model_dump(mode="json", exclude={"run"})


# -- the example ------------------------------------------------------------------------------------------------------


def run_example(folder: Path, path: str, change: Callable[[str], str] = lambda text: text) -> str:
    """What it prints, run in ``folder`` as a program of its own."""
    text = change(example().replace("models/SmolLM2-135M-Instruct", path))
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_the_readme_runs(tiny_model: Path, tmp_path: Path) -> None:
    printed = run_example(tmp_path, str(tiny_model)).splitlines()
    assert len(printed) == 5
    assert all(re.fullmatch(r"[+−-]\d+\.\d+ \S+", line) for line in printed), printed
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "The capital of France is Paris." in page
    assert "unsigned" in page
    assert NO_PLAN in page


@pytest.mark.model
@pytest.mark.slow
def test_the_example_runs_on_the_real_model(tmp_path: Path) -> None:
    """Which is a .gguf file: it is loaded with ``gguf_file`` and located by its own path."""
    file = locate("smollm2").path

    def from_gguf(text: str) -> str:
        text = text.replace("from_pretrained(path)", f"from_pretrained({str(file.parent)!r}, gguf_file={file.name!r})")
        return text.replace("locate(path)", f"locate({str(file)!r})")

    printed = run_example(tmp_path, str(file), from_gguf).splitlines()
    assert "Paris" in printed[0]


# -- the same numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [None, EVERYTHING], ids=["default", "everything"])
def test_an_adopted_model_gives_the_evidence_of_a_loaded_one(tiny_model: Path, settings: Settings | None) -> None:
    located = locate(str(tiny_model))
    adopted = audited(adopt(*held(tiny_model), located), settings)
    loaded = audited(load(located, seed=0), settings)
    assert adopted[0] == loaded[0]
    assert without_run(adopted[1]) == without_run(loaded[1])


def test_the_records_are_those_that_verify_accepts(tiny_model: Path) -> None:
    model = adopt(*held(tiny_model), locate(str(tiny_model)))
    content, evidence = audited(model, Settings(units="sentence", checks="full"))
    check_shape(content, evidence)
    check_belonging(content, evidence)
    assert evidence.method.units == "sentence"
    given = {one.name: one.origin for one in evidence.settings if one.origin != "default"}
    assert given == dict.fromkeys(("model", "units", "checks", "dtype", "device", "format"), "caller")
    assert (evidence.signer, evidence.plan, evidence.views) == (None, NO_PLAN, ("html",))
    assert html.report(content, evidence)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_either_attention_is_measured(tiny_model: Path, attention: str) -> None:
    model = adopt(*held(tiny_model, attn_implementation=attention), locate(str(tiny_model)))
    _, evidence = audited(model)
    _, loaded = audited(load(locate(str(tiny_model)), seed=0))
    for one, other in zip(evidence.relevance, loaded.relevance, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_short_number_format_is_recorded(tiny_model: Path, dtype: str) -> None:
    network, tokenizer = held(tiny_model, dtype=getattr(torch, dtype))
    model = adopt(network, tokenizer, locate(str(tiny_model)))
    content, evidence = audited(model)
    assert evidence.model.dtype == dtype
    assert {one.name: one.value for one in evidence.settings}["dtype"] == dtype
    assert not evidence.method.default
    check_belonging(content, evidence)
    with pytest.raises(UsageError, match=f"dtype = 'float32', but the model is in {dtype}"):
        Terms.unsigned(model, Settings(dtype="float32"))


# -- the caller's model is left as it was -----------------------------------------------------------------------------


def state(network: Any) -> dict[str, Any]:
    """All that an audit could have changed."""
    return {
        "values": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "gradients": [weight.requires_grad for weight in network.parameters()],
        "held": [(weight.grad, weight.data_ptr()) for weight in network.parameters()],
        "attention": network.config._attn_implementation,
        "forwards": [name for name, module in network.named_modules() if "forward" in vars(module)],
    }


def generated(network: Any) -> list[int]:
    ids = torch.arange(2, 40)[None]
    return network.generate(input_ids=ids, max_new_tokens=20, do_sample=False)[0].tolist()  # type: ignore[no-any-return]


def test_the_model_in_memory_is_left_as_it_was(tiny_model: Path) -> None:
    network, tokenizer = held(tiny_model)
    ids = torch.arange(2, 40)[None]
    before, said, logits = state(network), generated(network), network(input_ids=ids).logits.detach()
    audited(adopt(network, tokenizer, locate(str(tiny_model))), EVERYTHING)
    after = state(network)
    assert all(torch.equal(tensor, after["values"][name]) for name, tensor in before.pop("values").items())
    del after["values"]
    assert before == after
    assert generated(network) == said
    assert torch.equal(network(input_ids=ids).logits, logits)
    network.train()
    network(input_ids=ids, labels=ids).loss.backward()
    assert all(weight.grad is not None for weight in network.parameters()), "it can be trained as before"


def test_a_model_can_be_adopted_again_after_an_audit(tiny_model: Path) -> None:
    network, tokenizer = held(tiny_model)
    for _ in range(2):
        audited(adopt(network, tokenizer, locate(str(tiny_model))), EVERYTHING)


def test_large_layers_are_not_packed(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing throws the plain weights away, which are the caller's."""
    monkeypatch.setattr("attn_audit.measure.model.pack", lambda network: pytest.fail("packed"))
    assert not adopt(*held(tiny_model), locate(str(tiny_model))).packed


# -- refusals ---------------------------------------------------------------------------------------------------------


def trained(network: Any) -> None:
    with torch.no_grad():
        network.lm_head.weight[5, 3] += 1e-6


def in_training(network: Any) -> None:
    network.model.layers[1].train()


def hooked(network: Any) -> None:
    network.model.layers[1].register_forward_hook(lambda module, args, found: found)


def hooked_before(network: Any) -> None:
    network.model.layers[1].register_forward_pre_hook(lambda module, args: None)


def other_forward(network: Any) -> None:
    layer = network.model.layers[0].mlp
    layer.forward = type(layer).forward.__get__(layer)


def other_activation(network: Any) -> None:
    network.model.layers[0].mlp.act_fn = nn.ReLU().eval()


def extra_weight(network: Any) -> None:
    network.model.layers[0].mlp.lora_A = nn.Linear(2, 2)
    network.eval()


def fewer_layers(network: Any) -> None:
    del network.model.layers[2]


def other_base(network: Any) -> None:
    network.config.rope_parameters["rope_theta"] = 5.0


def other_frequencies(network: Any) -> None:
    network.model.rotary_emb.inv_freq.mul_(2)


def other_scale(network: Any) -> None:
    network.model.layers[0].self_attn.scaling *= 2


def cut_down_and_up(network: Any) -> None:
    network.to(torch.bfloat16).to(torch.float32)


def mixed(network: Any) -> None:
    network.lm_head.to(torch.bfloat16)


def double(network: Any) -> None:
    network.to(torch.float64)


def flash(network: Any) -> None:
    network.config._attn_implementation = "flash_attention_2"


def other_end(network: Any) -> None:
    network.generation_config.eos_token_id = 7


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (trained, "its lm_head.weight has other values"),
        (in_training, "training mode; call its eval"),
        (hooked, r"a hook at model.layers.1\b"),
        (hooked_before, r"a hook at model.layers.1\b"),
        (other_forward, "another forward at model.layers.0.mlp"),
        (other_activation, "its part model.layers.0.mlp.act_fn is a ReLU"),
        (extra_weight, "it has a part model.layers.0.mlp.lora_A that they lack"),
        (fewer_layers, "it lacks their part model.layers.2"),
        (other_base, "its configuration differs in 'rope_parameters'"),
        (other_frequencies, "its model.rotary_emb.inv_freq has other values"),
        (other_scale, "its logits differ by"),
        (cut_down_and_up, "has other values"),
        (mixed, "weights in bfloat16, float32; all must be in one of float32, bfloat16, float16"),
        (double, "weights in float64"),
        (flash, "'flash_attention_2', which cannot be suppressed; load it with attn_implementation=\"sdpa\""),
        (other_end, "other tokens than its files say"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_model_that_is_not_its_files_is_refused(tiny_model: Path, change: Callable[[Any], None], reason: str) -> None:
    network, tokenizer = held(tiny_model)
    change(network)
    with pytest.raises(UsageError, match=reason):
        adopt(network, tokenizer, locate(str(tiny_model)))


def test_another_models_files_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    network, tokenizer = held(tiny_model)
    for number, (family, seed, reason) in enumerate((("llama", 1, "other values"), ("qwen3", 0, "they make a Qwen3"))):
        other = locate(str(tiny.folder(tmp_path / str(number), family, seed=seed)))
        with pytest.raises(UsageError, match=reason):
            adopt(network, tokenizer, other)


def test_a_wrapped_model_is_refused(tiny_model: Path) -> None:
    network, tokenizer = held(tiny_model)
    with pytest.raises(UsageError, match="Sequential is not a model of transformers; merge adapters"):
        adopt(nn.Sequential(network), tokenizer, locate(str(tiny_model)))


@pytest.mark.parametrize("field", ["chat_template", "eos_token", "tokens"])
def test_another_tokenizer_is_refused(tiny_model: Path, field: str) -> None:
    network, tokenizer = held(tiny_model)
    if field == "tokens":
        tokenizer.add_tokens(["approved"])
    else:
        setattr(tokenizer, field, "<|start|>")
    with pytest.raises(UsageError, match="the tokenizer in memory is not that of the model's files"):
        adopt(network, tokenizer, locate(str(tiny_model)))


def test_a_tokenizer_that_was_used_for_batches_is_the_same(tiny_model: Path) -> None:
    network, tokenizer = held(tiny_model)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer(["a", "longer"], padding=True, truncation=True, max_length=2)
    assert adopt(network, tokenizer, locate(str(tiny_model))).tokenizer is not tokenizer


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "gpt_oss", "deepseek_v3", "gemma3_vision", "bloom"])
def test_families_load_the_same_twice(family: str, tmp_path: Path) -> None:
    """Tied, fused and renamed weights, experts, sinks, and models within models."""
    path = tiny.folder(tmp_path / family, family)
    adopt(*held(path), locate(str(path)))


def test_what_was_compared_is_each_weight(tiny_model: Path) -> None:
    """A change of any single one is seen."""
    network, fresh = held(tiny_model)[0], held(tiny_model)[0]
    check_same(network, fresh)
    for name, weight in network.named_parameters():
        with torch.no_grad():
            before = weight.flatten()[0].clone()
            weight.flatten()[0].add_(0.5)
        with pytest.raises(UsageError, match=re.escape(name)):
            check_same(network, fresh)
        with torch.no_grad():
            weight.flatten()[0].copy_(before)
    check_same(network, fresh)


# -- the host ---------------------------------------------------------------------------------------------------------


def test_offline_is_recorded_only_where_it_was_forced() -> None:
    """A program that imported the libraries before this package has not forbidden them the network."""
    ask = "from attn_audit.host import this_host; print(dict(this_host(1).facts)['network'])"
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    for before, said in (("attn_audit.measure.model", "forced"), ("transformers", "not forced")):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import {before}, huggingface_hub.constants; import attn_audit.measure.model; {ask}",
            ],
            env=environment | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == f"offline mode {said}"


def test_a_salt_is_new_each_time() -> None:
    host = this_host(1)
    assert host.salt() != host.salt()
    assert re.fullmatch(r"[0-9a-f]{64}", host.salt())
