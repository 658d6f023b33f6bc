"""The machine around a run: nothing is sent, nothing but an allow-list is recorded, and its clock may go back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pypdf
import pytest

import audits
from attn_audit.cli.main import main
from attn_audit.evidence.host import never_back
from attn_audit.evidence.statements import Seal
from attn_audit.reports import pdf

COMMAND = str(Path(sys.executable).with_name("attn-audit"))


def run(folder: Path, model: Path, *before: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The installed command on three cases, in ``folder``, where all paths are relative."""
    (folder / "cases.yaml").write_text(audits.THREE_CASES)
    audits.key(folder)
    views = "html,pdf" if pdf.missing_libraries() is None else "html"
    arguments = ("run", "cases.yaml", "--model", model, "--key", "key", "--out", "out", "--format", views)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTN_AUDIT_")}
    return subprocess.run(
        [*before, COMMAND, *arguments],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def recorded(folder: Path) -> dict[str, str]:
    return dict(audits.evidence_of(folder / "out/cases/first").run.host)


# -- the network ------------------------------------------------------------------------------------------------------


def test_attack_54_offline_whatever_the_environment_says(
    program: Callable[..., str], tiny_model: Path, tmp_path: Path
) -> None:
    """The system's calls are watched: no socket of the internet is made, the poisoned cache is never looked into, and
    what came in through PYTHONPATH is at least said."""
    hub, code = tmp_path / "hub", tmp_path / "code"
    poison = hub / "hub" / f"models--{tiny_model.name}" / "snapshots" / "main"
    poison.mkdir(parents=True)
    code.mkdir()
    for name in ("config.json", "tokenizer.json", "generation_config.json"):
        (poison / name).write_text("{}")
    (code / "sitecustomize.py").write_text("")
    log = tmp_path / "strace.log"
    watch = (program("strace"), "-f", "-qq", "-e", "trace=network,open,openat,openat2", "-o", log)
    done = run(
        tmp_path,
        tiny_model,
        *watch,
        PYTHONPATH=str(code),
        HF_HOME=str(hub),
        HF_HUB_OFFLINE="0",
        TRANSFORMERS_OFFLINE="0",
        HF_ENDPOINT="http://127.0.0.1:9",
        HTTP_PROXY="http://127.0.0.1:9",
        HTTPS_PROXY="http://127.0.0.1:9",
        ALL_PROXY="http://127.0.0.1:9",
        HF_TOKEN="hf_secret",
    )
    assert done.returncode == 0, done.stderr
    calls = log.read_text().splitlines()
    assert any(str(code) in call for call in calls), "the watch sees what is opened"
    assert [call for call in calls if "AF_INET" in call] == []
    assert [call for call in calls if str(hub) in call and "ENOENT" not in call] == []
    assert recorded(tmp_path)["network"] == "offline mode forced"
    assert recorded(tmp_path)["PYTHONPATH"] == "set, value not recorded"


# -- what is recorded -------------------------------------------------------------------------------------------------


def everything(folder: Path) -> bytes:
    """All that was written, with the names of the files; of a PDF also what is compressed."""
    found = []
    for path in sorted(folder.rglob("*")):
        found.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            found.append(path.read_bytes())
        if path.suffix == ".pdf":
            reader = pypdf.PdfReader(path)
            found += [page.extract_text().encode() for page in reader.pages]
            found += [repr(reader.metadata).encode(), repr(reader.xmp_metadata).encode()]
            found += [data for files in reader.attachments.values() for data in files]
    return b"\n".join(found)


SECRETS = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET", "GITHUB_TOKEN", "GH_TOKEN", "CI_JOB_TOKEN"),
    *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "DATABASE_URL", "PGPASSWORD", "KUBECONFIG", "NETRC"),
    *("ATTN_AUDIT_KEY_PASSPHRASE", "ATTN_AUDIT_KEY_DATA", "MY_PASSWORD", "USER", "USERNAME", "LOGNAME", "HOSTNAME"),
    *("MAIL", "SSH_AUTH_SOCK", "SSH_CONNECTION", "PWD", "OLDPWD", "XDG_RUNTIME_DIR", "LS_COLORS", "LD_LIBRARY_PATH"),
)


def test_attack_57_no_secret_and_no_name_is_recorded_or_printed(tiny_model: Path, tmp_path: Path) -> None:
    """Of the real command: every value has the same recognisable words in it, and so has the folder it runs in."""
    home, word = tmp_path / "home-of-jdoe-secret", "jdoe-secret"
    home.mkdir()
    variables = {name: f"{word}-{name}" for name in SECRETS}
    done = run(home, tiny_model, HOME=str(home), OMP_PROC_BIND=f"{word} {word} {word} {word}", **variables)
    assert done.returncode == 0, done.stderr
    written = everything(home / "out")
    for secret in (word, str(tmp_path), str(tiny_model.parent), os.uname().nodename + "."):
        assert secret.encode() not in written
        assert secret not in done.stdout + done.stderr
    assert recorded(home)["OMP_PROC_BIND"] == "set, value not recorded"
    assert audits.report(audits.Audit(home / "out", home / "key")).exit_code == 0


@pytest.mark.slow
def test_variables_that_change_the_numbers_are_recorded(tiny_model: Path, tmp_path: Path) -> None:
    plain, changed = tmp_path / "plain", tmp_path / "changed"
    for folder, variables in ((plain, {}), (changed, {"OMP_NUM_THREADS": "1", "ATEN_CPU_CAPABILITY": "default"})):
        folder.mkdir()
        assert run(folder, tiny_model, **variables).returncode == 0
        assert {name: recorded(folder).get(name) for name in variables} == variables
    assert {"OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY"} & recorded(plain).keys() <= os.environ.keys()
    assert "<td>default</td>" in (changed / "out/cases/first/report.html").read_text()


# -- the clock --------------------------------------------------------------------------------------------------------


class SetBack(datetime):
    """A clock that is set back an hour at its fifth look."""

    looks = 0

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        cls.looks += 1
        return audits.START + timedelta(seconds=cls.looks) - (timedelta(hours=1) if cls.looks > 4 else timedelta())


def test_attack_56_a_clock_that_is_set_back(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An honest run stays in order and verifies; that nobody attests its times is said."""
    private = audits.key(tmp_path)
    (tmp_path / "cases.yaml").write_text(audits.THREE_CASES)
    monkeypatch.setattr("attn_audit.host.datetime", SetBack)

    def command(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["attn-audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0  # type: ignore[return-value]

    out = tmp_path / "out"
    options = ("--key", private, "--out", out, "--format", "html")
    assert command("run", tmp_path / "cases.yaml", "--model", tiny_model, *options) == 0
    assert SetBack.looks > 6
    seal = audits.opened(out / "seal.sigstore.json", Seal).predicate
    assert seal.started <= audits.evidence_of(out / "cases/third").run.started <= seal.finished
    assert seal.finished == (audits.START + timedelta(seconds=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    capsys.readouterr()
    assert command("verify", out, "--trust", private.with_name("key.allowed_signers")) == 0
    assert "not attested: all times are the signer's own" in " ".join(capsys.readouterr().out.split())


def test_a_clock_that_never_goes_back() -> None:
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 4, 2, 5)]
    clock = never_back(iter(times).__next__)
    assert [clock().day for _ in times] == [3, 3, 4, 4, 5]
