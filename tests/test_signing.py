"""Keys: made once, kept private, opened only by their passphrase, and trusted only by a file the reader brings."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attn_audit.cli.signing import PASSPHRASE_VARIABLE, signers_beside, signing_key
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.keys import NAMESPACE, check_principal, generate, is_encrypted
from attn_audit.evidence.trust import read_allowed_signers, read_public_key

PRINCIPAL = "audit@bank.example"
PHRASE = "correct horse battery staple"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate(tmp_path / "key", PRINCIPAL, None)
    return tmp_path / "key"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key with a passphrase; made once, since its 64 rounds of bcrypt take a second."""
    path = tmp_path_factory.mktemp("locked") / "key"
    generate(path, PRINCIPAL, PHRASE.encode())
    return path


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[Callable[[bytes], int]]:
    """The number of a descriptor from which these bytes can be read."""
    opened = []

    def make(data: bytes) -> int:
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        opened.append(reading)
        return reading

    yield make
    for number in opened:
        os.close(number)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def own_line(private: object) -> str:
    """The public key in OpenSSH's one-line form."""
    public = private.public_key()  # type: ignore[attr-defined]
    return public.public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).decode()


# -- keygen -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_keygen_writes_three_files_and_only_one_is_secret(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        written = generate(tmp_path / "key", PRINCIPAL, None)
    finally:
        os.umask(before)
    assert [path.name for path in written] == ["key", "key.pub.pem", "key.allowed_signers"]
    assert mode(written[0]) == 0o600
    assert {mode(path) for path in written[1:]} == {0o644 & ~umask}
    assert "BEGIN OPENSSH PRIVATE KEY" in written[0].read_text()
    signed_as = signing_key(written[0], None, {})
    [from_pem] = read_public_key(written[1])
    [from_signers] = read_allowed_signers(written[2])
    assert signed_as.key_id == from_pem.key_id == from_signers.key_id
    assert from_signers.principals == (signed_as.principal,) == (PRINCIPAL,)
    assert f'namespaces="{NAMESPACE}"' in written[2].read_text()


@pytest.mark.parametrize("existing", ["key", "key.pub.pem", "key.allowed_signers"])
@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_keygen_never_overwrites(tmp_path: Path, existing: str, kind: str) -> None:
    if kind == "file":
        (tmp_path / existing).write_text("precious")
    else:
        (tmp_path / existing).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="exists already; keys are never overwritten"):
        generate(tmp_path / "key", PRINCIPAL, None)
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert kind != "file" or (tmp_path / existing).read_text() == "precious"


def test_keygen_in_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        generate(tmp_path / "nowhere" / "key", PRINCIPAL, None)


@pytest.mark.parametrize("principal", ["", "a b", "a\nb", "*", "-rf", "a,b", '"a"', "é@bank.example", "x" * 129, "!a"])
def test_principals_that_openssh_would_read_otherwise(tmp_path: Path, principal: str) -> None:
    with pytest.raises(UsageError, match=r"identity .* is refused"):
        generate(tmp_path / "key", principal, None)
    assert not list(tmp_path.iterdir())


def test_a_test_key_is_told_by_its_principal(tmp_path: Path) -> None:
    generate(tmp_path / "key", "TEST-ONLY-demo@example", None)
    assert signing_key(tmp_path / "key", None, {}).test_only
    assert check_principal("TEST-ONLY-demo@example") == "TEST-ONLY-demo@example"


# -- passphrases ------------------------------------------------------------------------------------------------------


def test_passphrase_from_the_environment(locked: Path) -> None:
    assert is_encrypted(locked.read_bytes())
    assert signing_key(locked, None, {PASSPHRASE_VARIABLE: PHRASE}).principal == PRINCIPAL


@pytest.mark.parametrize("end", ["", "\n", "\nsecond line"])
def test_passphrase_from_a_descriptor_wins(locked: Path, descriptor: Callable[[bytes], int], end: str) -> None:
    number = descriptor((PHRASE + end).encode())
    assert signing_key(locked, number, {PASSPHRASE_VARIABLE: "wrong"}).principal == PRINCIPAL


