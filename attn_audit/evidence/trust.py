"""Whom the reader trusts: OpenSSH ``allowed_signers`` files or one public key, never a key found in the evidence.

The format is that of ssh-keygen(1), "ALLOWED SIGNERS": principals, options, key type, key. What is trusted is what
``ssh-keygen -Y verify`` trusts, or less: where it skips a line that it cannot read, the whole file is refused here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.keys import NAMESPACE, SigningKey, key_id

_LIMIT = 1 << 20
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab, which separates
_SPACE = re.compile("[ \t]+")
_PRINCIPALS = re.compile(r'(?:"([^"]*)"|([^ \t"]+))[ \t]+')
_OPTION = re.compile(r'([A-Za-z-]+)(?:="([^"\\]*)")?')
_OPTION_NAMES = frozenset({"namespaces", "valid-after", "valid-before", "cert-authority"})
_KEY_TYPE = re.compile(r"(?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+")

# Encodings of the points of small order on edwards25519 (RFC 8032, section 5.1; the cofactor is 8), canonical and not.
# A signature under such a key can be made to verify for many messages.
_P = 2**255 - 19
_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y = frozenset({0, 1, _P - 1, _P, _P + 1, _ORDER_8_Y, _P - _ORDER_8_Y})


@dataclass(frozen=True)
class TrustedKey:
    """A public key, the patterns of the principals it may sign as (none: any), when it may, and whether its owner gave
    it up."""

    public: Ed25519PublicKey
    principals: tuple[str, ...]
    valid_after: datetime | None = None
    valid_before: datetime | None = None
    revoked: bool = False

    def __reduce__(self) -> tuple[Any, ...]:  # the key itself cannot be sent to another process
        rest = (self.principals, self.valid_after, self.valid_before, self.revoked)
        return _sent, (self.public.public_bytes_raw(), *rest)

    @property
    def key_id(self) -> str:
        return key_id(self.public)

    def covers(self, moment: datetime) -> bool:
        """Whether the key was valid at ``moment`` (UTC): as OpenSSH has it, from the first to the last time, both
        included."""
        return (self.valid_after is None or moment >= self.valid_after) and (
            self.valid_before is None or moment <= self.valid_before
        )

    def may_sign_as(self, principal: str) -> bool:
        """Whether the reader lets the key sign in that name."""
        return not self.principals or matches(principal, self.principals)


def _sent(public: bytes, *rest: Any) -> TrustedKey:
    return TrustedKey(Ed25519PublicKey.from_public_bytes(public), *rest)


def entries_that_signed(trusted: tuple[TrustedKey, ...], signature: bytes, message: bytes) -> tuple[TrustedKey, ...]:
    """Every entry of the key whose signature this is (one for each line that trusts it); empty where it is nobody's."""
    for key in trusted:
        try:
            key.public.verify(signature, message)
        except InvalidSignature:
            continue
        return tuple(entry for entry in trusted if entry.key_id == key.key_id)
    return ()


def own(key: SigningKey | None) -> tuple[TrustedKey, ...]:
    """Whoever signs trusts that key, in any name and at any time."""
    return () if key is None else (TrustedKey(key.private.public_key(), ()),)


