"""An audit measured again: the same numbers from the same model, and what a signer made up is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import audits
import tiny
from attn_audit.evidence.envelope import decode, open_bundle, payload_of
from attn_audit.evidence.errors import NotReplayed, UsageError
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.statements import Replay, ReplayedCase
from attn_audit.evidence.trust import read_allowed_signers
from attn_audit.judge.relevance import relevance
from attn_audit.measure.model import locate
from attn_audit.redact import redact
from attn_audit.replay import TOLERANCE, agrees, choose, replay

COMMAND = str(Path(sys.executable).with_name("attn-audit"))
CASES = """
settings: {max_new_tokens: 5}
cases:
  - id: loan
    template: "The income of {name} is high and the rent is low. Is the loan approved?"
    fields: {name: Maria}
    contrast: It is denied.
  - id: supplied
    prompt: "The debts are high. Is the loan approved?"
    answer: The loan is denied.
"""
SCREENED = "effort: screened, operator: soft, factor: 0.1"


@pytest.fixture(scope="module")
def made(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> audits.Audit:
    folder = tmp_path_factory.mktemp("replay")
    private = audits.key(folder)
    return audits.Audit(audits.make(folder, tiny_model, private, cases=CASES).out, private)


def nothing(*_: int) -> None:
    """No progress is shown."""


def again(audit: audits.Audit, model: Path, units: int | None = None) -> dict[str, ReplayedCase]:
    found = audits.report(audit)
    assert found.exit_code == 0
    return {one.id: one for one in replay(found.cases, locate(str(model)), audits.host("other"), units, nothing)}


def test_the_same_model_gives_the_same_numbers(made: audits.Audit, tiny_model: Path) -> None:
    found = again(made, tiny_model)
    assert agrees(tuple(found.values()))
    assert all(len(one.units) == len(audits.evidence_of(made.case(name)).units) for name, one in found.items())


def test_so_it_does_on_one_thread_and_with_other_settings(tiny_model: Path, tmp_path: Path) -> None:
    private = audits.key(tmp_path)
    cases = CASES.replace("max_new_tokens: 5", f"max_new_tokens: 5, {SCREENED}")
    audit = audits.Audit(audits.make(tmp_path, tiny_model, private, cases=cases).out, private)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = again(audit, tiny_model)
    finally:
        torch.set_num_threads(threads)
    assert agrees(tuple(found.values()))
    measured = audits.evidence_of(audit.case("loan")).screening
    assert measured is not None
    assert found["loan"].units == measured.measured, "what was screened has no number to compare"


def test_the_verifier_chooses_and_nobody_can_know_what(made: audits.Audit, tiny_model: Path) -> None:
    assert [len(one.units) for one in again(made, tiny_model, units=3).values()] == [3, 3]
    draws = {choose(range(20), 3, bytes([number])) for number in range(50)}
    assert len(draws) > 40
    assert all(list(draw) == sorted(set(draw)) and len(draw) == 3 for draw in draws)
    assert choose(range(3), None, b"") == choose(range(3), 9, b"") == (0, 1, 2)


def test_another_model_is_refused_before_anything_is_measured(made: audits.Audit, tmp_path: Path) -> None:
    other = tiny.folder(tmp_path / "other", seed=1)
    with pytest.raises(NotReplayed, match="another model") as error:
        again(made, other)
    assert error.value.exit_code == 23


# -- forged with the trusted key, in agreement with itself -----------------------------------------------------------


def forged(made: audits.Audit, folder: Path, change: Callable[[Evidence], dict[str, Any]]) -> audits.Audit:
    copy = made.copied_to(folder / "audit")
    evidence = audits.evidence_of(copy.case("supplied"))
    changes = change(evidence)
    base = changes.get("answer", evidence.answer).base
    changes["relevance"] = relevance(base, changes.get("scores", evidence.scores))
    audits.recase(copy.case("supplied"), copy.private, evidence={**changes, "checks": None, "warnings": ()})
    return copy


def measured_again(audit: audits.Audit, model: Path) -> ReplayedCase:
    """The numbers alone: what verify would say first is left out, as if the forger had been careful."""
    found = audits.report(audit)
    case = {"supplied": found.cases["supplied"]}
    [only] = replay(case, locate(str(model)), audits.host("other"), None, nothing)
    return only


def test_attack_15_invented_scores_are_found_although_all_of_them_agree(
    made: audits.Audit, tiny_model: Path, tmp_path: Path
) -> None:
    audit = forged(made, tmp_path, lambda found: {"scores": found.scores[::-1]})
    assert measured_again(audit, tiny_model).outcome == "mismatch"


def test_scores_that_are_a_little_off_are_told_from_wrong_ones(
    made: audits.Audit, tiny_model: Path, tmp_path: Path
) -> None:
    def shifted(by: float) -> Callable[[Evidence], dict[str, Any]]:
        return lambda found: {
            "scores": tuple(row and tuple(round(value - by, 6) for value in row) for row in found.scores)
        }

    near = measured_again(forged(made, tmp_path / "near", shifted(TOLERANCE["float32"] / 2)), tiny_model)
    far = measured_again(forged(made, tmp_path / "far", shifted(TOLERANCE["float32"] * 3)), tiny_model)
    assert (near.outcome, far.outcome) == ("within tolerance", "same ranking")
    assert agrees((near,))
    assert not agrees((far,))


def test_attack_59_text_of_one_prompt_beside_the_tokens_of_another(
    made: audits.Audit, tiny_model: Path, tmp_path: Path
) -> None:
    copy = made.copied_to(tmp_path / "audit")
    content = audits.content_of(copy.case("supplied"))
    ids = (*content.prompt.ids[:5], content.prompt.ids[5] + 1, *content.prompt.ids[6:])
    swapped = content.prompt.model_copy(update={"ids": ids})
    audits.recase(copy.case("supplied"), copy.private, content={"prompt": swapped})
    assert measured_again(copy, tiny_model).outcome == "other prompt"


def test_an_answer_that_the_model_does_not_give_and_other_pieces(made: audits.Audit, tiny_model: Path) -> None:
    found = audits.report(made).cases["loan"]
    content, evidence = found.content, found.evidence
    said = content.answer.model_copy(update={"ids": (*content.answer.ids[:-1], content.answer.ids[0] + 1)})
    units = (*evidence.units[:-2], evidence.units[-1])
    for case, expected in (
        (replace(found, content=content.model_copy(update={"answer": said})), "other answer"),
        (replace(found, evidence=evidence.model_copy(update={"units": units})), "other pieces"),
    ):
        [only] = replay({"loan": case}, locate(str(tiny_model)), audits.host(), None, nothing)
        assert only.outcome == expected
        assert only.largest is None


# -- the command line ------------------------------------------------------------------------------------------------


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "replay", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_result_is_signed_and_names_the_attestations(made: audits.Audit, tiny_model: Path, tmp_path: Path) -> None:
    """By somebody else than the auditor."""
    mine = audits.key(tmp_path, "mine", "second@other.example")
    out = tmp_path / "replay.sigstore.json"
    options = ("--model", tiny_model, "--trust", made.signers, "--units", "4", "--key", mine, "--out", out, "--json")
    done = command(made.out, *options)
    assert done.returncode == 0, done.stderr
    said = Replay.model_validate(json.loads(done.stdout))
    assert [(one.id, len(one.units)) for one in said.cases] == [("loan", 4), ("supplied", 4)]
    statement = decode(payload_of(out.read_bytes(), "replay"), Replay, "replay")
    assert statement.predicate == said
    assert said.signer is not None
    assert said.signer.principal == "second@other.example"
    expected = [
        (
            f"cases/{name}/attestation.sigstore.json",
            audits.sha256((made.case(name) / "attestation.sigstore.json").read_bytes()),
        )
        for name in ("loan", "supplied")
    ]
    assert list(statement.subjects) == expected
    payload, keys = open_bundle(out.read_bytes(), read_allowed_signers(tmp_path / "mine.allowed_signers"), "replay")
    assert decode(payload, Replay, "replay") == statement
    assert [key.key_id for key in keys] == [said.signer.key_id]
    again_there = command(made.out, *options)
    assert again_there.returncode == UsageError.exit_code
    assert "exists already" in again_there.stderr


def test_what_does_not_verify_is_not_measured(audit: audits.Audit, tiny_model: Path) -> None:
    audits.flipped(audit.case("first") / "evidence.json", 100, 1)
    done = command(audit.out, "--model", tiny_model, "--trust", audit.signers)
    assert done.returncode == 20
    assert "not verified, so not measured: first: digests" in done.stderr


@pytest.mark.parametrize("units", ["0", "-1", "many", "１"])
def test_a_number_of_units_that_is_none(made: audits.Audit, tiny_model: Path, units: str) -> None:
    done = command(made.out, "--model", tiny_model, "--trust", made.signers, f"--units={units}")
    assert done.returncode == UsageError.exit_code
    assert "give a number from 1 on, or all" in done.stderr


def test_what_is_withheld_is_left_out(made: audits.Audit, tiny_model: Path, tmp_path: Path) -> None:
    copy = made.copied_to(tmp_path / "audit")
    redact(copy.out, "loan", None, copy.private, audits.host("later", audits.START.replace(hour=20)))
    done = command(copy.out, "--model", tiny_model, "--trust", copy.signers)
    assert done.returncode == 0, done.stderr
    assert "loan: content withheld, so not measured" in done.stderr
    redact(copy.out, "supplied", None, copy.private, audits.host("later", audits.START.replace(hour=20)))
    none_left = command(copy.out, "--model", tiny_model, "--trust", copy.signers)
    assert none_left.returncode == UsageError.exit_code
    assert "no finished case to measure again" in none_left.stderr


def test_another_model_on_the_command_line(made: audits.Audit, tmp_path: Path) -> None:
    other = tiny.folder(tmp_path / "other", seed=1)
    done = command(made.case("loan"), "--model", other, "--trust", made.signers)
    assert done.returncode == NotReplayed.exit_code
    assert "case loan was measured on another model" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.model
def test_the_sample_audit_replays_on_the_real_model(real_audit: Any) -> None:
    done = command(real_audit.out, "--model", "smollm2", "--trust", real_audit.signers, "--cases", "1", "--units", "3")
    assert done.returncode == 0, done.stderr
    assert "the same numbers" in " ".join(done.stdout.split())


@pytest.mark.slow
@pytest.mark.model
def test_the_sample_audit_replays_in_a_fresh_environment(real_audit: Any, fresh_env: Path, tmp_path: Path) -> None:
    """Another installation, from the wheel; one processor instead of all, one thread, and three pieces in a pass where
    the audit had all of them. Nothing of this checkout is imported."""
    processor = min(os.sched_getaffinity(0))
    start = f"import os, sys; os.sched_setaffinity(0, [{processor}]); os.execv(sys.argv[1], sys.argv[1:])"
    signers = ("--model", "smollm2", "--trust", real_audit.signers)
    asked = (fresh_env / "attn-audit", "replay", real_audit.out, *signers, "--units", "3", "--json")
    done = subprocess.run(
        [sys.executable, "-c", start, *asked],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    replayed = Replay.model_validate(json.loads(done.stdout)).cases
    assert {one.id for one in replayed} == {path.name for path in (real_audit.out / "cases").iterdir()}
    for one in replayed:
        assert len(one.units) == 3
        assert one.outcome in {"identical", "within tolerance"}
        assert one.largest is not None
        assert one.largest < TOLERANCE["float32"] / 10, "far within it"
