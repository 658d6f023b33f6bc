"""What a reader asks of an audit beyond its being genuine, and keys that are trusted no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import audits
from attn_audit.cases import read_cases
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.trust import read_allowed_signers, without_revoked
from attn_audit.redact import redact
from attn_audit.verify import verify
from attn_audit.verify.asked import Asked
from attn_audit.verify.report import Report
from audits import Audit
from command_line import completed


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return completed(*arguments, **environment)


def checked(audit: Audit, *options: str | Path) -> subprocess.CompletedProcess[str]:
    return command("verify", audit.out, "--trust", audit.signers, *options)


def asked(audit: Audit, path: Path | None = None, **what: Any) -> Report:
    return verify(path or audit.out, read_allowed_signers(audit.signers), Asked(**what))


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the made audit, byte for byte."""
    path = tmp_path_factory.mktemp("cases") / "cases.yaml"
    path.write_text(audits.THREE_CASES, encoding="utf-8")
    return path


# -- the cases --------------------------------------------------------------------------------------------------------


def test_the_expected_cases(made_audit: Audit, cases: Path) -> None:
    done = checked(made_audit, "--expect-cases", cases)
    assert done.returncode == 0, done.stdout
    assert "expected cases" in done.stdout
    assert asked(made_audit, made_audit.case("second"), cases=read_cases(cases)).exit_code == 22, "one case is not all"


OTHER_CASES = {
    "22 another question": ("income of the applicant is low", "income of the applicant is LOW", "another question"),
    "7 an old report for a new question": ("is high", "is very high", "another question"),
    "16 a case more": (
        "cases:\n",
        'cases:\n  - {id: zero, prompt: "Is it?"}\n',
        "other cases were planned",
    ),
    "17 a case less": (
        '  - {id: third, prompt: "The applicant has no income. Is the loan approved?"}\n',
        "",
        "is not in cases.yaml",
    ),
    "22 another limit": ("max_new_tokens: 4", "max_new_tokens: 5", "another question"),
    "22 another title": ("title: Three loans", "title: Four loans", "says something else of the batch"),
    "22 a comment": ("title: Three loans\n", "title: Three loans  # today\n", "not byte for byte"),
}


@pytest.mark.parametrize("name", OTHER_CASES)
def test_attack_07_16_17_22_other_cases_than_expected(made_audit: Audit, tmp_path: Path, name: str) -> None:
    before, after, reason = OTHER_CASES[name]
    assert before in audits.THREE_CASES
    (tmp_path / "cases.yaml").write_text(audits.THREE_CASES.replace(before, after), encoding="utf-8")
    found = asked(made_audit, cases=read_cases(tmp_path / "cases.yaml"))
    assert found.exit_code == 22
    assert reason in audits.failures(found)["batch", "expected cases"]


def test_attack_18_expected_in_another_order(made_audit: Audit, tmp_path: Path) -> None:
    head, *entries = audits.THREE_CASES.partition("cases:\n")[2].splitlines(keepends=True)
    text = audits.THREE_CASES.partition("cases:\n")[0] + "cases:\n" + "".join((*entries, head))
    (tmp_path / "cases.yaml").write_text(text, encoding="utf-8")
    found = asked(made_audit, cases=read_cases(tmp_path / "cases.yaml"))
    assert found.exit_code == 22
    assert "in another order" in audits.failures(found)["batch", "expected cases"]


def test_what_cannot_be_compared_is_said(audit: Audit, cases: Path) -> None:
    redact(audit.out, "second", None, audit.private, audits.host("later", audits.START + timedelta(hours=5)))
    found = asked(audit, cases=read_cases(cases))
    assert found.exit_code == 3
    [note] = [check.detail for check in found.checks if (check.name, check.outcome) == ("expected cases", "note")]
    assert note == "not compared, since their content is not here: second"