def matches(text: str, patterns: Iterable[str]) -> bool:
    """OpenSSH's list of patterns (ssh_config(5), "PATTERNS"): ``*`` is any text, ``?`` one byte, and nothing else is
    special. A pattern after ``!`` that matches undoes all others."""
    subject = text.encode("utf-8", "surrogateescape")
    found = False
    for pattern in patterns:
        if _match(subject, pattern.removeprefix("!").encode("utf-8", "surrogateescape")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _match(text: bytes, pattern: bytes) -> bool:
    """One pattern, in time len(text) * len(pattern) at most: only the last ``*`` is ever given more of the text."""
    at = here = kept = 0
    star = -1
    while at < len(text):
        if here < len(pattern) and pattern[here] == ord("*"):
            star, kept = here, at
            here += 1
        elif here < len(pattern) and pattern[here] in (ord("?"), text[at]):
            at, here = at + 1, here + 1
        elif star >= 0:
            kept += 1
            at, here = kept, star + 1
        else:
            return False
    return not pattern[here:].strip(b"*")


def read_allowed_signers(path: Path) -> tuple[TrustedKey, ...]:
    """The Ed25519 keys of the file that may sign in our namespace. Raises UsageError naming file and line."""
    text = _read(path)
    if "-----BEGIN " in text:
        raise UsageError(f"{path} is {_kind(text)} and no allowed_signers file; {_advice(text)}")
    keys = tuple(_keys(path, text.split("\n")))  # at no other character ends a line, or a comment
    if not keys:
        raise UsageError(f'{path} names no Ed25519 key for the namespace "{NAMESPACE}"; nothing can be trusted by it')
    return keys


def read_public_key(path: Path) -> tuple[TrustedKey, ...]:
    """One key from a PEM or OpenSSH public key file; any principal. Raises UsageError."""
    text = _read(path)
    data = text.encode()
    if "PRIVATE KEY-----" in text:
        raise UsageError(f"{path} is {_kind(text)}; {_advice(text)}")
    try:
        public = ser.load_pem_public_key(data) if b"-----BEGIN" in data else ser.load_ssh_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(
            f"{path} is not a public key; give PEM (PATH.pub.pem) or OpenSSH format "
            "(an allowed_signers file goes with --trust)"
        ) from None
    return (TrustedKey(_checked(public, str(path)), ()),)


def _kind(text: str) -> str:
    return "a private key" if "PRIVATE KEY-----" in text else "a key in PEM"


def _advice(text: str) -> str:
    if "PRIVATE KEY-----" in text:
        return "nobody needs it to verify: give the file beside it that ends in .allowed_signers or .pub.pem"
    return "give it with --public-key"


def without_revoked(trusted: tuple[TrustedKey, ...], path: Path) -> tuple[TrustedKey, ...]:
    """The same keys, those marked that the file revokes: a list of public keys, one a line, as ``ssh-keygen -Y verify
    -r`` takes it. A line that cannot be read is refused, since it may name any key. Raises UsageError naming file and
    line."""
    revoked: set[str] = set()
    for number, line in enumerate(_read(path, "revoked keys").split("\n"), start=1):
        words = line.removesuffix("\r").split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(words) < 2 or not _KEY_TYPE.fullmatch(words[0]):
            raise UsageError(f"{where}: not a public key (key type, key); give a list of public keys, not a KRL")
        if words[0] == "ssh-ed25519":
            revoked.add(key_id(_ed25519(words[1], where)))
    return tuple(replace(key, revoked=key.key_id in revoked) for key in trusted)


def _read(path: Path, what: str = "public keys") -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise UsageError(f"{path} is larger than {_LIMIT >> 20} MiB; expected {what}")
        return data.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; expected {what}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text; expected {what}, one a line") from None


def _keys(path: Path, lines: Iterable[str]) -> Iterator[TrustedKey]:
    for number, raw in enumerate(lines, start=1):
        line = raw.removesuffix("\r").strip(" \t")
        if line and not line.startswith("#"):
            key = _key(line, f"{path}, line {number}")
            if key is not None:
                yield key


def _key(line: str, where: str) -> TrustedKey | None:
    """The key of a line; None when it is of another kind or for other namespaces. Raises UsageError."""
    principals, options, kind, key = _fields(line, where)
    if "cert-authority" in options:
        raise UsageError(f"{where}: certificate authorities are not supported; name the key itself")
    valid_after, valid_before = (_moment(options.get(name), where) for name in ("valid-after", "valid-before"))
    if valid_after is not None and valid_before is not None and valid_before <= valid_after:
        raise UsageError(f"{where}: valid-before is not after valid-after; the key would never be valid")
    namespaces = options.get("namespaces")
    if kind != "ssh-ed25519" or (namespaces is not None and not matches(NAMESPACE, namespaces.split(","))):
        return None
    return TrustedKey(_ed25519(key, where), tuple(principals.split(",")), valid_after, valid_before)


def _fields(line: str, where: str) -> tuple[str, dict[str, str], str, str]:
    """Principals, options, key type and key; the text after them is a comment. Raises UsageError."""
    wrong = UsageError(f"{where}: not a line of an allowed_signers file (principal, options, key type, key)")
    principals = _PRINCIPALS.match(line)
    if _CONTROL.search(line) or principals is None:
        raise wrong
    rest = line[principals.end() :]
    words = _SPACE.split(rest, maxsplit=2)
    options: dict[str, str] = {}
    if len(words) > 1 and not _KEY_TYPE.fullmatch(words[0]):
        options, rest = _options(rest, where)
        words = _SPACE.split(rest, maxsplit=2)
    if len(words) == 1 or not _KEY_TYPE.fullmatch(words[0]):
        raise wrong
    quoted, bare = principals.groups()
    return (bare if quoted is None else quoted), options, words[0], words[1]


def _options(rest: str, where: str) -> tuple[dict[str, str], str]:
    """The options that the text begins with, by their names in lower case, and what follows them.

    Each is matched where the one before it ended and a comma or the end of the field must follow, so that nothing of
    them can be passed over. Raises UsageError.
    """
    options: dict[str, str] = {}
    start = 0
    while True:
        match = _OPTION.match(rest, start)
        name = match[1].lower() if match else ""
        if match is None or name not in _OPTION_NAMES:
            unknown = match[1] if match else rest[start:]
            raise UsageError(f"{where}: unknown option {unknown!r:.60}")
        if name in options:
            raise UsageError(f"{where}: the option {name} is given twice")
        if name == "namespaces" and match[2] is None:
            raise UsageError(f'{where}: the option namespaces needs a value, like namespaces="{NAMESPACE}"')
        options[name] = match[2] or ""
        following = rest[match.end() : match.end() + 1]
        if following in {" ", "\t"}:
            return options, rest[match.end() :].lstrip(" \t")
        if following != ",":
            raise UsageError(f"{where}: a comma or a space must follow the option {name}")
        start = match.end() + 1


def _ed25519(key: str, where: str) -> Ed25519PublicKey:
    try:
        base64.b64decode(key, validate=True)  # ssh-keygen refuses what is not base64, the reader below passes over it
        public = ser.load_ssh_public_key(f"ssh-ed25519 {key}".encode())
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{where}: the key cannot be read") from None
    return _checked(public, where)


def _moment(text: str | None, where: str) -> datetime | None:
    """YYYYMMDD or YYYYMMDDHHMM[SS] with Z, as ssh-keygen reads it. Local times are refused: they differ by reader."""
    if text is None:
        return None
    for form in ("%Y%m%dZ", "%Y%m%d%H%MZ", "%Y%m%d%H%M%SZ"):
        try:
            moment = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if moment.strftime(form) == text:  # strptime also takes single digits: 20261301Z is no time in January
            return moment
    raise UsageError(f"{where}: time {text!r} is not of the form YYYYMMDD[HHMM[SS]]Z (UTC)")


def _checked(public: object, where: str) -> Ed25519PublicKey:
    if not isinstance(public, Ed25519PublicKey):
        raise UsageError(f"{where}: not an Ed25519 key")
    raw = public.public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw)
    if int.from_bytes(raw, "little") % 2**255 in _SMALL_ORDER_Y:
        raise UsageError(f"{where}: this key is a point of small order, under which signatures prove nothing; refused")
    return public
