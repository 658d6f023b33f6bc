"""Batches: one failed case never stops the others, and a run that was killed ends as one that was not."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.llama.modeling_llama import LlamaForCausalLM

import audits
import tiny
from audits import Audit
from command_line import call

COMMAND = str(Path(sys.executable).with_name("attn-audit"))
ONE_OF_EACH = f"""\
settings: {{max_new_tokens: 3}}
cases:
  - {{id: good, prompt: "The income is high. Is the loan approved?"}}
  - {{id: too-long, prompt: "{"The income is high. " * 200}"}}
  - {{id: not-a-number, prompt: "The income is Q. Is the loan approved?"}}
  - {{id: no-memory, prompt: "The income is Z. Is the loan approved?"}}
  - {{id: bad-contrast, prompt: "Is the loan approved?", contrast: "{"no " * 600}"}}
  - {{id: good-too, prompt: "The income is low. Is the loan approved?"}}
"""
FAILED = {
    "too-long": "context holds 512",
    "not-a-number": "not a number",
    "no-memory": "out of memory",
    "bad-contrast": "context holds 512",
}


def broken_model(folder: Path) -> Path:
    """A model that has lost the embedding of one letter."""
    model = tiny.folder(folder)
    weights = load_file(model / "model.safetensors")
    weights["model.embed_tokens.weight"][token("Q")] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model


def token(letter: str) -> int:
    [found] = tiny.tokenizer()(letter, add_special_tokens=False)["input_ids"]
    return int(found)


def test_attack_48_49_55_one_case_of_each_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are finished and sealed, each failure says why, and the whole verifies."""
    forward, wanted = LlamaForCausalLM.forward, token("Z")

    def hungry(self: Any, input_ids: Any = None, *arguments: Any, **named: Any) -> Any:
        if input_ids is not None and (input_ids == wanted).any():
            torch.empty(1 << 50, dtype=torch.uint8)  # what torch's own allocator refuses
        return forward(self, input_ids, *arguments, **named)

    monkeypatch.setattr(LlamaForCausalLM, "forward", hungry)
    monkeypatch.chdir(tmp_path)
    model, private = broken_model(tmp_path / "model"), audits.key(tmp_path)
    Path("cases.yaml").write_text(ONE_OF_EACH)
    options = ("--model", model, "--key", private, "--out", "audit", "--format", "html", "--junit", "junit.xml")
    ended = call("run", "cases.yaml", *options)
    assert ended.code == 3, ended.err
    assert "4 of 6 cases failed, 0 were skipped; the rest is done and sealed" in " ".join(ended.err.split())
    audit = Audit(Path("audit"), private)
    cases = {case.id: case for case in audits.seal_of(audit.out).cases}
    assert {name for name, case in cases.items() if case.status == "ok"} == {"good", "good-too"}
    for name, words in FAILED.items():
        assert cases[name].status == "failed"
        assert words in str(cases[name].reason), name
        assert not audit.case(name).exists()
        assert words in Path("junit.xml").read_text(encoding="utf-8")
    report = audits.report(audit)
    assert (audits.failures(report), report.exit_code) == ({}, 0)


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.model
def test_attack_52_twenty_real_cases_killed_three_times(tmp_path: Path) -> None:
    """It verifies, and equals what nobody killed outside ``run``."""
    private = audits.key(tmp_path)
    (tmp_path / "cases.yaml").write_text(audits.TWENTY_CASES)
    chance = random.Random(52)

    def command(out: str, *more: str) -> list[str]:
        options = ("--model", "smollm2", "--format", "html", "--key", str(private), "--out", out)
        return [COMMAND, "run", "cases.yaml", *options, "--csv", f"{out}.csv", *more]

    whole = subprocess.run(command("whole"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    out, more = tmp_path / "killed", ()
    for finished in sorted(chance.sample(range(1, 19), 3)):
        process = subprocess.Popen(command("killed", *more), cwd=tmp_path, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(out.glob("cases/*"))) < finished:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 2))
        process.kill()
        assert process.wait() != 0
        more = ("--resume",)
    assert 0 < len(list(out.glob("cases/*"))) < 20
    ended = subprocess.run(command("killed", *more), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    report = audits.report(Audit(out, private))
    assert (audits.failures(report), report.exit_code) == ({}, 0)
    assert audits.essence(out) == audits.essence(tmp_path / "whole")
