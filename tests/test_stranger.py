"""A stranger verifies with jq, openssl and sha256sum alone, and with verify and show where no model library is."""

from __future__ import annotations

import html as entities
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from attn_audit.evidence.trust import read_allowed_signers
from attn_audit.extract import extract
from attn_audit.redact import redact
from attn_audit.verify import verify
from audits import START, Audit, flipped, host, key

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


# -- VERIFY.md --------------------------------------------------------------------------------------------------------


def blocks(audit: Audit) -> list[str]:
    """The commands of VERIFY.md, block by block, as a reader copies them."""
    page = (audit.out / "VERIFY.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def debian(bash: str, program: Callable[..., str]) -> str:
    for name in ("ssh-keygen", "sha256sum", "diff", "comm"):
        program(name)
    return bash


def followed(debian: str, audit: Audit, folder: Path | None = None) -> list[subprocess.CompletedProcess[str]]:
    """What each block says, in a shell that has nothing but the system's programs."""
    variables = {"TRUSTED_PEM": str(audit.pem), "TRUSTED_SIGNERS": str(audit.signers)}
    return [
        subprocess.run(
            [debian, "-c", block],
            cwd=folder or audit.out,
            env={"PATH": "/usr/bin:/bin"} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        for block in blocks(audit)
    ]


def check_followed(done: list[subprocess.CompletedProcess[str]], audit: Audit, here: str) -> None:
    compare, *listed, statements = done
    assert {one.returncode for one in done} == {0}, [one.stderr for one in done]
    key_id, fingerprint = (line.split() for line in compare.stdout.splitlines())
    page = (audit.out / "VERIFY.md").read_text(encoding="utf-8")
    assert f"`{key_id[0]}`" in page
    assert f"`{fingerprint[1]}`" in page
    assert [one.stdout.endswith("SHA256SUMS holds\n") for one in listed] == [True] * (audit.out / "SHA256SUMS").exists()
    assert statements.stdout.endswith(f"all statements hold; {here} planned cases are here\n")
    assert "FAILED" not in statements.stdout


def test_the_commands_of_verify_md_work_as_they_stand(made_audit: Audit, debian: str) -> None:
    before = sorted(made_audit.out.rglob("*"))
    done = followed(debian, made_audit)
    check_followed(done, made_audit, "3 of 3")
    cases = sorted((made_audit.out / "cases").iterdir())
    named = (
        sum(len(list(folder.iterdir())) for folder in cases) + 2
    )  # what the statements name, the plan and the manifest
    assert done[2].stdout.count(": OK\n") == named
    assert sorted(made_audit.out.rglob("*")) == before, "what is signed stays as it was"


@pytest.mark.model
def test_the_commands_of_verify_md_work_on_the_real_audit(real_audit: Audit, debian: str) -> None:
    count = len(list((real_audit.out / "cases").iterdir()))
    check_followed(followed(debian, real_audit), real_audit, f"{count} of {count}")


def test_the_commands_of_verify_md_find_one_changed_byte(audit: Audit, debian: str) -> None:
    """In any file; where a statement names the file, the second way finds it as well."""
    for path in sorted(path for path in audit.out.rglob("*") if path.is_file() and path.name != "VERIFY.md"):
        before = flipped(path, path.stat().st_size // 2, 1)
        _, listed, statements = followed(debian, audit)
        path.write_bytes(before)
        assert listed.returncode != 0, path
        assert "SHA256SUMS holds" not in listed.stdout
        unnamed = path.name in {"index.html", "SHA256SUMS", "SHA256SUMS.sig"}
        assert (statements.returncode == 0) == unnamed, path
        assert ("all statements hold" in statements.stdout) == unnamed


def test_the_commands_of_verify_md_find_files_cases_and_keys(audit: Audit, debian: str) -> None:
    (audit.out / "cases/first/note.txt").write_text("x")
    assert "not part of this audit: cases/first/note.txt" in followed(debian, audit)[1].stdout
    (audit.out / "cases/first/note.txt").unlink()
    shutil.move(audit.case("second"), audit.key.parent / "away")
    _, listed, statements = followed(debian, audit)
    assert listed.returncode != 0
    assert statements.returncode != 0
    shutil.move(audit.key.parent / "away", audit.case("second"))
    check_followed(followed(debian, audit), audit, "3 of 3")
    other = Audit(audit.out, key(audit.out.parent, "other"))
    _, listed, statements = followed(debian, other)
    assert listed.returncode != 0
    assert statements.returncode != 0


def test_the_commands_of_verify_md_hold_for_withheld_content_and_for_one_case(audit: Audit, debian: str) -> None:
    redact(audit.out, "second", "erasure asked for", audit.private, host("later", START + timedelta(hours=9)))
    check_followed(followed(debian, audit), audit, "3 of 3")
    for case_id in ("first", "second"):
        extract(audit.out, case_id, audit.out.parent / case_id)
        alone = Audit(audit.out.parent / case_id, audit.key)
        check_followed(followed(debian, alone), alone, "1 of 3")
        target = alone.case(case_id) / "evidence.json"
        flipped(target, 300, 1)
        assert [one.returncode == 0 for one in followed(debian, alone)] == [True, False]


def test_the_commands_of_verify_md_take_the_key_of_whoever_withheld(audit: Audit, debian: str, tmp_path: Path) -> None:
    officer = Audit(audit.out, key(tmp_path, "officer", "privacy@bank.example"))
    redact(audit.out, "second", None, officer.private, host("later", START + timedelta(hours=9)))
    both = tmp_path / "both"
    both.write_text(audit.signers.read_text() + officer.signers.read_text())
    variables = {"TRUSTED_PEM": audit.pem, "TRUSTED_SIGNERS": both, "REDACTION_PEMS": officer.pem}
    redact(audit.out, "third", None, audit.private, host("later", START + timedelta(hours=9)))
    extract(audit.out, "second", tmp_path / "alone")
    for folder in (audit.out, tmp_path / "alone"):
        for block in blocks(Audit(folder, audit.key)):
            done = run(debian, block, folder, **variables)
            assert done.returncode == 0, done.stderr
        assert verify(folder, read_allowed_signers(both)).exit_code == 3
        assert verify(folder, read_allowed_signers(audit.signers)).exit_code == 21


def test_after_the_key_has_expired_the_time_can_be_asked_for(made_audit: Audit, debian: str, tmp_path: Path) -> None:
    """As the page says: ``-O verify-time`` is the moment at which the signer says that he signed."""
    signers = tmp_path / "expired"
    signers.write_text(
        made_audit.signers.read_text().replace("namespaces=", 'valid-before="20261122235959Z",namespaces=')
    )
    page = (made_audit.out / "VERIFY.md").read_text(encoding="utf-8")
    option = re.search(r"`(-O verify-time=\d{14}Z)`", page)
    assert option is not None
    listed = blocks(made_audit)[1].replace("-n attn-audit@v1", f"-n attn-audit@v1 {option[1]}")
    environment = {"PATH": "/usr/bin:/bin", "TRUSTED_SIGNERS": str(signers)}
    for command, holds in ((listed, True), (listed.replace(option[1], "-O verify-time=20270101000000Z"), False)):
        done = subprocess.run(
            [debian, "-c", command], cwd=made_audit.out, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == holds, done.stderr


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