def test_a_case_file_that_is_refused(made_audit: Audit, tmp_path: Path) -> None:
    done = checked(made_audit, "--expect-cases", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert "there is no such case file" in done.stderr


# -- model, method, age, views ----------------------------------------------------------------------------------------


def test_the_expected_model(made_audit: Audit) -> None:
    root = audits.plan_of(made_audit.out).model_root
    assert checked(made_audit, "--expect-model", root).returncode == 0
    other = checked(made_audit, "--expect-model", "0" * 64)
    assert other.returncode == 23
    assert "NOT VERIFIED: it was measured on another model" in other.stdout
    assert root in other.stdout
    assert asked(made_audit, made_audit.case("first"), model="0" * 64).exit_code == 23


@pytest.mark.parametrize("root", ["", "abc", "G" * 64, "A" * 64, "0" * 65])
def test_roots_that_are_none(made_audit: Audit, root: str) -> None:
    done = checked(made_audit, "--expect-model", root)
    assert done.returncode == 2
    assert "is refused: give the 64 digits of a root" in done.stderr


METHODS: dict[str, dict[str, str]] = {
    "layers": {"layers": "0:1"},
    "factor": {"operator": "soft", "factor": "0.9"},
    "units": {"units": "paragraph"},
    "effort": {"effort": "screened"},
    "time limit": {"max_seconds": "1000"},
}


@pytest.mark.parametrize("name", METHODS)
def test_attack_61_method_shopping_is_named_and_can_be_refused(tiny_model: Path, tmp_path: Path, name: str) -> None:
    private = audits.key(tmp_path)
    audit = Audit(audits.make(tmp_path, tiny_model, private, **METHODS[name]).out, private)
    plain = audits.report(audit)
    assert plain.exit_code == 0
    assert any(check.name == "method" and "changed from the default" in check.detail for check in plain.checks)
    strict = asked(audit, default_method=True)
    assert strict.exit_code == 22
    assert "was measured by another method" in audits.failures(strict)["batch", "default method"]
    page = (audit.case("first") / "report.html").read_text()
    first = page[: page.index("How it was measured")]
    assert "Method: changed from the default:" in first
    assert next(iter(METHODS[name])) in first


def test_the_default_method_is_accepted(made_audit: Audit) -> None:
    assert checked(made_audit, "--require-default-method").returncode == 0


def test_attack_07_an_audit_that_is_too_old(made_audit: Audit) -> None:
    assert checked(made_audit, "--max-age", "36500d").returncode == 0
    old = checked(made_audit, "--max-age", "1m")
    assert old.returncode == 22
    assert "is older than asked for: it was finished 2026-11-22" in old.stdout
    finished = datetime.strptime(audits.evidence_of(made_audit.case("first")).run.finished, "%Y-%m-%dT%H:%M:%S%z")
    assert asked(made_audit, made_audit.case("first"), since=finished).exit_code == 0
    assert asked(made_audit, made_audit.case("first"), since=finished + timedelta(seconds=1)).exit_code == 22
    assert asked(made_audit, since=datetime.min.replace(tzinfo=UTC)).exit_code == 0


@pytest.mark.parametrize("age", ["", "30", "-1d", "1y", "1.5d", "d", "٣d", "9999999d"])
def test_ages_that_are_none(made_audit: Audit, age: str) -> None:
    done = checked(made_audit, f"--max-age={age}")
    assert done.returncode == 2
    assert "is refused: give days, hours or minutes" in done.stderr


def test_views_are_not_drawn_again_where_nobody_asks(audit: Audit) -> None:
    done = checked(audit, "--no-rerender", "--json")
    assert done.returncode == 0
    notes = {check["name"] for check in json.loads(done.stdout)["checks"] if "not compared" in check["detail"]}
    assert {"report", "index.html", "VERIFY.md"} <= notes
    folder = audit.case("first")
    nicer = (folder / "report.html").read_bytes().replace(b"</h1>", b" (approved)</h1>", 1)
    audits.recase(folder, audit.private, files={"report.html": nicer})
    audits.reseal(audit.out, audit.private)
    assert asked(audit, views=False).exit_code == 0
    assert asked(audit).exit_code == 20


# -- revoked keys -----------------------------------------------------------------------------------------------------


def public_line(private: Any) -> str:
    return str(private.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).decode())


def revoking(folder: Path, text: str) -> Path:
    (folder / "revoked").write_text(text, encoding="utf-8")
    return folder / "revoked"


def test_attack_08_a_revoked_key_is_trusted_never(made_audit: Audit, tmp_path: Path) -> None:
    own, other = public_line(made_audit.private.private), public_line(Ed25519PrivateKey.generate())
    nist = public_line(ec.generate_private_key(ec.SECP256R1()))
    revoked = revoking(tmp_path, f"# given up\n\n{other} old laptop\n{nist}\n{own} stolen\n")
    done = checked(made_audit, "--revoked", revoked)
    assert done.returncode == 21
    assert "signed by a key that is revoked" in done.stdout
    assert checked(made_audit, "--revoked", revoking(tmp_path, f"{other}\n{nist}\n")).returncode == 0
    trusted = without_revoked(read_allowed_signers(made_audit.signers), revoking(tmp_path, own))
    assert verify(made_audit.case("first"), trusted).exit_code == 21
    found = verify(made_audit.out, trusted)
    assert ("batch", "signature of SHA256SUMS") in audits.failures(found)


def test_ssh_keygen_reads_the_same_list(made_audit: Audit, tmp_path: Path, program: Any) -> None:
    verify_it = [program("ssh-keygen"), "-Y", "verify", "-f", made_audit.signers, "-I", audits.PRINCIPAL]
    verify_it += ["-n", "attn-audit@v1", "-s", made_audit.out / "SHA256SUMS.sig"]
    data = (made_audit.out / "SHA256SUMS").read_bytes()
    for private, holds in ((made_audit.private.private, False), (Ed25519PrivateKey.generate(), True)):
        revoked = revoking(tmp_path, f"# given up\n{public_line(private)} a comment\n")
        done = subprocess.run([*verify_it, "-r", revoked], input=data, capture_output=True, check=False)
        assert (done.returncode == 0) == holds, done.stderr
        assert (checked(made_audit, "--revoked", revoked).returncode == 0) == holds


