"""``SHA256SUMS`` and its signature: what ``sha256sum`` and ``ssh-keygen`` read, and in one form only."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import audits
from attn_audit.evidence import bundle, sshsig
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.keys import NAMESPACE, SigningKey
from attn_audit.evidence.sums import write_sums
from attn_audit.evidence.trust import TrustedKey, read_allowed_signers
from audits import Audit

MESSAGE = b"a message\n"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """A key and its files; there is no audit."""
    folder = tmp_path_factory.mktemp("sums")
    return Audit(folder, audits.key(folder))


def trusted(key: SigningKey) -> tuple[TrustedKey, ...]:
    return (TrustedKey(key.private.public_key(), ()),)


def by_ssh_keygen(program: str, key: Audit, folder: Path, *options: str, namespace: str = NAMESPACE) -> bytes:
    """The signature of the message that the real program makes."""
    (folder / "message").write_bytes(MESSAGE)
    sign = [program, "-Y", "sign", "-f", key.key, "-n", namespace, *options, folder / "message"]
    subprocess.run(sign, check=True, capture_output=True)
    return (folder / "message.sig").read_bytes()


def test_the_signature_is_that_of_ssh_keygen_to_the_last_byte(
    key: Audit, program: Callable[..., str], tmp_path: Path
) -> None:
    theirs = by_ssh_keygen(program("ssh-keygen"), key, tmp_path)
    assert sshsig.sign(MESSAGE, key.private) == theirs
    assert sshsig.verify(MESSAGE, theirs, trusted(key.private), "x") == trusted(key.private)


def test_ssh_keygen_accepts_ours_and_nothing_else(key: Audit, program: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "sig").write_bytes(sshsig.sign(MESSAGE, key.private))

    def accepts(data: bytes, namespace: str = NAMESPACE, identity: str = audits.PRINCIPAL) -> bool:
        command = [program("ssh-keygen"), "-Y", "verify", "-f", key.signers, "-I", identity, "-n", namespace]
        done = subprocess.run([*command, "-s", tmp_path / "sig"], input=data, capture_output=True, check=False)
        return done.returncode == 0

    assert accepts(MESSAGE)
    assert not accepts(MESSAGE + b"x")
    assert not accepts(MESSAGE, namespace="git")
    assert not accepts(MESSAGE, identity="other@bank.example")


def test_attack_06_signatures_by_ssh_keygen_in_other_forms(
    key: Audit, program: Callable[..., str], tmp_path: Path
) -> None:
    """Valid ones, by the trusted key: for another namespace, and over another hash."""
    ssh_keygen = program("ssh-keygen")
    for options, namespace in (((), "git"), (("-O", "hashalg=sha256"), NAMESPACE)):
        theirs = by_ssh_keygen(ssh_keygen, key, tmp_path, *options, namespace=namespace)
        with pytest.raises(EvidenceError, match="in the form and namespace that audits have") as caught:
            sshsig.verify(MESSAGE, theirs, trusted(key.private), "x")
        assert caught.value.exit_code == 20
        (tmp_path / "message.sig").unlink()


def rewrapped(data: bytes) -> bytes:
    lines = data.split(b"\n")
    text = b"".join(lines[1:-2])
    return b"\n".join((lines[0], *(text[at : at + 76] for at in range(0, len(text), 76)), *lines[-2:]))


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "other line lengths": rewrapped,
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "no end of line": lambda data: data[:-1],
    "text before": lambda data: b"x\n" + data,
    "text after": lambda data: data + b"x\n",
    "twice": lambda data: data * 2,
    "nothing": lambda data: b"",
    "no base64": lambda data: b"-----BEGIN SSH SIGNATURE-----\n?\n-----END SSH SIGNATURE-----\n",
    "too short": lambda data: b"-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----\n",
    "longer than any": lambda data: data[:30] + b"A" * 100_000 + data[30:],
    "bytes after the signature": lambda data: reblobbed(data, lambda blob: blob + b"x"),
    "something reserved": lambda data: reblobbed(data, lambda blob: blob.replace(b"v1\0\0\0\0", b"v1\0\0\0\1x", 1)),
    "another version": lambda data: reblobbed(data, lambda blob: blob.replace(b"SSHSIG\0\0\0\1", b"SSHSIG\0\0\0\2", 1)),
}


def reblobbed(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    lines = data.split(b"\n")
    blob = change(base64.b64decode(b"".join(lines[1:-2])))
    text = base64.b64encode(blob)
    return b"\n".join((lines[0], *(text[at : at + 70] for at in range(0, len(text), 70)), *lines[-2:]))


@pytest.mark.parametrize("name", FORMS)
def test_attack_10_signature_files_in_other_forms(key: Audit, name: str) -> None:
    changed = FORMS[name](sshsig.sign(MESSAGE, key.private))
    assert changed != sshsig.sign(MESSAGE, key.private)
    with pytest.raises(EvidenceError) as caught:
        sshsig.verify(MESSAGE, changed, trusted(key.private), "x")
    assert caught.value.exit_code == 20


def test_no_byte_of_the_signature_file_is_free(key: Audit) -> None:
    data = sshsig.sign(MESSAGE, key.private)
    for at in range(len(data)):
        for bits in (0x01, 0x20, 0x80):
            with pytest.raises(EvidenceError):
                sshsig.verify(MESSAGE, data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :], trusted(key.private), "x")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=600))
def test_any_bytes_are_refused_as_a_signature(key: Audit, data: bytes) -> None:
    for text in (data, base64.b64encode(data), b"x\n" + base64.b64encode(b"SSHSIG" + data) + b"\nx\n"):
        with pytest.raises(EvidenceError):
            sshsig.verify(MESSAGE, text, trusted(key.private), "x")


def test_another_key_is_untrusted(key: Audit, tmp_path: Path) -> None:
    other = Audit(tmp_path, audits.key(tmp_path)).private
    with pytest.raises(UntrustedSigner, match="by a key that is not trusted"):
        sshsig.verify(MESSAGE, sshsig.sign(MESSAGE, other), trusted(key.private), "x")


# -- in an audit ------------------------------------------------------------------------------------------------------


def outcome(audit: Audit) -> tuple[int, dict[tuple[str, str], str]]:
    found = audits.report(audit)
    return found.exit_code, audits.failures(found)


def test_sha256sum_reads_the_list_and_it_names_every_file(made_audit: Audit, program: Callable[..., str]) -> None:
    command = [program("sha256sum"), "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=made_audit.out, capture_output=True, text=True, check=True)
    named = {line.removesuffix(": OK") for line in done.stdout.splitlines()}
    files = {path.relative_to(made_audit.out).as_posix() for path in made_audit.out.rglob("*") if path.is_file()}
    assert named == files - {"SHA256SUMS", "SHA256SUMS.sig"}


def test_attack_04_all_files_and_the_list_edited_but_no_signature(audit: Audit) -> None:
    for name in ("content.json", "evidence.json", "report.html"):
        path = audit.case("first") / name
        path.write_bytes(path.read_bytes().replace(b"first", b"other"))
    signature = (audit.out / "SHA256SUMS.sig").read_bytes()
    write_sums(audit.out, audit.private)
    (audit.out / "SHA256SUMS.sig").write_bytes(signature)
    code, failed = outcome(audit)
    assert code == 20
    assert {("first", "digests"), ("batch", "signature of SHA256SUMS")} <= set(failed)
    assert ("batch", "SHA256SUMS") not in failed


def test_attack_04_only_the_list_edited(audit: Audit) -> None:
    path = audit.out / "SHA256SUMS"
    path.write_bytes(b"\n".join(path.read_bytes().splitlines()[:-1]) + b"\n")
    code, failed = outcome(audit)
    assert code == 20
    assert set(failed) == {("batch", "SHA256SUMS"), ("batch", "signature of SHA256SUMS")}


@pytest.mark.parametrize("private", ["the auditor's", "a forger's", "nobody's"])
@pytest.mark.parametrize("change", ["removed", "added", "reordered"])
def test_attack_16_17_18_with_a_freshly_written_list(audit: Audit, change: str, private: str, tmp_path: Path) -> None:
    """A fresh list, signed or not, hides nothing: plan and seal name the cases. A forger's signature is 21 first."""
    if change == "removed":
        shutil.rmtree(audit.case("second"))
    elif change == "added":
        shutil.copytree(audit.case("first"), audit.case("fourth"))
    else:
        seal = audits.seal_of(audit.out)
        audits.reseal(audit.out, audit.private, cases=seal.cases[::-1])
    other = Audit(tmp_path, audits.key(tmp_path, principal="forger@elsewhere.example")).private
    write_sums(audit.out, {"the auditor's": audit.private, "a forger's": other, "nobody's": None}[private])
    assert outcome(audit)[0] == (21 if private == "a forger's" else 22)


