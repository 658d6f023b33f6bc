"""Attacks on the model: what is refused, and what changes its root. Deeper variants: tests/test_model_identity.py and
tests/test_model_refusals.py."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import tiny
from attacks.scene import Command, Scene, Table

ATTACKS = Table()
attack = ATTACKS.row


def _spoilt(scene: Scene) -> Path:
    """A copy of the audit's model."""
    return Path(shutil.copytree(scene.model, scene.folder / "model"))


def _run(scene: Scene, model: Path) -> Command:
    return ("run", "--prompt", "x", "--model", model, "--out", scene.folder / "new", "--format", "html", "--quiet")


@attack(26, 2, "is a link out of the model's folder")
def weights_that_are_a_link(scene: Scene) -> Command:
    model = _spoilt(scene)
    (model / "model.safetensors").rename(scene.folder / "elsewhere")
    (model / "model.safetensors").symlink_to(scene.folder / "elsewhere")
    return _run(scene, model)


@attack(26, 2, "is not a regular file")
def fifo_among_the_files(scene: Scene) -> Command:
    model = _spoilt(scene)
    os.mkfifo(model / "fifo")
    return _run(scene, model)


@attack(26, 2, "cannot be read")
def link_in_a_loop(scene: Scene) -> Command:
    model = _spoilt(scene)
    (model / "loop").symlink_to(model / "loop")
    return _run(scene, model)


@attack(27, 2, "as pickle only")
def pickle_weights(scene: Scene) -> Command:
    model = _spoilt(scene)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    return _run(scene, model)


@attack(27, 2, "asks to run its own code")
def code_of_the_model(scene: Scene) -> Command:
    model = _spoilt(scene)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    return _run(scene, model)


@attack(28, 2, "cannot be loaded")
def header_of_the_weights_that_lies(scene: Scene) -> Command:
    model = _spoilt(scene)
    (model / "model.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    return _run(scene, model)


@attack(29, 23, "was measured on other files")
def another_chat_template(scene: Scene) -> Command:
    model = _spoilt(scene)
    template = next(path for path in (model / "chat_template.jinja", model / "tokenizer_config.json") if path.exists())
    template.write_text(template.read_text() + "\n")
    return (*scene.verify(), "--model", model)


@attack(29, 23, "was measured on another model")
def another_generation_configuration(scene: Scene) -> Command:
    model = _spoilt(scene)
    (model / "generation_config.json").write_text('{"do_sample": true, "temperature": 9.0}')
    return ("replay", scene.audit.out, "--trust", scene.audit.signers, "--model", model)


@attack(31, 2, "attention")
def recurrent_layers(scene: Scene) -> Command:
    return _run(scene, tiny.folder(scene.folder / "mamba", sorted(tiny.RECURRENT)[0]))
