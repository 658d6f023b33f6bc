"""The command line as a user meets it: what it takes and refuses, what it prints where, and how it ends."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

import audits
import tiny
from attn_audit import batch
from attn_audit.audit import Terms, audit_case
from attn_audit.cli.main import main
from attn_audit.evidence.errors import Incomplete
from attn_audit.evidence.measured import Evidence, Tool
from attn_audit.evidence.records import (
    BatchInfo,
    Case,
    Message,
)
from attn_audit.evidence.settings import Settings
from attn_audit.evidence.statements import Seal
from attn_audit.measure import sweep
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest
from audits import Audit, flipped
from command_line import Ended

COMMAND = str(Path(sys.executable).with_name("attn-audit"))
ONE_CASE = 'settings: {max_new_tokens: 2}\ncases:\n  - {id: one, prompt: "Is the loan approved?"}\n'
HIDDEN = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x200B)} - {"\n", "\t"}
Run = Callable[..., Ended]


@pytest.fixture
def attn_audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """``attn_audit("run", ...)``: the command in this process, in an empty folder and without our variables."""
    for name in [name for name in os.environ if name.startswith("ATTN_AUDIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["attn-audit", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ended(ended.value.code or 0, printed.out, printed.err)  # type: ignore[arg-type]

    return run


def case_file(text: str = ONE_CASE, name: str = "cases.yaml") -> Path:
    """In the working folder, which is the test's own."""
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def model_flags(tiny_model: Path) -> tuple[str, ...]:
    return ("--model", str(tiny_model), "--format", "html")


# -- what can be typed ------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_and_what_each_takes(attn_audit: Run) -> None:
    helped = attn_audit("--help")
    assert helped.code == 0
    for command in ("run", "verify", "show", "keygen", "model", "schema"):
        assert command in helped.out
        assert attn_audit(command, "--help").code == 0
    assert "--passphrase-fd" in attn_audit("run", "--help").out


def test_no_arguments_print_the_help(attn_audit: Run) -> None:
    ended = attn_audit()
    assert "Usage" in ended.out + ended.err
    assert ended.code in {0, 2}


def test_version(attn_audit: Run) -> None:
    assert attn_audit("--version").out.startswith("attn-audit 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("run", "--nonsense"),
        ("nonsense",),
        ("verify",),
        ("keygen", "key"),
        ("schema", "nonsense"),
        ("run", "--passphrase-fd", "x", "--prompt", "x"),
        ("show", "x", "--top", "0"),
        ("run", "a.yaml", "b.yaml"),
        ("run", "--\x1b[2J\u202e"),
    ],
)
def test_wrong_usage_is_2_and_one_sentence(attn_audit: Run, arguments: tuple[str, ...]) -> None:
    ended = attn_audit(*arguments)
    assert ended.code == 2
    assert re.search(r"attn-audit (\w+ )?--help lists what can be typed", ended.sentence)
    assert not HIDDEN & set(ended.err)


@pytest.mark.parametrize("arguments", [("run",), ("run", "a.yaml", "--prompt", "x"), ("run", "-", "--prompt", "x")])
def test_run_needs_exactly_one_source_of_cases(attn_audit: Run, arguments: tuple[str, ...]) -> None:
    ended = attn_audit(*arguments)
    assert ended.code == 2
    assert "exactly one of them" in ended.sentence


def test_run_has_no_default_model(attn_audit: Run) -> None:
    ended = attn_audit("run", case_file())
    assert ended.code == 2
    assert ended.sentence.startswith("no model: give --model PATH")


@pytest.mark.parametrize("arguments", [(), ("--trust", "a", "--public-key", "b")])
def test_verify_needs_to_know_whom_to_trust(attn_audit: Run, made_audit: Audit, arguments: tuple[str, ...]) -> None:
    ended = attn_audit("verify", made_audit.out, *arguments)
    assert ended.code == 2
    assert "say whom you trust" in ended.sentence


