"""Ed25519 keys: made, read and named.

A private key is an OpenSSH file (bcrypt, 64 rounds, when it has a passphrase) or PKCS#8 PEM. A key's id is the
sha256 of its SubjectPublicKeyInfo (RFC 8410) in DER.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from attn_audit.evidence.digest import sha256
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import Signer

NAMESPACE = "attn-audit@v1"
TEST_MARK = "TEST-ONLY"
_KDF_ROUNDS = 64
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}")
_GIVE_PRIVATE = "give the private key that 'attn-audit keygen' wrote"
_KEY_FILE_LIMIT = 1 << 16
_SHOWN = 200


@dataclass(frozen=True)
class SigningKey:
    """A private key and the principal (mail-like name) that it signs as."""

    private: Ed25519PrivateKey
    principal: str

    @property
    def key_id(self) -> str:
        return key_id(self.private.public_key())

    @property
    def test_only(self) -> bool:
        return self.principal.startswith(TEST_MARK)

    @property
    def signer(self) -> Signer:
        """As the records name it."""
        public = self.private.public_key()
        return Signer(
            key_id=self.key_id,
            fingerprint=fingerprint(public),
            principal=self.principal,
            test_only=self.test_only,
        )


def key_id(public: Ed25519PublicKey) -> str:
    """sha256, hex, of the SubjectPublicKeyInfo in DER."""
    return sha256(public.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo))


def wire_form(public: Ed25519PublicKey) -> bytes:
    """The key as OpenSSH sends it (RFC 8709, section 4)."""
    return base64.b64decode(public.public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).split()[1])


def fingerprint(public: Ed25519PublicKey) -> str:
    """What ``ssh-keygen -l`` prints: the sha256 of the wire form in base64 without padding."""
    return "SHA256:" + base64.b64encode(bytes.fromhex(sha256(wire_form(public)))).decode().rstrip("=")


def check_principal(principal: str) -> str:
    """A principal that OpenSSH reads as one word and one name. Raises UsageError."""
    if not _PRINCIPAL.fullmatch(principal):
        raise UsageError(
            f"identity {principal!r} is refused: use letters, digits and . _ + @ - only, beginning with a letter or "
            "digit, like audit@bank.example"
        )
    return principal


def generate(path: Path, principal: str, passphrase: bytes | None) -> tuple[Path, ...]:
    """Write PATH (mode 0600), PATH.pub.pem and PATH.allowed_signers: all of them or none; never overwrites.

    Raises UsageError.
    """
    check_principal(principal)
    if path.name in {"", ".."}:
        raise UsageError(f"{path} is a folder; give the path of the key file to write")
    private = Ed25519PrivateKey.generate()
    if passphrase is None:
        protection: ser.KeySerializationEncryption = ser.NoEncryption()
    else:
        protection = ser.PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(_KDF_ROUNDS).build(passphrase)
    public = private.public_key()
    line = public.public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).decode()
    pem = public.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    files = (
        (path, private.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, protection), 0o600),
        (path.with_name(path.name + ".pub.pem"), pem, 0o644),
        (
            path.with_name(path.name + ".allowed_signers"),
            f'{principal} namespaces="{NAMESPACE}" {line}\n'.encode(),
            0o644,
        ),
    )
    for target, _, _ in files:
        _require_absent(target)
    written: list[Path] = []
    try:
        for target, data, mode in files:
            _create(target, data, mode, written)
    except UsageError:
        for target in written:
            target.unlink(missing_ok=True)
        raise
    return tuple(written)


def _require_absent(path: Path) -> None:
    try:
        path.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{_shortened(path)} cannot be written: {error.strerror}; choose another path") from None
    raise UsageError(f"{path} exists already; keys are never overwritten, choose another path")


def _create(path: Path, data: bytes, mode: int, written: list[Path]) -> None:
    """Write a new file whole, onto the disk; as soon as it exists it is listed in ``written``. Raises UsageError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        written.append(path)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"{_shortened(path)} cannot be written: {error.strerror}; choose another path") from None


def _shortened(path: Path) -> str:
    """A path for a message about it, which may be its length."""
    text = str(path)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def read_private(path: Path) -> bytes:
    """The bytes of a key file that only its owner can read. Raises UsageError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            os.close(descriptor)
            raise UsageError(f"key {path} is not a file; {_GIVE_PRIVATE}")
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(_KEY_FILE_LIMIT)
    except OSError as error:
        raise UsageError(f"key {_shortened(path)} cannot be read: {error.strerror}; {_GIVE_PRIVATE}") from None
    if b"PRIVATE KEY-----" not in data and (b"PUBLIC KEY-----" in data or b"ssh-ed25519 " in data):
        raise UsageError(f"key {path} is a public key; {_GIVE_PRIVATE}")
    if os.name == "posix" and state.st_mode & 0o077:
        raise UsageError(f"key {path} can be read by others (mode {state.st_mode & 0o777:04o}); run: chmod 600 {path}")
    return data


def is_encrypted(data: bytes) -> bool:
    """Whether the private key needs a passphrase."""
    try:
        _load(data, None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return False


def load_private(data: bytes, passphrase: bytes | None, principal: str, source: str) -> SigningKey:
    """An Ed25519 signing key from OpenSSH or PKCS#8 PEM bytes. Raises UsageError naming ``source``."""
    try:
        private = _load(data, passphrase)
    except TypeError:
        wanted = "it has a passphrase" if passphrase is None else "it has no passphrase, but one was given"
        raise UsageError(f"key {source} cannot be opened: {wanted}") from None
    except (ValueError, UnsupportedAlgorithm):
        reason = (
            "wrong passphrase, or not a private key"
            if passphrase
            else "it is not a private key in OpenSSH or PKCS#8 PEM format"
        )
        raise UsageError(f"key {source} cannot be opened: {reason}") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"key {source} is not an Ed25519 key; make one with 'attn-audit keygen'")
    return SigningKey(private, check_principal(principal))


def _load(data: bytes, passphrase: bytes | None) -> object:
    if b"BEGIN OPENSSH PRIVATE KEY" in data:
        return ser.load_ssh_private_key(data, passphrase)
    return ser.load_pem_private_key(data, passphrase)
