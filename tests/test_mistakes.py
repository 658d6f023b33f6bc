"""The mistakes that people make first, each tried on the command line: what they read says what is wrong, where, and
what to do; it ends with the documented code; and nothing is left behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest

import tiny
from attn_audit.reports import pdf
from audits import Audit
from command_line import call

ONE = 'settings: {max_new_tokens: 2}\ncases:\n  - {id: one, prompt: "Is the loan approved?"}\n'
RUN = ("run", "cases.yaml", "--model", "tiny", "--format", "html")
NO_PDF = "PDF reports need WeasyPrint; on Debian or Ubuntu: sudo apt-get install libpango-1.0-0"


@dataclass(frozen=True)
class Mistake:
    """``says``: parts of the last line, in this order. ``leaves``: the audit that is made all the same."""

    typed: tuple[str, ...]
    says: tuple[str, ...]
    code: int = 2
    cases: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    leaves: tuple[str, ...] = ()
    with_: Callable[[], AbstractContextManager[object]] = nullcontext


def run(*more: str) -> tuple[str, ...]:
    return (*RUN, *more)


MISTAKES = {
    "no model": Mistake(("run", "cases.yaml"), ("no model", "give --model PATH")),
    "a model of a hub": Mistake(
        ("run", "cases.yaml", "--model", "org/model-1b"),
        ("model org/model-1b does not exist", "give a local folder", "nothing is downloaded"),
    ),
    "a model that cannot be audited": Mistake(
        ("run", "cases.yaml", "--model", "mamba"),
        ("MambaForCausalLM is refused", "recurrent", "its map would be meaningless"),
    ),
    "a case file that is not there": Mistake(
        ("run", "case.yaml", "--model", "tiny"), ("case.yaml: there is no such case file",)
    ),
    "a question instead of a case file": Mistake(
        ("run", "Is a whale a fish?", "--model", "tiny"), ("must end in .yaml, .yml or .jsonl", "--prompt TEXT")
    ),
    "a typo in a field": Mistake(
        RUN,
        ("cases.yaml, line 3", 'unknown field "promt" in case "one"', "allowed here:", "is prompt meant?"),
        cases=ONE.replace("prompt", "promt"),
    ),
    "another column": Mistake(
        RUN, ("cases.yaml, line 3", "begins in another column"), cases="cases:\n  - id: one\n   prompt: hello\n"
    ),
    "a tab": Mistake(
        RUN, ("cases.yaml, line 2", "indent with spaces, not with tabs"), cases="cases:\n\t- {id: one, prompt: hello}\n"
    ),
    "a colon in a text": Mistake(
        RUN,
        ("cases.yaml, line 3", 'text that holds ": " needs quotes'),
        cases="cases:\n  - id: one\n    prompt: Say this: yes or no?\n",
    ),
    "a brace that is not closed": Mistake(
        RUN, ("cases.yaml, line 2", "is not closed"), cases="cases:\n  - {id: one, prompt: hello\n"
    ),
    "a bad line of JSON Lines": Mistake(
        ("run", "bad.jsonl", "--model", "tiny"), ("bad.jsonl, line 2: not valid JSON at column 26",)
    ),
    "rows that are not there": Mistake(
        RUN,
        ("cases.yaml, line 3", 'there is no file "applicants.csv" in the folder of the case file'),
        cases='cases:\n  - template: "Earns {income}."\n    rows: applicants.csv\n',
    ),
    "a field of the template that is not given": Mistake(
        RUN,
        ("cases.yaml, line 4", 'uses the field "income", which is not given'),
        cases='cases:\n  - id: one\n    template: "Earns {income}."\n    fields: {incom: 1}\n',
    ),
    "a contrast that is the answer": Mistake(
        run("--out", "new"),
        ("1 of 1 cases failed", "the rest is done and sealed"),
        code=3,
        cases='cases:\n  - {id: one, prompt: hello, answer: "yes", contrast: "yes"}\n',
        leaves=("new",),
    ),
    "a prompt that is too long": Mistake(
        run("--out", "new"),
        ("1 of 1 cases failed",),
        code=3,
        cases=f'cases:\n  - {{id: one, prompt: "{"word " * 600}"}}\n',
        leaves=("new",),
    ),
    "a setting that is none": Mistake(
        run("--units", "words"), ("setting units = 'words' (from the flag) is refused", "choose one of token, word")
    ),
    "a device that is none": Mistake(run("--device", "gpu"), ("setting device = 'gpu'", "choose auto, cpu, cuda")),
    "a variable that is wrong": Mistake(
        RUN,
        ("setting units = 'words' (from the environment) is refused", "choose one of"),
        environment={"ATTN_AUDIT_UNITS": "words"},
    ),
    "a variable that sets nothing": Mistake(
        run("--layers", "x"),
        ("setting layers = 'x'", "like 0:12"),
        environment={"ATTN_AUDIT_UNIT": "words"},
    ),
    "an output folder that exists": Mistake(
        run("--out", "audit"), ("output folder audit exists already", "name another, or go on with it by --resume")
    ),
    "an output folder below a file": Mistake(
        run("--out", "cases.yaml/new"), ("output folder cases.yaml/new cannot be made: Not a directory", "name another")
    ),
    "a file of results in no folder": Mistake(
        run("--junit", "ci/junit.xml"), ("ci/junit.xml cannot be written", "its folder does not exist", "name another")
    ),
    "a condition that is none": Mistake(run("--fail-on", "policies"), ("--fail-on takes policy, unsupported",)),
    "a condition that nothing can meet": Mistake(
        run("--fail-on", "policy"), ("no case has a policy", "state one, or leave it out")
    ),
    "a key that is not there": Mistake(
        run("--key", "kee"), ("key kee cannot be read", "give the private key that 'attn-audit keygen' wrote")
    ),
    "a public key to sign with": Mistake(
        run("--key", "key.pub.pem"), ("key key.pub.pem is a public key", "give the private key")
    ),
    "a wrong passphrase": Mistake(
        run("--key", "locked"),
        ("key locked cannot be opened: wrong passphrase",),
        environment={"ATTN_AUDIT_KEY_PASSPHRASE": "wrong"},
    ),
    "no passphrase": Mistake(run("--key", "locked"), ("needs a passphrase", "set ATTN_AUDIT_KEY_PASSPHRASE or give")),
    "a key that exists": Mistake(
        ("keygen", "key", "--identity", "a@bank.example", "--no-passphrase"),
        ("key exists already", "never overwritten, choose another path"),
    ),
    "nobody to sign": Mistake(
        ("keygen", "new", "--no-passphrase"), ("Missing option '--identity'", "attn-audit keygen --help")
    ),
    "a report alone": Mistake(
        ("verify", "audit/cases/first/report.html", "--trust", "key.allowed_signers"),
        ("report.html is neither", "but a file", "give the audit folder, or one case in it"),
    ),
    "what is no audit": Mistake(
        ("verify", "tiny", "--trust", "key.allowed_signers"), ("tiny is neither an audit folder nor a case in one",)
    ),
    "nobody trusted": Mistake(("verify", "audit"), ("say whom you trust: --trust FILE", "--public-key FILE")),
    "a private key to trust": Mistake(
        ("verify", "audit", "--trust", "key"), ("key is a private key", "nobody needs it to verify", ".allowed_signers")
    ),
    "a private key as the public one": Mistake(
        ("verify", "audit", "--public-key", "key"), ("key is a private key", "nobody needs it to verify")
    ),
    "a key where signers are asked for": Mistake(
        ("verify", "audit", "--trust", "key.pub.pem"), ("key.pub.pem is a key in PEM", "give it with --public-key")
    ),
    "signers where a key is asked for": Mistake(
        ("verify", "audit", "--public-key", "key.allowed_signers"), ("is not a public key", "goes with --trust")
    ),
    "another model to replay with": Mistake(
        ("replay", "audit", "--model", "other", "--public-key", "key.pub.pem"),
        ("was measured on another model", "nothing was measured"),
        code=23,
    ),
    "a case that is not there": Mistake(
        ("show", "audit", "--case", "none"), ("there is no case 'none'", "there are: first, second, third")
    ),
    "a command that is none": Mistake(("verfy", "audit"), ("No such command 'verfy'. Did you mean 'verify'?",)),
    "an option that is none": Mistake(
        run("--modle", "x"), ("No such option: --modle", "--model", "attn-audit run --help lists")
    ),
    "no libraries for the PDF": Mistake(
        run("--format", "pdf"),
        ("PDF reports need WeasyPrint", "sudo apt-get install"),
        with_=lambda: mock.patch.object(pdf, "missing_libraries", return_value=NO_PDF),
    ),
    "Ctrl-C": Mistake(
        run("--out", "new"),
        ("interrupted", "--out FOLDER --resume"),
        code=130,
        with_=lambda: mock.patch("attn_audit.batch.run", side_effect=KeyboardInterrupt),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(made_audit: Audit, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an audit, its key, another one that is locked, and models."""
    folder = tmp_path_factory.mktemp("mistakes")
    made_audit.copied_to(folder / "audit")
    for file in (made_audit.key, made_audit.signers, made_audit.pem):
        shutil.copy(file, folder / file.name)
    made = call("keygen", folder / "locked", "--identity", "a@bank.example", ATTN_AUDIT_KEY_PASSPHRASE="right")
    assert made.code == 0
    shutil.copytree(tiny_model, folder / "tiny")
    tiny.folder(folder / "other", seed=1)
    tiny.folder(folder / "mamba", "mamba")
    (folder / "bad.jsonl").write_text('{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": "y"\n')
    return folder