def test_schemas_are_json_schemas(attn_audit: Run, made_audit: Audit) -> None:
    for kind in ("case", "evidence"):
        schema = json.loads(attn_audit("schema", kind).out)
        jsonschema.Draft202012Validator.check_schema(schema)
    evidence = json.loads((made_audit.case("first") / "evidence.json").read_bytes())
    jsonschema.validate(evidence, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(evidence | {"verdict": "fair"}, schema)


# -- what is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[str, str]] = {
    "empty": ("", "the case file is empty"),
    "no YAML": ("cases: [", "cases.yaml"),
    "unknown field": (ONE_CASE.replace("prompt:", "promt:"), "promt"),
    "unknown field of the file": ("verdict: fair\n" + ONE_CASE, "verdict"),
    "duplicate id": (ONE_CASE + '  - {id: one, prompt: "Again?"}\n', "it repeats"),
    "id ../x": (ONE_CASE.replace("one", "../x"), "is not allowed"),
    "id with an escape": (ONE_CASE.replace("one", '"\\e[2J"'), "is not allowed"),
    "no cases": ("cases: []\n", "cases"),
    "unknown setting": (ONE_CASE.replace("max_new_tokens", "max_tokens"), "max_tokens"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_case_files_that_are_refused(attn_audit: Run, tiny_model: Path, name: str) -> None:
    text, expected = REFUSED[name]
    ended = attn_audit("run", case_file(text), *model_flags(tiny_model), "--out", "out")
    assert ended.code == 2
    assert expected in ended.sentence
    assert not HIDDEN & set(ended.err)
    assert not Path("out").exists()


def test_no_such_case_file(attn_audit: Run) -> None:
    ended = attn_audit("run", "nothing.yaml", "--model", "smollm2")
    assert ended.code == 2
    assert "there is no such case file" in ended.sentence


def test_no_such_model(attn_audit: Run) -> None:
    ended = attn_audit("run", case_file(), "--model", "some/model")
    assert ended.code == 2
    assert "model some/model does not exist" in ended.sentence


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "dangling link"])
def test_attack_50_output_folder_that_exists(attn_audit: Run, tiny_model: Path, kind: str) -> None:
    if kind == "file":
        Path("out").write_text("precious")
    elif kind == "dangling link":
        Path("out").symlink_to("nowhere")
    else:
        Path("out").mkdir()
        if kind == "folder":
            Path("out/precious").write_text("x")
    ended = attn_audit("run", case_file(), *model_flags(tiny_model), "--out", "out")
    assert ended.code == 2
    assert "output folder out exists already" in ended.sentence
    assert sorted(path.name for path in Path().rglob("*")) == sorted(
        ["cases.yaml", "out", *(["precious"] if kind == "folder" else [])]
    )


def test_output_folder_that_cannot_be_made(attn_audit: Run, tiny_model: Path) -> None:
    Path("file").write_text("x")
    ended = attn_audit("run", case_file(), *model_flags(tiny_model), "--out", "file/out", "--quiet")
    assert ended.code == 2
    assert "cannot be made" in ended.sentence


def test_keys_that_are_refused(attn_audit: Run, tiny_model: Path) -> None:
    Path("folder").mkdir()
    readable = audits.key(Path(), "readable")
    readable.chmod(0o644)
    for key, reason in (("folder", "is not a file"), ("nothing", "cannot be read"), ("readable", "chmod 600")):
        ended = attn_audit("run", case_file(), *model_flags(tiny_model), "--key", key, "--out", "out")
        assert ended.code == 2
        assert reason in ended.sentence
        assert not Path("out").exists()


def test_keygen_and_its_passphrase(attn_audit: Run, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    made = attn_audit("keygen", "plain", "--identity", audits.PRINCIPAL, "--no-passphrase")
    assert (made.code, made.out.split()) == (0, ["plain", "plain.pub.pem", "plain.allowed_signers"])
    assert "key id" in made.err
    assert attn_audit("keygen", "plain", "--identity", audits.PRINCIPAL, "--no-passphrase").code == 2
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        refused = attn_audit("keygen", "locked", "--identity", audits.PRINCIPAL)
        assert (refused.code, "needs a passphrase" in refused.sentence) == (2, True)
    monkeypatch.setenv("ATTN_AUDIT_KEY_PASSPHRASE", "")
    assert "the passphrase is empty" in attn_audit("keygen", "locked", "--identity", audits.PRINCIPAL).sentence
    assert not Path("locked").exists()
    monkeypatch.setenv("ATTN_AUDIT_KEY_PASSPHRASE", "right")
    assert attn_audit("keygen", "locked", "--identity", audits.PRINCIPAL).code == 0
    monkeypatch.setenv("ATTN_AUDIT_KEY_PASSPHRASE", "wrong")
    ended = attn_audit("run", case_file(), *model_flags(tiny_model), "--key", "locked", "--out", "out")
    assert ended.code == 2
    assert "wrong passphrase" in ended.sentence
    assert not Path("out").exists()


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["flag", "environment", "case file"])
@pytest.mark.parametrize(
    ("name", "value"), [("units", "syllable"), ("threads", "0"), ("seed", "-1"), ("format", "doc")]
)
def test_wrong_values_name_setting_and_origin(
    attn_audit: Run, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, origin: str, name: str, value: str
) -> None:
    flags = [f"--{name}", value] if origin == "flag" else []
    if origin == "environment":
        monkeypatch.setenv(f"ATTN_AUDIT_{name.upper()}", value)
    text = ONE_CASE.replace("settings: {", f"settings: {{{name}: {value}, ") if origin == "case file" else ONE_CASE
    ended = attn_audit("run", case_file(text), "--model", str(tiny_model), *flags)
    assert ended.code == 2
    assert name in ended.sentence
    assert f"(from the {origin}) is refused" in ended.sentence