def test_attack_05_only_the_list_signed_by_another_key(audit: Audit, tmp_path: Path) -> None:
    other = Audit(tmp_path, audits.key(tmp_path)).private
    write_sums(audit.out, other)
    code, failed = outcome(audit)
    assert code == 21
    assert set(failed) == {("batch", "signature of SHA256SUMS")}
    both = (*read_allowed_signers(audit.signers), *trusted(other))
    found = audits.verify(audit.out, both)
    assert found.exit_code == 20, "trusted, but not the one that sealed the batch"


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.sig", "VERIFY.md"])
def test_list_signature_or_page_missing(audit: Audit, name: str) -> None:
    (audit.out / name).unlink()
    assert outcome(audit)[0] == 20


def test_attack_58_a_page_that_tells_the_stranger_something_else(audit: Audit) -> None:
    path = audit.out / "VERIFY.md"
    path.write_text(path.read_text().replace(audits.PRINCIPAL, "friend@elsewhere.example"))
    write_sums(audit.out, audit.private)
    assert outcome(audit) == (20, {("batch", "VERIFY.md"): "VERIFY.md does not follow from plan, seal and evidence"})


def test_an_unsigned_audit_has_a_list_and_no_signature(tiny_model: Path, tmp_path: Path) -> None:
    out = audits.make(tmp_path, tiny_model, None).out
    assert (out / "SHA256SUMS").exists()
    assert not (out / "SHA256SUMS.sig").exists()
    assert "This audit is unsigned: nobody vouches for it" in (out / "VERIFY.md").read_text()


def test_a_table_may_be_larger_than_what_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of all pieces of a large batch: it is hashed and copied a part at a time."""
    monkeypatch.setattr(bundle, "_FILE_LIMIT", 10)
    (tmp_path / "results.csv").write_bytes(b"x" * 11)
    with pytest.raises(EvidenceError, match="is larger than"):
        bundle.read_file(tmp_path / "results.csv")
    assert bundle.digest_of(tmp_path / "results.csv") == sha256(b"x" * 11)
    bundle.copy_file(tmp_path / "results.csv", tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == b"x" * 11