@pytest.mark.parametrize(
    "text", ["SSHKRL\n\0", "ssh-ed25519", "ssh-ed25519 AAAA", "audit@bank.example ssh-ed25519 A", "x"]
)
def test_lists_that_are_refused(made_audit: Audit, tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"line 1"):
        without_revoked(read_allowed_signers(made_audit.signers), revoking(tmp_path, text))
    done = checked(made_audit, "--revoked", tmp_path / "nothing")
    assert done.returncode == 2


# -- keys in the environment ------------------------------------------------------------------------------------------


def asked_in_ci(made_audit: Audit, out: Path, tiny_model: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    question = (
        "run",
        "--prompt",
        "Is the loan approved?",
        "--model",
        tiny_model,
        "--format",
        "html",
        "--checks",
        "none",
    )
    return command(*question, "--out", out, "--units", "paragraph", **environment)


def test_the_key_comes_from_the_environment_in_ci(made_audit: Audit, tiny_model: Path, tmp_path: Path) -> None:
    data = made_audit.key.read_text().strip()  # as a shell's $(cat key) gives it
    who = {"ATTN_AUDIT_KEY_DATA": data, "ATTN_AUDIT_KEY_IDENTITY": audits.PRINCIPAL}
    done = asked_in_ci(made_audit, tmp_path / "audit", tiny_model, **who)
    assert done.returncode == 0, done.stderr
    assert audits.report(Audit(tmp_path / "audit", made_audit.key)).exit_code == 0
    secret = data.splitlines()[2]
    for path in (path for path in (tmp_path / "audit").rglob("*") if path.is_file()):
        assert secret.encode() not in path.read_bytes()
    assert secret not in done.stdout + done.stderr
    redacted = command("redact", tmp_path / "audit", "--case", "prompt", **who)
    assert redacted.returncode == 0, redacted.stderr


@pytest.mark.parametrize(
    ("data", "identity", "reason"),
    [
        ("key", "", "say in ATTN_AUDIT_KEY_IDENTITY who signs"),
        ("key", "a b", "identity 'a b' is refused"),
        ("nonsense", "audit@bank.example", "key in ATTN_AUDIT_KEY_DATA cannot be opened"),
    ],
)
def test_keys_in_the_environment_that_are_refused(
    made_audit: Audit, tiny_model: Path, tmp_path: Path, data: str, identity: str, reason: str
) -> None:
    private = made_audit.key.read_text() if data == "key" else data
    environment = {"ATTN_AUDIT_KEY_DATA": private, "ATTN_AUDIT_KEY_IDENTITY": identity}
    done = asked_in_ci(made_audit, tmp_path / "audit", tiny_model, **environment)
    assert done.returncode == 2
    assert reason in done.stderr
    assert private.strip() not in done.stderr
    assert not (tmp_path / "audit").exists()


# -- the model's own tokenizer ----------------------------------------------------------------------------------------


def test_the_model_renders_the_prompts_again(made_audit: Audit, tiny_model: Path, tmp_path: Path) -> None:
    done = checked(made_audit, "--model", tiny_model)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("text and tokens") == 3
    import tiny  # noqa: PLC0415

    other = checked(made_audit, "--model", tiny.folder(tmp_path / "other", seed=1))
    assert other.returncode == 23
    assert "was measured on other files than other has" in other.stdout
    assert "text and tokens" not in other.stdout, "of another model nothing is read"
    assert checked(made_audit, "--model", tmp_path / "nothing").returncode == 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="somebody else's rights can be taken by root only")
@pytest.mark.parametrize("which", ["cases/first", "cases", "."])
@pytest.mark.parametrize("mode", [0o000, 0o744])
def test_folders_that_may_not_be_read(audit: Audit, which: str, mode: int) -> None:
    """By somebody who is not root, to whom every folder is open."""
    for path in (audit.out, *audit.out.parents):
        if path.stat().st_uid == 0 and "pytest" in str(path):
            path.chmod(0o755)
    (audit.out / which).chmod(mode)
    program = "import os, sys; os.setuid(65534); sys.argv = ['attn-audit', *sys.argv[1:]]; "
    program += "from attn_audit.cli.main import main; main()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from attn_audit.cli import main as _; {program}",
            "verify",
            audit.out,
            "--public-key",
            audit.pem,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    (audit.out / which).chmod(0o755)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in {2, 20, 22}


@pytest.mark.model
def test_the_real_model_renders_the_prompts_again(real_audit: Audit) -> None:
    done = checked(real_audit, "--model", "smollm2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("text and tokens") == len(list((real_audit.out / "cases").iterdir()))
