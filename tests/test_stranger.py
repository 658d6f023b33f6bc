"""A stranger verifies with jq, openssl and sha256sum alone, and with verify and show where no model library is."""

from __future__ import annotations

import html as entities
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from audits import Audit, flipped

# As the design of the evidence gives them: nothing here is ours. $TRUSTED_PEM comes through another channel.
COMMANDS = r"""
set -e -o pipefail
jq -r .dsseEnvelope.payload attestation.sigstore.json | base64 -d > "$WORK/body"
T=$(jq -r .dsseEnvelope.payloadType attestation.sigstore.json)
{ printf 'DSSEv1 %d %s %d ' "${#T}" "$T" "$(wc -c < "$WORK/body")"; cat "$WORK/body"; } > "$WORK/pae"
jq -r '.dsseEnvelope.signatures[0].sig' attestation.sigstore.json | base64 -d > "$WORK/sig"
openssl pkeyutl -verify -rawin -pubin -inkey "$TRUSTED_PEM" -sigfile "$WORK/sig" -in "$WORK/pae"
jq -r '.subject[]|"\(.digest.sha256)  \(.name)"' "$WORK/body" | sha256sum -c
"""


@pytest.fixture(scope="session")
def bash(program: Callable[..., str]) -> str:
    """The shell, once every program that the commands name is there."""
    for name in ("openssl", "jq", "base64", "sha256sum"):
        program(name)
    return program("bash")


def run(bash: str, commands: str, folder: Path, **variables: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | {n: str(v) for n, v in variables.items()}
    return subprocess.run(
        [bash, "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("case_id", ["first", "second", "third"])
def test_openssl_verifies_a_case(made_audit: Audit, bash: str, tmp_path: Path, case_id: str) -> None:
    folder = made_audit.case(case_id)
    done = run(bash, COMMANDS, folder, TRUSTED_PEM=made_audit.pem, WORK=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout
    named = re.findall(r"^(.+): OK$", done.stdout, re.MULTILINE)
    assert sorted([*named, "attestation.sigstore.json"]) == sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["content.json", "evidence.json", "report.html", "report.pdf"])
def test_sha256sum_finds_one_changed_byte(audit_with_pdf: Audit, bash: str, tmp_path: Path, name: str) -> None:
    path = audit_with_pdf.case("first") / name
    flipped(path, path.stat().st_size // 2, 1)
    done = run(bash, COMMANDS, path.parent, TRUSTED_PEM=audit_with_pdf.pem, WORK=tmp_path)
    assert done.returncode != 0
    assert f"{name}: FAILED" in done.stdout


def test_openssl_finds_a_changed_statement(audit: Audit, bash: str, tmp_path: Path) -> None:
    path = audit.case("first") / "attestation.sigstore.json"
    at = path.read_bytes().index(b'"payload":"') + 200
    flipped(path, at, 1)
    done = run(bash, COMMANDS, path.parent, TRUSTED_PEM=audit.pem, WORK=tmp_path)
    assert done.returncode != 0
    assert "Signature Verified Successfully" not in done.stdout


def test_openssl_refuses_another_key(made_audit: Audit, bash: str, tmp_path: Path) -> None:
    run(bash, "openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out other.pem", tmp_path)
    done = run(bash, COMMANDS, made_audit.case("first"), TRUSTED_PEM=tmp_path / "other.pem", WORK=tmp_path)
    assert done.returncode != 0


# -- the commands as the report prints them ---------------------------------------------------------------------------


def printed(folder: Path) -> list[str]:
    """The command blocks in the report's section on verifying, as a reader copies them."""
    page = (folder / "report.html").read_text(encoding="utf-8")
    section = page[page.index('id="verify"') :]
    section = section[: section.index("</section>")]
    return [entities.unescape(block) for block in re.findall(r"<pre[^>]*>(.*?)</pre>", section, re.DOTALL)]


def test_the_commands_of_the_report_work_as_they_stand(audit: Audit, bash: str) -> None:
    folder = audit.case("first")
    [block] = [block for block in printed(folder) if "openssl" in block]
    before = sorted(path.name for path in folder.iterdir())
    block = f"set -e -o pipefail\nPEM='{audit.pem}'\n{block}"
    done = run(bash, block, folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == before, "what is signed stays as it was"
    first, *rest = done.stdout.splitlines()
    assert first.split()[0] in (folder / "report.html").read_text(encoding="utf-8")
    assert rest[0] == "Signature Verified Successfully"
    assert [line.partition(": ")[0] for line in rest[1:]] == [
        name for name in ("content.json", "evidence.json", "report.html", "report.pdf") if (folder / name).exists()
    ]
    assert all(line.endswith(": OK") for line in rest[1:])
    flipped(folder / "evidence.json", 100, 1)
    assert run(bash, block, folder).returncode != 0


def test_the_tool_of_the_report_works_as_it_stands(audit: Audit, bash: str, repository: Path) -> None:
    [block] = [block for block in printed(audit.case("first")) if block.startswith("attn-audit")]
    shutil.copyfile(audit.pem, audit.key.parent / "signer.pub.pem")
    shutil.copyfile(audit.signers, audit.key.parent / "allowed_signers")
    commands = [line.split() for line in block.splitlines()]
    assert [command[:3] for command in commands] == [["attn-audit", "verify", "."]] * 2
    from attn_audit.cli.main import app  # noqa: PLC0415

    for command in commands:
        arguments = [*command[1:2], str(audit.out), command[3], str(audit.key.parent / command[4])]
        assert app(arguments, standalone_mode=False) == 0


# -- without a model library ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_verify_and_show_without_torch(audit: Audit, verify_only_env: Path, tmp_path: Path) -> None:
    def attn_audit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
        command = [verify_only_env / "attn-audit", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert importlib.util.find_spec("torch"), "this test's own environment has it"
    probe = [verify_only_env / "python", "-c", "import torch"]
    assert subprocess.run(probe, cwd=tmp_path, capture_output=True, check=False).returncode != 0
    done = attn_audit("verify", audit.out, "--trust", audit.signers)
    assert done.returncode == 0, done.stderr
    assert "VERIFIED" in done.stdout
    shown = attn_audit("show", audit.out, "--case", "second", "--top", "3")
    assert shown.returncode == 0, shown.stderr
    assert "second" in shown.stdout
    assert "signature not checked here" in " ".join(shown.stdout.split())
    assert attn_audit("verify", audit.case("third"), "--public-key", audit.pem).returncode == 0
    flipped(audit.case("first") / "report.html", 1000, 1)
    assert attn_audit("verify", audit.out, "--trust", audit.signers).returncode == 20
    assert attn_audit("show", audit.out).returncode == 20
    no_model = attn_audit("model", tmp_path)
    assert no_model.returncode != 0