def test_wrong_passphrase(locked: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be opened: wrong passphrase, or not a private key$") as caught:
        signing_key(locked, None, {PASSPHRASE_VARIABLE: "wrong"})
    assert caught.value.exit_code == 2
    assert "wrong" not in str(caught.value).replace("wrong passphrase", "")


def test_empty_passphrase(locked: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        signing_key(locked, None, {PASSPHRASE_VARIABLE: ""})


def test_no_passphrase_and_nobody_to_ask(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(UsageError, match=f"needs a passphrase: set {PASSPHRASE_VARIABLE} or give --passphrase-fd"):
            signing_key(locked, None, {})


def test_descriptor_that_is_not_open(locked: Path) -> None:
    with pytest.raises(UsageError, match="file descriptor 987 cannot be read"):
        signing_key(locked, 987, {})


def test_a_key_without_passphrase_asks_for_none(key: Path) -> None:
    assert signing_key(key, None, {PASSPHRASE_VARIABLE: "unused"}).principal == PRINCIPAL


# -- key files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o644, 0o666, 0o601])
def test_attack_51_key_that_others_can_read(key: Path, bits: int) -> None:
    key.chmod(bits)
    with pytest.raises(UsageError, match=rf"can be read by others \(mode {bits:04o}\); run: chmod 600"):
        signing_key(key, None, {})


def test_key_only_its_owner_can_read(key: Path) -> None:
    key.chmod(0o400)
    assert signing_key(key, None, {}).principal == PRINCIPAL


def test_things_that_are_no_key_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name in ("folder", "fifo"):
        with pytest.raises(UsageError, match="is not a file; give the private key"):
            signing_key(tmp_path / name, None, {})
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        signing_key(tmp_path / "nothing", None, {})


@pytest.mark.parametrize("data", [b"", b"x", b"\xff" * 100, b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_files_that_hold_no_key(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(UsageError, match="not a private key in OpenSSH or PKCS#8 PEM format"):
        signing_key(tmp_path / "key", None, {})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(at=st.integers(0, 380), bits=st.integers(1, 255))
def test_a_damaged_key_opens_as_itself_or_not_at_all(key: Path, at: int, bits: int) -> None:
    before = key.read_bytes()
    key.write_bytes(before[:at] + bytes([before[at] ^ bits]) + before[at + 1 :])
    try:
        [trusted] = read_allowed_signers(signers_beside(key))
        assert signing_key(key, None, {PASSPHRASE_VARIABLE: "x"}).key_id == trusted.key_id
    except UsageError:
        pass
    finally:
        key.write_bytes(before)


def test_keys_of_other_kinds(key: Path) -> None:
    for private in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())):
        for form in (ser.PrivateFormat.OpenSSH, ser.PrivateFormat.PKCS8):
            key.write_bytes(private.private_bytes(ser.Encoding.PEM, form, ser.NoEncryption()))
            with pytest.raises(UsageError, match="is not an Ed25519 key; make one with 'attn-audit keygen'"):
                signing_key(key, None, {})


@pytest.mark.parametrize("phrase", [None, PHRASE])
def test_a_pkcs8_key_signs_as_the_principal_beside_it(tmp_path: Path, phrase: str | None) -> None:
    private = Ed25519PrivateKey.generate()
    protection: ser.KeySerializationEncryption = ser.NoEncryption()
    if phrase is not None:
        protection = ser.BestAvailableEncryption(phrase.encode())
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_bytes(private.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, protection))
    with pytest.raises(UsageError, match=r"has no key.pem.allowed_signers beside it"):
        signing_key(path, None, {PASSPHRASE_VARIABLE: PHRASE})
    signers_beside(path).write_text(f"{PRINCIPAL} {own_line(private)}\n")
    read = signing_key(path, None, {PASSPHRASE_VARIABLE: PHRASE})
    assert read.principal == PRINCIPAL
    assert read.private.private_bytes_raw() == private.private_bytes_raw()


def test_signers_of_another_key(key: Path) -> None:
    signers_beside(key).write_text(f"{PRINCIPAL} {own_line(Ed25519PrivateKey.generate())}\n")
    with pytest.raises(UsageError, match="does not name the key"):
        signing_key(key, None, {})


# -- allowed_signers --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def line() -> str:
    return own_line(Ed25519PrivateKey.generate())


def signers(folder: Path, text: str) -> Path:
    (folder / "signers").write_text(text)
    return folder / "signers"


def test_allowed_signers_as_openssh_reads_them(tmp_path: Path, line: str) -> None:
    other = own_line(Ed25519PrivateKey.generate())
    options = f'namespaces="git,{NAMESPACE}",valid-after="20260101Z",valid-before="20270101000000Z"'
    text = f"""\
# who may sign, as of today

  {PRINCIPAL} {line} a comment
"a b@bank.example,*@bank.example" {options} {other}
nobody@bank.example namespaces="git" {line}
old@bank.example ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ
"""
    first, second = read_allowed_signers(signers(tmp_path, text))
    assert first.principals == (PRINCIPAL,)
    assert (first.valid_after, first.valid_before) == (None, None)
    assert second.principals == ("a b@bank.example", "*@bank.example")
    assert second.valid_after == datetime(2026, 1, 1, tzinfo=UTC)
    assert second.valid_before == datetime(2027, 1, 1, tzinfo=UTC)
    assert second.covers(datetime(2026, 1, 1, tzinfo=UTC))
    assert second.covers(datetime(2027, 1, 1, tzinfo=UTC))
    assert not second.covers(datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC))
    assert not second.covers(datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC))


def test_a_quoted_principal(tmp_path: Path, line: str) -> None:
    [key] = read_allowed_signers(signers(tmp_path, f'"{PRINCIPAL},b@bank.example" {line}\n'))
    assert key.principals == (PRINCIPAL, "b@bank.example")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("audit@bank.example", "not a line of an allowed_signers file"),
        ("audit@bank.example KEY", "not a line of an allowed_signers file"),
        ("audit@bank.example ssh-ed25519", "not a line of an allowed_signers file"),
        ("audit@bank.example ssh-ed25519 AAAA", "the key cannot be read"),
        ("audit@bank.example ssh-ed25519 ?", "the key cannot be read"),
        ("audit@bank.example cert-authority LINE", "certificate authorities are not supported"),
        ('audit@bank.example verify-required="x" LINE', "unknown option 'verify-required'"),
        ('audit@bank.example valid-before="2026-01-01" LINE', "is not of the form"),
        ('audit@bank.example valid-before="20260101" LINE', "is not of the form"),
        ('audit@bank.example valid-before="20261301Z" LINE', "is not of the form"),
        ("audit@bank.example valid-before LINE", "is not of the form"),
    ],
)
def test_lines_that_are_refused_name_file_and_line(tmp_path: Path, line: str, wrong: str, reason: str) -> None:
    path = signers(tmp_path, f"# one\n{PRINCIPAL} {line}\n{wrong.replace('LINE', line)}\n")
    with pytest.raises(UsageError) as caught:
        read_allowed_signers(path)
    assert str(caught.value).startswith(f"{path}, line 3: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "# nobody\n", f'{PRINCIPAL} namespaces="git" LINE\n', f"{PRINCIPAL} ssh-rsa AAAA\n"]
)
def test_files_by_which_nobody_is_trusted(tmp_path: Path, line: str, text: str) -> None:
    with pytest.raises(UsageError, match="nothing can be trusted by it"):
        read_allowed_signers(signers(tmp_path, text.replace("LINE", line)))


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "signers").write_bytes(b"\xff\xfe")
    for read in (read_allowed_signers, read_public_key):
        with pytest.raises(UsageError, match="is not text"):
            read(tmp_path / "signers")
        with pytest.raises(UsageError, match="cannot be read"):
            read(tmp_path)
        with pytest.raises(UsageError, match="cannot be read"):
            read(tmp_path / "nothing")


