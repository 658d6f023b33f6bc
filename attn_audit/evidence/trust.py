"""Whom the reader trusts: OpenSSH ``allowed_signers`` files or one public key, never a key found in the evidence.

The format is that of ssh-keygen(1), "ALLOWED SIGNERS": principals, options, key type, key. Certificates are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.keys import NAMESPACE, key_id

_LIMIT = 1 << 20
_OPTION = re.compile(r'([a-z-]+)(?:="([^"]*)")?(?:,|$)')
_LINE = re.compile(
    r'(?P<principals>"[^"]+"|\S+)\s+(?:(?P<options>(?:[a-z-]+(?:="[^"]*")?,?)+)\s+)?(?P<type>ssh-\S+|sk-\S+|ecdsa-\S+)\s+(?P<key>\S+)'
)

# Encodings of the points of small order on edwards25519 (RFC 8032, section 5.1; the cofactor is 8), canonical and not.
# A signature under such a key can be made to verify for many messages.
_P = 2**255 - 19
_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _P, _P + 1, _ORDER_8_Y, _P - _ORDER_8_Y})


@dataclass(frozen=True)
class TrustedKey:
    """A public key, the principals it may sign as, and when it may."""

    public: Ed25519PublicKey
    principals: tuple[str, ...]
    valid_after: datetime | None = None
    valid_before: datetime | None = None

    @property
    def key_id(self) -> str:
        return key_id(self.public)

    def covers(self, moment: datetime) -> bool:
        """Whether the key was valid at ``moment`` (UTC)."""
        return (self.valid_after is None or moment >= self.valid_after) and (
            self.valid_before is None or moment < self.valid_before
        )


def read_allowed_signers(path: Path) -> tuple[TrustedKey, ...]:
    """The Ed25519 keys of the file that may sign in our namespace. Raises UsageError naming file and line."""
    lines = _read(path).splitlines()
    keys = tuple(_keys(path, lines))
    if not keys:
        raise UsageError(f'{path} names no Ed25519 key for the namespace "{NAMESPACE}"; nothing can be trusted by it')
    return keys


def read_public_key(path: Path) -> tuple[TrustedKey, ...]:
    """One key from a PEM or OpenSSH public key file; any principal. Raises UsageError."""
    data = _read(path).encode()
    try:
        public = ser.load_pem_public_key(data) if b"-----BEGIN" in data else ser.load_ssh_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path} is not a public key; give PEM (PATH.pub.pem) or OpenSSH format") from None
    return (TrustedKey(_checked(public, str(path)), ()),)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text; expected public keys") from None


def _keys(path: Path, lines: Iterable[str]) -> Iterable[TrustedKey]:
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{path}, line {number}"
        match = _LINE.match(line)
        if match is None:
            raise UsageError(f"{where}: not a line of an allowed_signers file (principal, options, key type, key)")
        options = _options(match["options"] or "", where)
        if "cert-authority" in options:
            raise UsageError(f"{where}: certificate authorities are not supported; name the key itself")
        namespaces = options.get("namespaces")
        if match["type"] != "ssh-ed25519" or (namespaces is not None and NAMESPACE not in namespaces.split(",")):
            continue
        try:
            public = ser.load_ssh_public_key(f"{match['type']} {match['key']}".encode())
        except (ValueError, UnsupportedAlgorithm):
            raise UsageError(f"{where}: the key cannot be read") from None
        yield TrustedKey(
            _checked(public, where),
            tuple(match["principals"].strip('"').split(",")),
            _moment(options.get("valid-after"), where),
            _moment(options.get("valid-before"), where),
        )


def _options(text: str, where: str) -> dict[str, str]:
    options: dict[str, str] = dict(_OPTION.findall(text))
    if unknown := set(options) - {"namespaces", "valid-after", "valid-before", "cert-authority"}:
        raise UsageError(f"{where}: unknown option {sorted(unknown)[0]!r}")
    return options


def _moment(text: str | None, where: str) -> datetime | None:
    """YYYYMMDD or YYYYMMDDHHMM[SS] with Z, as ssh-keygen reads it. Local times are refused: they differ by reader."""
    if text is None:
        return None
    for form in ("%Y%m%dZ", "%Y%m%d%H%MZ", "%Y%m%d%H%M%SZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise UsageError(f"{where}: time {text!r} is not of the form YYYYMMDD[HHMM[SS]]Z (UTC)")


def _checked(public: object, where: str) -> Ed25519PublicKey:
    if not isinstance(public, Ed25519PublicKey):
        raise UsageError(f"{where}: not an Ed25519 key")
    raw = public.public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw)
    if int.from_bytes(raw, "little") % 2**255 in _SMALL_ORDER_Y:
        raise UsageError(f"{where}: this key is a point of small order, under which signatures prove nothing; refused")
    return public