@pytest.fixture
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(place)
    yield place
    (place / "cases.yaml").unlink(missing_ok=True)
    shutil.rmtree(place / "new", ignore_errors=True)


def state(folder: Path) -> dict[str, int]:
    return {path.as_posix(): path.lstat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_said_and_what_is_left(name: str, there: Path) -> None:
    one = MISTAKES[name]
    (there / "cases.yaml").write_text(one.cases or ONE, encoding="utf-8")
    before, paths = state(there), set(there.rglob("*"))
    with one.with_():
        ended = call(*one.typed, **{"COLUMNS": "200", **one.environment})
    assert ended.code == one.code, ended.err
    assert "Traceback" not in ended.err + ended.out
    said = ended.err.strip().splitlines()[-1]
    assert said.startswith("error: ")
    places = [said.find(part) for part in one.says]
    assert -1 not in places, (said, one.says)
    assert places == sorted(places), (said, one.says)
    assert {path.relative_to(there).parts[0] for path in set(there.rglob("*")) - paths} == set(one.leaves)
    assert before.items() <= state(there).items()


def test_a_variable_that_is_nearly_a_setting_is_named(there: Path) -> None:
    (there / "cases.yaml").write_text(ONE, encoding="utf-8")
    ended = call(*run("--dry-run"), ATTN_AUDIT_UNIT="token", ATTN_AUDIT_KEY="x", OTHER_UNIT="x")
    assert ended.code == 0
    notes = [line for line in ended.err.splitlines() if "sets nothing" in line]
    assert notes == ["note: the variable ATTN_AUDIT_UNIT sets nothing; is ATTN_AUDIT_UNITS meant?"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(there: Path, tmp_path: Path) -> None:
    (there / "cases.yaml").write_text(ONE, encoding="utf-8")
    (closed := tmp_path / "closed").mkdir(mode=0o500)
    ended = call(*run("--out", str(closed / "new")))
    assert ended.code == 2
    assert "cannot be made: Permission denied" in ended.err
    assert not list(closed.iterdir())


def test_the_case_that_failed_says_why(there: Path) -> None:
    """What the last line of a batch does not repeat."""
    for name, why in (
        ("a contrast that is the answer", "name another contrast"),
        ("a prompt that is too long", "shorten the prompt"),
    ):
        (there / "cases.yaml").write_text(MISTAKES[name].cases or "", encoding="utf-8")
        ended = call(*MISTAKES[name].typed, COLUMNS="200")
        assert "one: failed: " in ended.err
        assert why in ended.err
        shutil.rmtree(there / "new")