@given(text=st.text(max_size=80) | st.text(alphabet='a@ ="-,\n#ssh-ed25519valid', max_size=60))
def test_any_text_is_read_or_refused_as_a_trust_store(tmp_path: Path, line: str, text: str) -> None:
    (tmp_path / "signers").write_text(f"{text} {line}", encoding="utf-8", errors="replace")
    sentences = []
    for read in (read_allowed_signers, read_public_key):
        try:
            read(tmp_path / "signers")
        except UsageError as error:
            sentences.append(str(error))
    assert all(str(tmp_path) in sentence for sentence in sentences)


def test_public_keys_in_both_forms(tmp_path: Path, key: Path, line: str) -> None:
    (tmp_path / "key.pub").write_text(f"{line} a comment\n")
    [ssh] = read_public_key(tmp_path / "key.pub")
    assert base64.b64decode(line.split()[1])[-32:] == ssh.public.public_bytes_raw()
    assert read_public_key(signers_beside(key).with_name("key.pub.pem"))[0].principals == ()
    (tmp_path / "rsa.pub").write_text(own_line(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(UsageError, match="not an Ed25519 key"):
        read_public_key(tmp_path / "rsa.pub")
    with pytest.raises(UsageError, match="is a private key; nobody needs it to verify"):
        read_public_key(key)


# -- the real ssh-keygen ----------------------------------------------------------------------------------------------


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def test_ssh_keygen_reads_our_key(key: Path, program: Callable[..., str]) -> None:
    public = run(program("ssh-keygen"), "-y", "-P", "", "-f", key)
    assert public.split()[:2] == signers_beside(key).read_text().split()[2:4]
    (key.parent / "auditor.pub").write_text(public)
    assert "SHA256:" in run(program("ssh-keygen"), "-lf", key.parent / "auditor.pub")


def test_ssh_keygen_opens_our_key_with_its_passphrase(locked: Path, program: Callable[..., str]) -> None:
    public = run(program("ssh-keygen"), "-y", "-P", PHRASE, "-f", locked)
    assert public.split()[1] in signers_beside(locked).read_text()
    refused = subprocess.run(
        [program("ssh-keygen"), "-y", "-P", "wrong", "-f", locked], capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    rounds = base64.b64decode("".join(locked.read_text().splitlines()[1:-1]))
    assert b"bcrypt" in rounds
    assert (64).to_bytes(4, "big") in rounds[:120], "64 rounds of bcrypt"


def test_we_read_a_key_of_ssh_keygen(tmp_path: Path, program: Callable[..., str]) -> None:
    path = tmp_path / "theirs"
    run(program("ssh-keygen"), "-q", "-t", "ed25519", "-N", PHRASE, "-C", "a comment", "-f", path)
    public = path.with_name("theirs.pub").read_text()
    signers_beside(path).write_text(f'{PRINCIPAL} namespaces="{NAMESPACE}" {public}')
    read = signing_key(path, None, {PASSPHRASE_VARIABLE: PHRASE})
    assert read.key_id == read_public_key(path.with_name("theirs.pub"))[0].key_id


def test_ssh_keygen_verifies_by_our_allowed_signers(key: Path, tmp_path: Path, program: Callable[..., str]) -> None:
    (tmp_path / "sums").write_text("x\n")
    run(program("ssh-keygen"), "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, tmp_path / "sums")
    command = [program("ssh-keygen"), "-Y", "verify", "-f", signers_beside(key), "-I", PRINCIPAL]
    for namespace, expected in ((NAMESPACE, 0), ("git", 255)):
        with (tmp_path / "sums").open() as sums:
            done = subprocess.run(
                [*command, "-n", namespace, "-s", tmp_path / "sums.sig"], stdin=sums, capture_output=True, check=False
            )
        assert done.returncode == expected