def test_flag_before_environment_before_case_file(
    attn_audit: Run, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    text = f"model: {tiny_model}\n" + ONE_CASE.replace("settings: {", "settings: {units: sentence, seed: 1, ")
    monkeypatch.setenv("ATTN_AUDIT_FORMAT", "html")
    monkeypatch.setenv("ATTN_AUDIT_SEED", "2")
    monkeypatch.setenv("ATTN_AUDIT_UNITS", "paragraph")
    ended = attn_audit("run", case_file(text), "--units", "token", "--out", "out")
    assert ended.code == 0, ended.err
    evidence = audits.evidence_of(Path("out/cases/one"))
    recorded = {setting.name: (setting.value, setting.origin) for setting in evidence.settings}
    assert recorded["units"] == ("token", "flag")
    assert recorded["seed"] == ("2", "environment")
    assert recorded["format"] == ("html", "environment")
    assert recorded["max_memory"] == ("8.0", "default")
    assert recorded["model"] == (tiny_model.name, "case file")
    assert "threads" not in recorded, "what the machine decides stands in run"
    assert evidence.method.units == "token"
    assert not evidence.method.default


# -- a run ------------------------------------------------------------------------------------------------------------


def test_stdout_carries_only_the_folder(attn_audit: Run, tiny_model: Path) -> None:
    audits.key(Path())
    ended = attn_audit("run", case_file(), *model_flags(tiny_model), "--key", "key", "--out", "out")
    assert (ended.code, ended.out) == (0, "out\n")
    assert "next: attn-audit verify out --trust key.allowed_signers" in ended.err
    assert "UNSIGNED" not in ended.err
    quiet = attn_audit("run", case_file(), *model_flags(tiny_model), "--key", "key", "--out", "quiet", "--quiet")
    assert quiet == Ended(0, "quiet\n", "")
    done = attn_audit("verify", "out", "--trust", "key.allowed_signers")
    assert done.code == 0
    assert "VERIFIED: nothing was changed" in done.out
    assert "0 failed" in done.out


def test_the_folder_is_named_after_time_and_plan(attn_audit: Run, tiny_model: Path) -> None:
    ended = attn_audit("run", case_file(), *model_flags(tiny_model), "--quiet")
    [folder] = Path().glob("audit-*")
    assert ended.out == f"{folder}\n"
    assert len(folder.name) == len("audit-20261122T090000Z-01234567")


def test_one_question(attn_audit: Run, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    question = "Is the loan approved?"
    assert attn_audit("run", "--prompt", question, *model_flags(tiny_model), "--out", "flag").code == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(question.encode() + b"\n")))
    assert attn_audit("run", "-", *model_flags(tiny_model), "--out", "stdin").code == 0
    for folder in ("flag", "stdin"):
        [message] = audits.content_of(Path(folder) / "cases" / "prompt").case.messages
        assert message.content == question


