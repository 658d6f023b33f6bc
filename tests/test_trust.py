"""Whom a reader trusts: allowed_signers files as ssh-keygen reads them or more strictly; what is said of a signer."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from attn_audit.cli.signing import PASSPHRASE_VARIABLE, passphrase, signing_key
from attn_audit.evidence.envelope import Statement, encode, open_bundle, sign
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.keys import NAMESPACE, SigningKey, generate, load_private, read_private
from attn_audit.evidence.measured import Signer, Tool
from attn_audit.evidence.statements import Plan, plan_subjects
from attn_audit.evidence.trust import TrustedKey, matches, read_allowed_signers, read_public_key
from attn_audit.verify.report import Check, Report
from attn_audit.verify.signature import check_signer, open_statement

PRINCIPAL = "audit@bank.example"
MOMENT = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
WHEN = "2026-11-22T09:00:00Z"
VERIFY_TIME = "20261122090000Z"
COMMAND = str(Path(sys.executable).with_name("attn-audit"))
LONG = "a" * 5000


@dataclass(frozen=True)
class Signed:
    """A key, its public line, and a signature that ssh-keygen made with it."""

    folder: Path
    key: SigningKey
    line: str


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    folder = tmp_path_factory.mktemp("trust")
    generate(folder / "key", PRINCIPAL, None)
    key = load_private(read_private(folder / "key"), None, PRINCIPAL, "key")
    line = key.private.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).decode()
    (folder / "message").write_text("a message\n")
    if program := shutil.which("ssh-keygen"):
        sign_it = [program, "-Y", "sign", "-f", folder / "key", "-n", NAMESPACE, folder / "message"]
        subprocess.run(sign_it, check=True, capture_output=True)
    return Signed(folder, key, line)


def trusts(path: Path, key: SigningKey) -> bool:
    """Our verdict on the principal at the moment."""
    try:
        entries = [entry for entry in read_allowed_signers(path) if entry.key_id == key.key_id]
    except UsageError:
        return False
    return any(entry.may_sign_as(PRINCIPAL) and entry.covers(MOMENT) for entry in entries)


def ssh_keygen_trusts(path: Path, signed: Signed) -> bool:
    program = shutil.which("ssh-keygen")
    if program is None:
        pytest.skip("ssh-keygen is not installed")
    command = [
        program,
        "-Y",
        "verify",
        "-f",
        path,
        "-I",
        PRINCIPAL,
        "-n",
        NAMESPACE,
        "-O",
        f"verify-time={VERIFY_TIME}",
    ]
    message = (signed.folder / "message").read_bytes()
    done = subprocess.run(
        [*command, "-s", signed.folder / "message.sig"], input=message, capture_output=True, check=False
    )
    return done.returncode == 0


def write(folder: Path, text: str, line: str) -> Path:
    path = folder / "signers"
    path.write_bytes(text.replace("KEY", line).encode())
    return path


SAME = {
    f"{PRINCIPAL} KEY": True,
    f"  {PRINCIPAL}\tKEY\r\n": True,
    f"{PRINCIPAL} KEY a comment": True,
    f'"{PRINCIPAL}" KEY': True,
    f"other@bank.example,{PRINCIPAL} KEY": True,
    f"{PRINCIPAL}, KEY": True,
    "other@bank.example KEY": False,
    "*@bank.example KEY": True,
    "?udit@bank.example KEY": True,
    "?audit@bank.example KEY": False,
    "!intern@bank.example,*@bank.example KEY": True,
    f"!{PRINCIPAL},*@bank.example KEY": False,
    f"*@bank.example,!{PRINCIPAL} KEY": False,
    f"!{PRINCIPAL} KEY": False,
    "!other@bank.example KEY": False,
    "[a-z]*@bank.example KEY": False,
    "AUDIT@bank.example KEY": False,
    f'{PRINCIPAL} namespaces="{NAMESPACE}" KEY': True,
    f'{PRINCIPAL} NAMESPACES="{NAMESPACE}" KEY': True,
    f'{PRINCIPAL} namespaces="attn-audit@*" KEY': True,
    f'{PRINCIPAL} namespaces="attn-audit@v?" KEY': True,
    f'{PRINCIPAL} namespaces="file,{NAMESPACE}" KEY': True,
    f'{PRINCIPAL} namespaces="file, {NAMESPACE}" KEY': False,
    f'{PRINCIPAL} namespaces="!{NAMESPACE},{NAMESPACE}" KEY': False,
    f'{PRINCIPAL} namespaces="*,!{NAMESPACE}" KEY': False,
    f'{PRINCIPAL} namespaces="!file" KEY': False,
    f'{PRINCIPAL} namespaces="attn-audit@[v]1" KEY': False,
    f'{PRINCIPAL} namespaces="" KEY': False,
    f'{PRINCIPAL} namespaces="file" KEY': False,
    f'{PRINCIPAL} namespaces="file"valid-before="20300101Z" KEY': False,
    f'{PRINCIPAL} namespaces="{NAMESPACE}"valid-before="20300101Z" KEY': False,
    f'{PRINCIPAL} namespaces="{NAMESPACE}",valid-before="20300101Z" KEY': True,
    f'{PRINCIPAL} namespaces="{NAMESPACE}",namespaces="{NAMESPACE}" KEY': False,
    f'{PRINCIPAL} valid-before="20300101Z",Valid-Before="20300101Z" KEY': False,
    f'{PRINCIPAL} valid-before="{VERIFY_TIME}" KEY': True,
    f'{PRINCIPAL} valid-before="20261122085959Z" KEY': False,
    f'{PRINCIPAL} valid-after="{VERIFY_TIME}" KEY': True,
    f'{PRINCIPAL} valid-after="20261122090001Z" KEY': False,
    f'{PRINCIPAL} valid-after="20260101Z",valid-before="20270101Z" KEY': True,
    f'{PRINCIPAL} valid-after="20270101Z",valid-before="20260101Z" KEY': False,
    f'{PRINCIPAL} valid-before="soon" KEY': False,
    f"{PRINCIPAL} cert-authority KEY": False,
    f"{PRINCIPAL}\x0cKEY": False,
    f"# a note\u2028{PRINCIPAL} KEY": False,
    f"# a note\x0c{PRINCIPAL} KEY": False,
    f"# a note\r{PRINCIPAL} KEY": False,
    f"# a note\n{PRINCIPAL} KEY": True,
    f'{PRINCIPAL} valid-before="20200101Z" KEY\n{PRINCIPAL} KEY': True,
    f'{PRINCIPAL} KEY\n{PRINCIPAL} valid-before="20200101Z" KEY': True,
    f'{PRINCIPAL} valid-before="20200101Z" KEY\nother@bank.example KEY': False,
    f'{PRINCIPAL} namespaces="file" KEY\n*@bank.example namespaces="{NAMESPACE}" KEY': True,
}


@pytest.mark.parametrize("text", SAME)
def test_a_line_means_what_it_means_to_ssh_keygen(tmp_path: Path, signed: Signed, text: str) -> None:
    path = write(tmp_path, text, signed.line)
    assert trusts(path, signed.key) == SAME[text]
    assert ssh_keygen_trusts(path, signed) == SAME[text]


STRICTER = {
    f"{PRINCIPAL} unknown-option KEY\n{PRINCIPAL} KEY": "unknown option 'unknown-option'",
    f'"{PRINCIPAL}"KEY': "not a line of an allowed_signers file",
    f'{PRINCIPAL},"other" KEY': "not a line of an allowed_signers file",
    f'{PRINCIPAL} valid-before="20300101" KEY': "is not of the form",
    f"{PRINCIPAL} KEY\nother@bank.example cert-authority KEY": "certificate authorities",
    f'{PRINCIPAL} KEY\n{PRINCIPAL} namespaces="file"valid-before="20300101Z" KEY': "a comma or a space must follow",
}


@pytest.mark.parametrize("text", STRICTER)
def test_files_that_only_ssh_keygen_accepts(tmp_path: Path, signed: Signed, text: str) -> None:
    path = write(tmp_path, text, signed.line)
    assert ssh_keygen_trusts(path, signed)
    with pytest.raises(UsageError, match=re.escape(STRICTER[text])):
        read_allowed_signers(path)


@pytest.mark.parametrize(
    "text",
    [
        f"{PRINCIPAL} namespaces KEY",
        f'{PRINCIPAL} namespaces="{NAMESPACE}",,valid-before="20300101Z" KEY',
        f'{PRINCIPAL} namespaces="{NAMESPACE}", KEY',
        f'{PRINCIPAL} namespaces="a\\"b" KEY',
        f'{PRINCIPAL} namespaces="{NAMESPACE} KEY',
        f"{PRINCIPAL} ssh-ed25519 KEY",
        f"{PRINCIPAL} KEY\n{PRINCIPAL}\x00 KEY",
        f"{PRINCIPAL} ssh-ed25519 é{'A' * 67}",
    ],
)
def test_lines_that_nobody_accepts(tmp_path: Path, signed: Signed, text: str) -> None:
    with pytest.raises(UsageError, match="line "):
        read_allowed_signers(write(tmp_path, text, signed.line))


@pytest.mark.parametrize(
    "text",
    [
        f"{PRINCIPAL} thisisaverylongoptionnamethatisunknown ecdsa",
        f"{PRINCIPAL} {'a' * 100_000}! ssh-ed25519 AAAA",
        f"{PRINCIPAL} {',' * 100_000} KEY",
        f'{PRINCIPAL} {"a-" * 100_000}="x" KEY',
        f'{PRINCIPAL} namespaces="{"*a" * 5_000}" KEY',
        f"{PRINCIPAL}{' ' * 100_000}KEY x",
    ],
)
def test_no_line_takes_long(tmp_path: Path, signed: Signed, text: str) -> None:
    path = write(tmp_path, text, signed.line)
    start = time.process_time()
    trusts(path, signed.key)
    assert time.process_time() - start < 2


def test_a_file_is_read_whole_or_refused(tmp_path: Path, signed: Signed) -> None:
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        read_allowed_signers(write(tmp_path, f"{PRINCIPAL} KEY\n{'# more' * 200_000}", signed.line))


@given(text=st.text("ab", max_size=8), pattern=st.text("ab*?", max_size=8))
def test_patterns_against_regular_expressions(text: str, pattern: str) -> None:
    wanted = "".join({"*": ".*", "?": "."}.get(char, char) for char in pattern)
    assert matches(text, [pattern]) == (re.fullmatch(wanted, text) is not None)
    assert not matches(text, [f"!{pattern}"])
    assert matches(text, [text, f"!{pattern}"]) == (re.fullmatch(wanted, text) is None)


def test_patterns_take_no_time() -> None:
    start = time.process_time()
    assert not matches("a" * 5_000, ["*a" * 500 + "b"])
    assert time.process_time() - start < 5


# -- who signed -------------------------------------------------------------------------------------------------------


def plan(signer: Signer) -> Plan:
    root = "0" * 64
    return Plan(
        tool=Tool(version="0"),
        created=WHEN,
        signer=signer,
        case_file=root,
        source="cases.yaml",
        cases=(),
        settings=(),
        views=("html",),
        model_name="model",
        model_root=root,
    )


def checked(folder: Path, key: SigningKey, signer: Signer, trusted: tuple[TrustedKey, ...]) -> Report:
    """What verifying lists of a plan that the key signed in that name."""
    said = plan(signer)
    path = folder / "plan.sigstore.json"
    path.write_bytes(sign(encode(Statement(plan_subjects(said), said)), key))
    report = Report()
    opened = open_statement(report, "batch", path, Plan, trusted)
    assert opened is not None
    check_signer(report, "batch", signer, WHEN, opened)
    return report


def named(key: SigningKey, principal: str = PRINCIPAL) -> Signer:
    return replace(key, principal=principal).signer


def notes(report: Report) -> list[str]:
    return [check.detail for check in report.checks if check.outcome == "note"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f'old@x valid-before="20200101Z" KEY\n{PRINCIPAL} KEY\n', 0),
        (f'{PRINCIPAL} valid-before="20200101Z" KEY\n{PRINCIPAL} valid-after="20260101Z" KEY\n', 0),
        (f"old@x KEY\n{PRINCIPAL} valid-after='20270101Z' KEY\n".replace("'", '"'), 21),
        ("old@x KEY\nnew@x KEY\n", 21),
    ],
)
def test_one_line_of_several_must_allow_both_name_and_time(
    tmp_path: Path, signed: Signed, text: str, code: int
) -> None:
    trusted = read_allowed_signers(write(tmp_path, text, signed.line))
    other = TrustedKey(Ed25519PrivateKey.generate().public_key(), ())
    assert len(trusted) == 2
    assert checked(tmp_path, signed.key, named(signed.key), (other, *trusted)).exit_code == code
    said = plan(named(signed.key))
    data = sign(encode(Statement(plan_subjects(said), said)), signed.key)
    assert open_bundle(data, (other, *trusted), "plan")[1] == trusted


def test_who_signed_is_always_listed(tmp_path: Path, signed: Signed) -> None:
    by = f"signed by key id {signed.key.key_id}, as {PRINCIPAL}"
    trusted = read_allowed_signers(write(tmp_path, f"{PRINCIPAL} KEY\n", signed.line))
    report = checked(tmp_path, signed.key, named(signed.key), trusted)
    assert (report.exit_code, notes(report)) == (0, [by])
    open_statement(report, "a1", tmp_path / "plan.sigstore.json", Plan, trusted)
    assert notes(report) == [by]
    public = read_public_key(signed.folder / "key.pub.pem")
    report = checked(tmp_path, signed.key, named(signed.key, "ceo@bank.example"), public)
    claim = "the name is the signer's own claim; no validity period is known"
    assert (report.exit_code, notes(report)) == (0, [by.replace(PRINCIPAL, "ceo@bank.example") + f"; {claim}"])


def test_nobody_is_said_to_have_signed_who_is_not_trusted(tmp_path: Path, signed: Signed) -> None:
    other = TrustedKey(Ed25519PrivateKey.generate().public_key(), ())
    report = checked(tmp_path, signed.key, named(signed.key), (other,))
    assert (report.exit_code, notes(report)) == (21, [])


@pytest.mark.parametrize(("principal", "mark"), [(PRINCIPAL, True), ("TEST-ONLY@demo.invalid", False)])
def test_the_mark_for_tests_follows_from_the_name(tmp_path: Path, signed: Signed, principal: str, mark: bool) -> None:
    signer = named(signed.key, principal).model_copy(update={"test_only": mark})
    report = checked(tmp_path, signed.key, signer, read_public_key(signed.folder / "key.pub.pem"))
    failed = [check for check in report.checks if check.outcome == "failed"]
    assert failed == [Check("batch", "signer", "failed", failed[0].detail, 20)]
    assert "mark for tests" in failed[0].detail


# -- keys on the command line -----------------------------------------------------------------------------------------


def ended(*arguments: str, shell: str = "", limit: int | None = None) -> tuple[int, str]:
    """Exit code and stderr of the installed command, which never shows a traceback."""

    def restrict() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = ["sh", "-c", f'exec "$0" "$@" {shell}', COMMAND, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, preexec_fn=restrict)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("path", [LONG, "a" * 250, ".", "/", "..", "nowhere/key"])
@pytest.mark.parametrize("start", ["", "/"])
def test_paths_at_which_no_key_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, start: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"is a folder|cannot be written|exists already") as caught:
        generate(Path(f"{tmp_path}/{path}" if start else path), PRINCIPAL, None)
    assert len(str(caught.value)) < 500
    assert not list(tmp_path.iterdir())


def test_a_key_whose_name_leaves_no_room_for_the_file_beside_it(tmp_path: Path) -> None:
    generate(tmp_path / "key", PRINCIPAL, None)
    path = (tmp_path / "key").rename(tmp_path / ("a" * 250))
    with pytest.raises(UsageError, match="beside it"):
        signing_key(path, None, {})
    for wrong in (tmp_path / LONG, tmp_path):
        with pytest.raises(UsageError, match=r"cannot be read|is not a file"):
            signing_key(wrong, None, {})


def test_a_full_disk_leaves_no_cut_key(tmp_path: Path) -> None:
    code, stderr = ended("keygen", str(tmp_path / "key"), "--identity", PRINCIPAL, "--no-passphrase", limit=100)
    assert code == 2
    assert re.fullmatch(r"error: .* cannot be written: File too large; choose another path\n", stderr)
    assert not list(tmp_path.iterdir())


def test_a_failure_at_the_last_file_takes_the_first_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refusing(path: Path, *rest: int) -> int:
        if str(path).endswith(".allowed_signers"):
            raise OSError(28, "No space left on device")
        return opened(path, *rest)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(UsageError, match="No space left"):
        generate(tmp_path / "key", PRINCIPAL, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [-1, 2**31 - 1, 2**31, 99999999999999, 2**70])
def test_numbers_that_are_no_descriptors(number: int) -> None:
    with pytest.raises(UsageError, match=f"file descriptor {number} cannot be read"):
        passphrase("?", number, {})


def test_a_passphrase_is_bytes(tmp_path: Path) -> None:
    phrase = b"\xff\xfe"
    assert passphrase("?", None, {PASSPHRASE_VARIABLE: os.fsdecode(phrase)}) == phrase


def test_output_that_goes_nowhere_or_nowhere_fits(tmp_path: Path) -> None:
    arguments = ("keygen", str(tmp_path / "key"), "--identity", PRINCIPAL, "--no-passphrase")
    assert ended(*arguments, shell=">&-")[0] == 0
    assert ended("--version", shell=">&- 2>&- <&-")[0] == 0
    assert ended("verify", str(tmp_path), "--trust", "nothing", shell="2>&-")[0] == 2
    if Path("/dev/full").exists():
        full = (2, "error: the output cannot be written: No space left on device\n")
        assert ended("--help", shell=">/dev/full") == full
        assert ended("schema", "case", shell=">/dev/full") == full
        assert ended("verify", str(tmp_path), "--trust", "nothing", shell="2>/dev/full")[0] == 2


def test_a_pipe_that_nobody_reads_is_no_success() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([COMMAND, "schema", "case"], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
