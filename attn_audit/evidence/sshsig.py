"""Bytes to OpenSSH's signature of them, and back: what ``ssh-keygen -Y verify`` reads (PROTOCOL.sshsig of OpenSSH).

Of the many ways to write such a file one is accepted: that which ``ssh-keygen -Y sign`` writes for an Ed25519 key. The
whole file follows from key and signature, so that it is made again and compared, and no byte of it is free.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TypeAlias

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.keys import NAMESPACE, SigningKey, fingerprint, wire_form
from attn_audit.evidence.trust import TrustedKey, entries_that_signed

Digest: TypeAlias = "hashlib._Hash"

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_LINE = 70  # characters of base64
_MAGIC = b"SSHSIG"
_VERSION = (1).to_bytes(4, "big")
_HASH = b"sha512"
_LIMIT = 4096  # bytes; a signature by an Ed25519 key takes about 300


def sign(data: bytes, key: SigningKey) -> bytes:
    """The armored signature of ``data`` in our namespace."""
    return sign_digest(digest(data).digest(), key)


def sign_digest(sha512: bytes, key: SigningKey) -> bytes:
    """The same of data that was hashed part by part (``digest``)."""
    return _armored(key.private.public_key(), key.private.sign(_signed(sha512)))


def digest(data: bytes = b"") -> Digest:
    """What is signed of the data, to which more can be added."""
    return hashlib.sha512(data)


def verify(data: bytes, armored: bytes, trusted: tuple[TrustedKey, ...], what: str) -> tuple[TrustedKey, ...]:
    """Every entry of the trusted key that signed ``data``, at least one. Raises as ``verify_digest`` does."""
    return verify_digest(digest(data).digest(), armored, trusted, what)


def verify_digest(sha512: bytes, armored: bytes, trusted: tuple[TrustedKey, ...], what: str) -> tuple[TrustedKey, ...]:
    """The same of data that was hashed part by part (``digest``).

    Raises EvidenceError where the file is not in its one form or not what the key signed that it names, UntrustedSigner
    where it names a key that is not trusted.
    """
    public, signature = _parts(armored, what)
    if _armored(public, signature) != armored:
        raise EvidenceError(f"{what} is not an OpenSSH signature in the form and namespace that audits have")
    claimed = fingerprint(public)
    entries = entries_that_signed(trusted, signature, _signed(sha512))
    if entries and fingerprint(entries[0].public) == claimed:
        return entries
    if entries or claimed in {fingerprint(key.public) for key in trusted}:
        raise EvidenceError(f"{what} is not what the trusted key signed: it was changed, or the signature is not its")
    raise UntrustedSigner(f"{what} is by a key that is not trusted ({claimed})")


def _signed(sha512: bytes) -> bytes:
    """What the key signs."""
    return _MAGIC + _strings(NAMESPACE.encode(), b"", _HASH, sha512)


def _armored(public: Ed25519PublicKey, signature: bytes) -> bytes:
    """The file that holds the signature."""
    blob = _strings(b"ssh-ed25519", signature)
    whole = _MAGIC + _VERSION + _strings(wire_form(public), NAMESPACE.encode(), b"", _HASH, blob)
    text = base64.b64encode(whole).decode()
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    return "\n".join((_BEGIN, *lines, _END, "")).encode()


def _parts(armored: bytes, what: str) -> tuple[Ed25519PublicKey, bytes]:
    """Key and signature from where they stand in a file of the one form. Raises EvidenceError."""
    wrong = EvidenceError(f"{what} is not an OpenSSH signature by an Ed25519 key")
    lines = armored[:_LIMIT].split(b"\n")
    start = len(_MAGIC) + len(_VERSION) + 4 + 4 + len(b"ssh-ed25519") + 4
    try:
        blob = base64.b64decode(b"".join(lines[1:-2]), validate=True)
        return Ed25519PublicKey.from_public_bytes(blob[start : start + 32]), blob[-64:]
    except (binascii.Error, ValueError, InvalidKey, UnsupportedAlgorithm):
        raise wrong from None


def _strings(*values: bytes) -> bytes:
    """Each preceded by its length (RFC 4251, section 5, "string")."""
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)
