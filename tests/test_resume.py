"""The plan first, the run later; one writer for a folder; a run that was killed goes on and ends as if nothing was."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import audits
from attn_audit.evidence.digest import sha256
from attn_audit.redact import redact
from audits import Audit
from command_line import completed

COMMAND = str(Path(sys.executable).with_name("attn-audit"))
EVERY_CHANGE = 60  # of the file system that a batch of two cases makes: fewer than so many


@pytest.fixture
def work(tmp_path: Path, tiny_model: Path) -> Audit:
    """A key and a case file; the folder of the audit does not exist yet."""
    (tmp_path / "cases.yaml").write_text(audits.THREE_CASES)
    assert tiny_model.is_dir()
    return Audit(tmp_path / "audit", audits.key(tmp_path))


def run(work: Audit, model: Path, *options: str | Path, key: bool = True) -> subprocess.CompletedProcess[str]:
    signing = ("--key", work.key) if key else ()
    with contextlib.chdir(work.key.parent):
        return completed("run", "cases.yaml", "--model", model, "--format", "html", *options, *signing)


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return errors[0]


# -- the plan on its own ----------------------------------------------------------------------------------------------


def test_attack_19_the_plan_is_signed_first_and_its_digest_printed_to_be_lodged(work: Audit, tiny_model: Path) -> None:
    planned = run(work, tiny_model, "--plan-only", "--out", work.out)
    assert planned.returncode == 0, planned.stderr
    digest, path = planned.stdout.split()
    assert Path(path) == work.out / "plan.sigstore.json"
    assert digest == sha256(Path(path).read_bytes())
    assert sorted(found.name for found in work.out.iterdir()) == ["cases", "model.manifest.json", "plan.sigstore.json"]
    salts = work.out.with_name("audit.salts")
    assert stat.S_IMODE(salts.stat().st_mode) == 0o600
    assert audits.report(work).exit_code == 20, "a plan alone is no audit"

    done = run(work, tiny_model, "--plan", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(work.out)
    assert not salts.exists()
    assert digest == sha256(Path(path).read_bytes()), "what was lodged is what was run"
    found = audits.report(work)
    assert found.exit_code == 0
    [order] = [check.detail for check in found.checks if check.name == "order"]
    assert "signed on its own before the run" in order
    assert digest in order
    assert "on its own, before anything was run" in (work.out / "index.html").read_text()


def test_without_a_plan_of_its_own_the_order_is_self_declared(made_audit: Audit) -> None:
    [order] = [check.detail for check in audits.report(made_audit).checks if check.name == "order"]
    assert order.startswith("self-declared, unless the plan's digest was lodged with somebody")
    assert "order is self-declared" in " ".join((made_audit.case("first") / "report.html").read_text().split())


def test_a_plan_is_run_as_it_was_made_or_not_at_all(work: Audit, tiny_model: Path, tmp_path: Path) -> None:
    assert run(work, tiny_model, "--plan-only", "--out", work.out).returncode == 0
    plan = ("--plan", work.out / "plan.sigstore.json")
    before = sorted(path.relative_to(work.out) for path in work.out.rglob("*"))
    cases = tmp_path / "cases.yaml"
    kept = cases.read_text()

    def refused(*options: str | Path, model: Path = tiny_model, key: bool = True) -> str:
        done = run(work, model, *plan, *options, key=key)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        return one_sentence(done)

    assert "the settings are not the planned ones" in refused("--units", "sentence")
    assert "the settings are not the planned ones" in refused("--seed", "7")
    cases.write_text(kept + "# a comment\n")
    assert "the case file is not byte for byte the planned one" in refused()
    cases.write_text(kept.replace("  - {id: third", "  - {id: other"))
    assert "cannot be continued" in refused()
    cases.write_text("\n".join(kept.splitlines()[:-1]))
    assert "the case file has 2 cases, 3 planned" in refused()
    cases.write_text(kept)
    import tiny  # noqa: PLC0415

    assert "planned for another model" in refused(model=tiny.folder(tmp_path / "tiny", seed=1))
    assert "its plan is by another signer" in refused(key=False)
    assert "a plan is run in its own folder" in refused("--out", tmp_path / "elsewhere")
    assert "cannot be given together" in refused("--resume")
    assert sorted(path.relative_to(work.out) for path in work.out.rglob("*")) == before
    salts = work.out.with_name("audit.salts")
    salts.rename(tmp_path / "away")
    assert "without which it cannot be continued" in refused()


def test_a_plan_that_somebody_changed_is_20(work: Audit, tiny_model: Path) -> None:
    assert run(work, tiny_model, "--plan-only", "--out", work.out).returncode == 0
    path = work.out / "plan.sigstore.json"
    audits.flipped(path, path.read_bytes().index(b'"payload":"') + 300, 1)
    done = run(work, tiny_model, "--resume", "--out", work.out)
    assert done.returncode == 20, done.stderr
    assert "plan.sigstore.json" in one_sentence(done)


# -- one writer -------------------------------------------------------------------------------------------------------


def test_attack_53_two_runs_on_one_folder(work: Audit, tiny_model: Path) -> None:
    assert run(work, tiny_model, "--plan-only", "--out", work.out).returncode == 0
    folder = os.open(work.out, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        done = run(work, tiny_model, "--resume", "--out", work.out)
        assert done.returncode == 2
        assert "another process is writing to" in one_sentence(done)
    finally:
        os.close(folder)
    again = run(work, tiny_model, "--out", work.out)
    assert again.returncode == 2
    assert "exists already" in one_sentence(again)
    assert run(work, tiny_model, "--resume", "--out", work.out).returncode == 0
    finished = run(work, tiny_model, "--resume", "--out", work.out)
    assert finished.returncode == 2
    assert "is finished" in one_sentence(finished)
    assert audits.report(work).exit_code == 0


@pytest.mark.parametrize("options", [("--resume",), ("--resume", "--out", "nowhere"), ("--plan", "nowhere")])
def test_nothing_to_go_on_with(work: Audit, tiny_model: Path, options: tuple[str, ...]) -> None:
    done = run(work, tiny_model, *options)
    assert done.returncode == 2
    assert one_sentence(done)
    assert not work.out.exists()


# -- batches in a chain -----------------------------------------------------------------------------------------------


def test_the_seal_names_the_seal_before(work: Audit, tiny_model: Path, made_audit: Audit) -> None:
    """Given with the plan, it is remembered until the seal."""
    before = made_audit.out / "seal.sigstore.json"
    digest = sha256(before.read_bytes())
    refused = run(work, tiny_model, "--out", work.out, "--previous-seal", made_audit.out / "plan.sigstore.json")
    assert refused.returncode == 2
    assert "the previous seal is refused" in one_sentence(refused)
    assert not work.out.exists()
    assert run(work, tiny_model, "--plan-only", "--out", work.out, "--previous-seal", before).returncode == 0
    done = run(work, tiny_model, "--plan", work.out / "plan.sigstore.json")
    assert done.returncode == 0, done.stderr
    assert audits.seal_of(work.out).previous == digest
    found = audits.report(work)
    assert found.exit_code == 0
    assert any(digest in check.detail for check in found.checks if check.name == "previous seal")
    assert digest in (work.out / "index.html").read_text()


# -- killed -----------------------------------------------------------------------------------------------------------


def killed(tiny_model: Path, folder: Path, moments: list[int]) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("crashing.py")
    done = subprocess.run(
        [sys.executable, script, tiny_model, folder, *map(str, moments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(script.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_killed(found: list[dict[str, Any]]) -> None:
    """Killed anywhere: it does not verify unless it is whole, and goes on to end as if it had not been killed; or,
    before there was a plan, says that there is nothing to go on with."""
    for one in found:
        if one["ended"] == 0:
            assert (one["interrupted"], one["resumed"], one["equal"]) == (0, 2, True), one
        elif one["resumed"] == 2:
            assert one["cases"] == 0, one
            assert one["interrupted"] in {2, 20}, one
        else:
            assert one["ended"] == -9, one
            assert one["interrupted"] == 20 or one["cases"] == 2, one
            assert (one["resumed"], one["code"], one["equal"]) == (0, 0, True), one


def test_attack_52_killed_while_it_writes(tiny_model: Path, tmp_path: Path) -> None:
    found = killed(tiny_model, tmp_path, [2, 14, 20, 27, 38, 47, EVERY_CHANGE])
    check_killed(found)
    assert found[-1]["ended"] == 0, "there are more changes than this test knows"
    assert sum(one["resumed"] == 0 for one in found) >= 4


@pytest.mark.slow
def test_attack_52_killed_at_every_change_of_the_file_system(tiny_model: Path, tmp_path: Path) -> None:
    """At each rename, creation and removal that a batch makes, more than fifty of them."""
    found = killed(tiny_model, tmp_path, list(range(1, EVERY_CHANGE + 1)))
    check_killed(found)
    assert sum(one["ended"] == -9 for one in found) >= 50


@pytest.mark.slow
def test_attack_52_killed_at_moments_of_the_clock(work: Audit, tiny_model: Path) -> None:
    """The real program, killed and resumed until it ends; between two kills a little more time each."""
    options: tuple[str | Path, ...] = ("--out", work.out)
    for wait in (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 25.0, 40.0):
        command = [COMMAND, "run", "cases.yaml", "--model", tiny_model, "--format", "html", *options, "--key", work.key]
        process = subprocess.Popen([*map(str, command)], cwd=work.key.parent, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.returncode == 0:
            break
        if (work.out / "SHA256SUMS.sig").exists():  # killed when all was written, before it could say so
            break
        if (work.out / "plan.sigstore.json").exists():
            assert audits.report(work).exit_code in {20, 22}
            options = ("--out", work.out, "--resume")
        else:
            shutil.rmtree(work.out, ignore_errors=True)
            work.out.with_name("audit.salts").unlink(missing_ok=True)
        time.sleep(0.1)
    assert audits.report(work).exit_code == 0


def test_finished_cases_are_kept_and_looked_at(work: Audit, tiny_model: Path) -> None:
    """A finished case that was changed is not sealed; one that was removed is measured again."""
    assert run(work, tiny_model, "--out", work.out).returncode == 0
    salts = audits.content_of(work.case("first")).salt
    kept = {name: audits.content_of(work.case(name)).salt for name in ("first", "second", "third")}
    assert salts in kept.values()
    (work.out.with_name("audit.salts")).write_bytes(
        audits.canonical({"format": "attn-audit.salts/1", "salts": list(kept.values()), "previous": None})
    )
    evidence = (work.case("first") / "evidence.json").read_bytes()
    shutil.rmtree(work.case("third"))
    audits.flipped(work.case("second") / "evidence.json", 200, 1)
    refused = run(work, tiny_model, "--out", work.out, "--resume")
    assert refused.returncode == 20, refused.stderr
    assert "second is not as it was signed; remove it to have the case measured again" in one_sentence(refused)
    shutil.rmtree(work.case("second"))
    done = run(work, tiny_model, "--out", work.out, "--resume")
    assert done.returncode == 0, done.stderr
    assert "first: finished before, checked and kept" in done.stderr
    assert (work.case("first") / "evidence.json").read_bytes() == evidence
    assert audits.report(work).exit_code == 0


def sealed_and_stopped(work: Audit, model: Path) -> None:
    """An audit whose run was stopped: sealed, its third case skipped, its salts beside it."""
    assert run(work, model, "--out", work.out).returncode == 0
    seal, kept = (
        audits.seal_of(work.out),
        [audits.content_of(work.case(one)).salt for one in ("first", "second", "third")],
    )
    shutil.rmtree(work.case("third"))
    skipped = audits.changed(seal.cases[2], status="skipped", reason="stopped", attestation=None)
    audits.reseal(work.out, work.private, cases=(*seal.cases[:2], skipped), ok=2, skipped=1)
    salts = {"format": "attn-audit.salts/1", "salts": kept, "previous": None}
    work.out.with_name("audit.salts").write_bytes(audits.canonical(salts))
    assert audits.report(work).exit_code == 0


def test_a_stopped_run_is_sealed_again_when_it_has_gone_on(work: Audit, tiny_model: Path) -> None:
    sealed_and_stopped(work, tiny_model)
    done = run(work, tiny_model, "--resume", "--out", work.out)
    assert done.returncode == 0, done.stderr
    assert audits.report(work).exit_code == 0
    assert audits.seal_of(work.out).ok == 3


def test_what_cannot_be_gone_on_with_is_left_as_it_is(work: Audit, tiny_model: Path) -> None:
    """A damaged case is found before the seal is taken off."""
    sealed_and_stopped(work, tiny_model)
    audits.flipped(work.case("second") / "evidence.json", 200, 1)
    before = {path: path.read_bytes() for path in work.out.rglob("*") if path.is_file()}
    done = run(work, tiny_model, "--resume", "--out", work.out)
    assert done.returncode == 20
    assert before == {path: path.read_bytes() for path in work.out.rglob("*") if path.is_file()}


def test_an_audit_is_not_gone_on_with_once_content_was_withheld(work: Audit, tiny_model: Path) -> None:
    sealed_and_stopped(work, tiny_model)
    redact(work.out, "second", None, work.private, audits.host("later", datetime.now(UTC) + timedelta(hours=1)))
    done = run(work, tiny_model, "--resume", "--out", work.out)
    assert done.returncode == 2
    assert "without which it cannot be continued" in one_sentence(done)
    assert audits.report(work).exit_code == 3


@pytest.mark.parametrize("options", [("--plan", "plan.sigstore.json"), ("--resume", "--out", ".")])
def test_from_within_the_folder(work: Audit, tiny_model: Path, options: tuple[str, ...]) -> None:
    assert run(work, tiny_model, "--plan-only", "--out", work.out).returncode == 0
    with contextlib.chdir(work.out):
        done = completed("run", "../cases.yaml", "--model", tiny_model, "--format", "html", "--key", work.key, *options)
    assert done.returncode == 0, done.stderr
    assert audits.report(work).exit_code == 0
    assert not work.out.with_name("audit.salts").exists()


@pytest.mark.parametrize(
    "options",
    [("--plan", "x" * 5000), ("--resume", "--out", "x" * 300), ("--plan", "cases.yaml"), ("--out", "x" * 250)],
)
def test_paths_that_are_none(work: Audit, tiny_model: Path, options: tuple[str, ...]) -> None:
    done = run(work, tiny_model, *options)
    assert done.returncode in {2, 3}
    assert one_sentence(done)


def test_an_unsigned_case_that_was_changed_is_not_kept(work: Audit, tiny_model: Path) -> None:
    assert run(work, tiny_model, "--plan-only", "--out", work.out, key=False).returncode == 0
    salts = work.out.with_name("audit.salts").read_bytes()
    assert run(work, tiny_model, "--resume", "--out", work.out, key=False).returncode == 0
    work.out.with_name("audit.salts").write_bytes(salts)
    (work.case("first") / "extra.txt").write_text("x")
    done = run(work, tiny_model, "--resume", "--out", work.out, key=False)
    assert done.returncode == 20
    assert "first is not as it was signed" in one_sentence(done)


def test_an_unsigned_run_goes_on_too(work: Audit, tiny_model: Path) -> None:
    assert run(work, tiny_model, "--plan-only", "--out", work.out, key=False).returncode == 0
    done = run(work, tiny_model, "--resume", "--out", work.out, key=False)
    assert done.returncode == 0, done.stderr
    assert audits.report(work).exit_code == 21


@pytest.mark.slow
@pytest.mark.model
def test_a_plan_for_the_real_model_is_run_later(work: Audit) -> None:
    question = (
        "run",
        "--prompt",
        "Is a whale a fish?",
        "--model",
        "smollm2",
        "--units",
        "sentence",
        "--checks",
        "none",
    )
    command = [COMMAND, *question, "--format", "html", "--key", work.key]
    for options in (("--plan-only", "--out", work.out), ("--plan", work.out / "plan.sigstore.json")):
        done = subprocess.run(
            [*map(str, (*command, *options))], cwd=work.key.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert audits.report(work).exit_code == 0