@pytest.mark.parametrize(("data", "reason"), [(b"\xff", "not valid UTF-8"), (b"", "is empty"), (b" \n", "is empty")])
def test_questions_on_stdin_that_are_refused(
    attn_audit: Run, monkeypatch: pytest.MonkeyPatch, data: bytes, reason: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    ended = attn_audit("run", "-", "--model", "smollm2")
    assert ended.code == 2
    assert reason in ended.sentence


def test_an_unsigned_audit_says_so_everywhere(attn_audit: Run, tiny_model: Path) -> None:
    ended = attn_audit("run", case_file(), *model_flags(tiny_model), "--out", "out")
    assert ended.code == 0
    assert "this audit is UNSIGNED" in ended.err
    for page in ("index.html", "cases/one/report.html"):
        assert "unsigned" in (Path("out") / page).read_text(encoding="utf-8").lower()
    assert {path.name for path in Path("out").glob("*.json")} == {
        "plan.unsigned.json",
        "seal.unsigned.json",
        "model.manifest.json",
    }
    audits.key(Path())
    verified = attn_audit("verify", "out", "--trust", "key.allowed_signers")
    assert verified.code == 21
    assert "no trusted signer" in verified.out
    assert attn_audit("show", "out").code == 0


def test_attack_49_prompt_longer_than_the_context(attn_audit: Run, tiny_model: Path) -> None:
    audits.key(Path())
    long = "loan " * 800
    text = ONE_CASE + f'  - {{id: long, prompt: "{long}"}}\n  - {{id: last, prompt: "And now?"}}\n'
    ended = attn_audit("run", case_file(text), *model_flags(tiny_model), "--key", "key", "--out", "out")
    assert ended.code == 3
    assert ended.out == "out\n"
    assert ended.err.strip().splitlines()[-1].startswith("error: 1 of 3 cases failed, 0 were skipped")
    assert sorted(path.name for path in Path("out/cases").iterdir()) == ["last", "one"]
    assert not list(Path("out").glob(".pending*"))
    seal = audits.seal_of(Path("out"))
    assert [case.status for case in seal.cases] == ["ok", "failed", "ok"]
    assert "the model's context holds 512; shorten the prompt" in (seal.cases[1].reason or "")
    assert attn_audit("verify", "out", "--trust", "key.allowed_signers").code == 0
    assert "long" in Path("out/index.html").read_text(encoding="utf-8")


def test_attack_39_nothing_reaches_the_terminal_as_a_command(attn_audit: Run, tiny_model: Path) -> None:
    hostile = r"\e[2J\e]52;c;aGk=\a [red]approved[/red] \u202E\u200B :: set-output"
    text = ONE_CASE.replace("Is the loan approved?", hostile).replace("cases:", 'title: "\\e[31mred"\ncases:')
    ended = attn_audit("run", case_file(text), *model_flags(tiny_model), "--out", "out")
    assert ended.code == 0, ended.err
    assert not HIDDEN & set(ended.out + ended.err)
    shown = attn_audit("show", "out")
    assert shown.code == 0
    assert "[red]" in shown.out
    assert not HIDDEN & set(shown.out + shown.err)
    audits.key(Path())
    Path("out/cases/one/\x1b[2J\u202e").write_text("x")
    Path(os.fsdecode(b"out/cases/\xff\x1b")).mkdir()
    for flags in ((), ("--json",)):
        verified = attn_audit("verify", "out", "--trust", "key.allowed_signers", *flags)
        assert verified.code == 21
        assert not HIDDEN & set(verified.out + verified.err)


def test_attack_39_name_of_the_model(attn_audit: Run, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, "evil\x1b[2J")
    for command in (
        ("model", "evil\x1b[2J"),
        ("run", "--prompt", "x", "--out", "out", *model_flags(Path("evil\x1b[2J"))),
    ):
        ended = attn_audit(*command)
        assert ended.code == 0, ended.err
        assert not HIDDEN & set(ended.out + ended.err)


def test_show_fits_a_narrow_terminal(attn_audit: Run, made_audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attn_audit.cli.show.stdout", lambda: Console(width=80, highlight=False))
    shown = attn_audit("show", made_audit.out, "--case", "first", "--top", "2")
    assert shown.code == 0
    assert "signature not checked here" in " ".join(shown.out.split())
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    every = attn_audit("show", made_audit.out)
    assert all(case_id in every.out for case_id in ("first", "second", "third"))
    missing = attn_audit("show", made_audit.out, "--case", "fourth")
    assert (missing.code, "there are: first, second, third" in missing.sentence) == (2, True)


def test_show_of_a_changed_audit(attn_audit: Run, audit: Audit) -> None:
    flipped(audit.case("first") / "evidence.json", 100, 1)
    ended = attn_audit("show", audit.out)
    assert ended.code == 20
    assert ended.sentence.startswith("first: digests: evidence.json changed since signing")


def test_verify_as_json(attn_audit: Run, audit: Audit) -> None:
    ended = attn_audit("verify", audit.out, "--public-key", audit.pem, "--json")
    assert ended.code == json.loads(ended.out)["exit_code"] == 0
    flipped(audit.case("first") / "evidence.json", 100, 1)
    ended = attn_audit("verify", audit.out, "--public-key", audit.pem, "--json")
    said = json.loads(ended.out)
    assert ended.code == said["exit_code"] == 20
    failed = [(check["subject"], check["name"]) for check in said["checks"] if check["outcome"] == "failed"]
    assert failed == [("first", "digests"), ("batch", "SHA256SUMS")]


def test_model(attn_audit: Run, tiny_model: Path) -> None:
    ended = attn_audit("model", tiny_model)
    assert ended.code == 0
    assert "LlamaForCausalLM" in ended.out
    assert "supported" in ended.out
    for path in tiny_model.iterdir():
        assert path.name in ended.out
    assert attn_audit("model", "nothing").code == 2


# -- the batch goes on, or ends whole ---------------------------------------------------------------------------------


def without_key(folder: Path, model: Path, **options: Any) -> batch.Order:
    folder.mkdir(exist_ok=True)
    (folder / "cases.yaml").write_text(audits.THREE_CASES)
    return audits.order(folder / "cases.yaml", model, audits.key(folder), folder / "audit", format="html", **options)


def test_attack_48_scores_that_are_not_numbers(tmp_path: Path) -> None:
    """One damaged embedding, of a letter that only the second case holds."""
    model = tiny.folder(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    [token] = tiny.tokenizer()("Q", add_special_tokens=False)["input_ids"]
    weights["model.embed_tokens.weight"][token] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    cases = audits.THREE_CASES.replace("is low", "is Q")
    seal = audits.make(tmp_path / "work", model, None, cases=cases).seal
    assert [case.status for case in seal.cases] == ["ok", "failed", "ok"]
    assert "not a number" in (seal.cases[1].reason or "")
    assert not (tmp_path / "work/audit/cases/second").exists()


def test_a_sweep_that_is_not_a_number(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sweep.log_probabilities
    monkeypatch.setattr(sweep, "log_probabilities", lambda *arguments: found(*arguments) * float("nan"))
    seal = batch.run(without_key(tmp_path / "work", tiny_model), audits.host(), batch.Watch()).seal
    assert [case.status for case in seal.cases] == ["failed"] * 3
    assert seal.cases[0].reason is not None
    assert "a score is not a number" in seal.cases[0].reason


class Raising(batch.Watch):
    """Something happens in the middle of the sweep of the second case."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def units(self, case: Case, done: int, total: int) -> None:
        if case.id == "second":
            raise self.error


def test_interrupted_in_a_sweep(tmp_path: Path, tiny_model: Path) -> None:
    order = without_key(tmp_path / "work", tiny_model)
    with pytest.raises(KeyboardInterrupt):
        batch.run(order, audits.host(), Raising(KeyboardInterrupt()))
    out = tmp_path / "work/audit"
    assert [path.name for path in (out / "cases").iterdir()] == ["first"]
    assert sorted(path.name for path in out.iterdir()) == ["cases", "model.manifest.json", "plan.sigstore.json"]
    assert out.with_name("audit.salts").exists(), "so that the run can go on"
    key = tmp_path / "work/key"
    assert audits.report(Audit(out / "cases/first", key)).exit_code == 0
    assert audits.report(Audit(out, key)).exit_code == 20, "a batch without its seal is not whole"


class Stopping(batch.Watch):
    """A stop is asked for in the middle of the sweep of the second case."""

    def __init__(self) -> None:
        self.asked = False

    def stop_requested(self) -> bool:
        return self.asked

    def units(self, case: Case, done: int, total: int) -> None:
        self.asked = self.asked or case.id == "second"


def test_stopped_in_a_sweep(tmp_path: Path, tiny_model: Path) -> None:
    order = without_key(tmp_path / "work", tiny_model)
    finished = batch.run(order, audits.host(), Stopping())
    assert [case.status for case in finished.seal.cases] == ["ok", "skipped", "skipped"]
    assert (finished.seal.ok, finished.seal.skipped) == (1, 2)
    assert [path.name for path in (finished.out / "cases").iterdir()] == ["first"]
    assert not list(finished.out.glob(".pending*"))
    assert audits.report(Audit(finished.out, tmp_path / "work/key")).exit_code == 0


def test_attack_55_out_of_memory_in_a_sweep(tmp_path: Path, tiny_model: Path) -> None:
    order = without_key(tmp_path / "work", tiny_model)
    finished = batch.run(order, audits.host(), Raising(MemoryError()))
    assert [case.status for case in finished.seal.cases] == ["ok", "failed", "ok"]
    assert "out of memory" in (finished.seal.cases[1].reason or "")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing beyond ``size`` bytes of a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [500, 1500])
def test_attack_52_disk_full_before_the_first_case(tmp_path: Path, tiny_model: Path, size: int) -> None:
    order = without_key(tmp_path / "work", tiny_model)
    with (
        largest_file(size),
        pytest.raises(Incomplete, match=r"cannot be written: File too large; nothing half written"),
    ):
        batch.run(order, audits.host(), batch.Watch())
    assert all(path.stat().st_size <= size for path in (tmp_path / "work/audit").rglob("*") if path.is_file())
    assert not list((tmp_path / "work/audit").rglob(".pending*"))


def test_attack_52_disk_full_in_a_case(tmp_path: Path, tiny_model: Path) -> None:
    order = without_key(tmp_path / "work", tiny_model)
    with largest_file(32_000):
        finished = batch.run(order, audits.host(), batch.Watch())
    assert [case.status for case in finished.seal.cases] == ["failed"] * 3
    assert "report.html cannot be written: File too large" in (finished.seal.cases[0].reason or "")
    assert not list((finished.out / "cases").iterdir())
    assert not list(finished.out.rglob(".pending*"))
    assert audits.report(Audit(finished.out, tmp_path / "work/key")).exit_code == 0


# -- the same again ---------------------------------------------------------------------------------------------------


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, tiny_model: Path) -> None:
    private = audits.key(tmp_path)
    one, two = (audits.make(tmp_path / name, tiny_model, private).out for name in ("one", "two"))
    assert {"cases/first/evidence.json", "cases/first/report.html"} < files(one).keys()
    assert files(one) == files(two)


def test_only_run_depends_on_the_moment(tmp_path: Path, tiny_model: Path) -> None:
    later = dataclasses.replace(
        audits.host(start=audits.START + timedelta(days=1)), timer=iter(range(99)).__next__, facts=(("system", "x"),)
    )
    one = audits.make(tmp_path / "one", tiny_model, None).out
    two = audits.make(tmp_path / "two", tiny_model, None, world=later).out
    for case_id in ("first", "second", "third"):
        first, second = (audits.evidence_of(out / "cases" / case_id) for out in (one, two))
        assert first.run != second.run
        assert first.plan != second.plan, "the plan says when it was made"
        assert audits.changed(first, run=second.run, plan=second.plan) == second
        assert files(one / "cases" / case_id)["content.json"] == files(two / "cases" / case_id)["content.json"]


# -- processes: signals and full disks --------------------------------------------------------------------------------


@contextmanager
def started(folder: Path, model: Path, count: int, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The installed command on many cases, in a process of its own."""
    cases = "".join(f'  - {{id: case-{n}, prompt: "{"The income is high. " * 12}"}}\n' for n in range(count))
    (folder / "cases.yaml").write_text("settings: {max_new_tokens: 4}\ncases:\n" + cases)
    command = [COMMAND, "run", "cases.yaml", "--model", str(model), "--key", str(audits.key(folder)), "--out", "out"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTN_AUDIT_")}
    process = subprocess.Popen(
        [*command, "--format", "html", "--threads", "1"],
        cwd=folder,
        env=environment | {"COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def after_cases(process: subprocess.Popen[str], count: int) -> None:
    """Wait for the lines of ``count`` finished cases."""
    assert process.stderr is not None
    for line in process.stderr:
        count -= line.startswith("case-")
        if not count:
            return
    raise AssertionError("the process ended before its cases did")


def test_ctrl_c_leaves_finished_cases_that_verify(tmp_path: Path, tiny_model: Path) -> None:
    with started(tmp_path, tiny_model, 300) as process:
        after_cases(process, 3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert out == ""
    assert err.strip().splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in err
    found = tmp_path / "out"
    assert sorted(path.name for path in found.iterdir()) == ["cases", "model.manifest.json", "plan.sigstore.json"]
    finished = sorted((found / "cases").iterdir())
    assert 3 <= len(finished) < 300
    for folder in finished:
        assert audits.report(Audit(folder, tmp_path / "key")).exit_code == 0


def test_attack_52_sigterm_seals_what_is_finished(tmp_path: Path, tiny_model: Path) -> None:
    with started(tmp_path, tiny_model, 300) as process:
        after_cases(process, 2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert process.returncode == 3, err
    assert out == "out\n"
    assert "were skipped; the rest is done and sealed" in err
    seal = audits.opened(tmp_path / "out/seal.sigstore.json", Seal).predicate
    assert 2 <= seal.ok < 300
    assert (seal.failed, seal.skipped) == (0, 300 - seal.ok)
    assert audits.report(Audit(tmp_path / "out", tmp_path / "key")).exit_code == 0


def test_attack_52_full_disk_is_3_and_one_sentence(tmp_path: Path, tiny_model: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    with started(tmp_path, tiny_model, 1, preexec_fn=limit) as process:
        out, err = process.communicate()
    assert process.returncode == 3, err
    assert out == ""
    [error] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "model.manifest.json cannot be written: File too large; nothing half written is left" in error
    assert not (tmp_path / "out.salts").exists()
    assert "Traceback" not in err
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


# -- the real model ---------------------------------------------------------------------------------------------------


@pytest.mark.model
class TestRealModel:
    """The two drivers of sample_cases/lending.yaml; all of its cases run in tests/test_policies.py."""

    @pytest.fixture
    def real(self, real_audit: Audit, tmp_path: Path) -> Audit:
        return real_audit.copied_to(tmp_path / "real")

    def test_run_and_verify(self, real_audit: Audit) -> None:
        found = audits.report(real_audit)
        assert audits.failures(found) == {}
        answers = {case_id: case.content.answer.text for case_id, case in found.cases.items()}
        assert set(answers) == {"driver-car", "driver-8010"}
        assert "denied" in answers["driver-car"]
        assert "approved" in answers["driver-8010"]

    def test_one_byte_changed_is_20(self, real: Audit) -> None:
        for path in sorted(real.out.glob("cases/*/*")):
            before = flipped(path, path.stat().st_size // 2, 1)
            assert audits.report(real).exit_code == 20, path
            path.write_bytes(before)
        assert audits.report(real).exit_code == 0

    def test_another_key_is_21(self, real_audit: Audit, tmp_path: Path) -> None:
        other = audits.key(tmp_path)
        assert audits.report(real_audit, other.with_name("key.allowed_signers")).exit_code == 21

    def test_case_removed_is_22(self, real: Audit) -> None:
        shutil.rmtree(real.case("driver-8010"))
        assert audits.report(real).exit_code == 22

    def test_supplied_and_observed_answer(self, smollm2: Any) -> None:
        """The model's own answer is recorded beside the supplied one, and what production said is compared with it."""
        asked = Case(
            id="paris",
            messages=(Message(role="user", content="What is the capital of France?"),),
            answer="The capital of France is Lyon.",
            observed_answer="The capital of France is Paris.",
            max_new_tokens=12,
        )
        content, evidence = measured(smollm2, asked)
        assert content.own_answer is not None
        assert "Paris" in content.own_answer
        assert content.answer.text == asked.answer
        assert (evidence.answer.source, evidence.answer.stop) == ("supplied", "supplied")
        observed = evidence.answer.observed
        assert observed is not None
        assert observed.reproduced == (content.own_answer.strip() == asked.observed_answer)
        assert observed.log_probability > sum(evidence.answer.base), "Paris is likelier than Lyon"


def measured(model: Any, case: Case) -> tuple[Any, Evidence]:
    """One case, measured in this process."""
    terms = Terms(
        tool=Tool(version="0"),
        plan="00" * 32,
        signer=None,
        settings=Settings(),
        recorded=(),
        batch=BatchInfo(),
        templates=template_digest(),
        limits=limits_version(),
    )
    return audit_case(model, case, terms, "11" * 32, audits.host(), lambda done, total: None)
