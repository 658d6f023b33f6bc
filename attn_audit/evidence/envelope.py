"""A statement (in-toto v1) to a signed bundle (DSSE in a Sigstore bundle v0.3) and back to verified data.

Bytes are signed and bytes are verified; nothing is re-encoded in between. Verified data has its own type.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from attn_audit.evidence.digest import canonical, canonical_json, parse_canonical, parse_json
from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.records import Record
from attn_audit.evidence.statements import Plan, Redaction, Replay, Seal, Summary
from attn_audit.evidence.trust import TrustedKey, entries_that_signed

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_BEGINNING = b'{"dsseEnvelope":{"payload":"'
PREDICATE_TYPES: dict[type[Record], str] = {
    Plan: "urn:attn-audit:plan:1",
    Summary: "urn:attn-audit:case:1",
    Seal: "urn:attn-audit:seal:1",
    Redaction: "urn:attn-audit:redaction:1",
    Replay: "urn:attn-audit:replay:1",
}

P = TypeVar("P", bound=Record)


@dataclass(frozen=True)
class Statement(Generic[P]):
    """An in-toto statement: digests of the subjects by name, and what is said of them."""

    subjects: tuple[tuple[str, str], ...]
    predicate: P


def encode(statement: Statement[P]) -> bytes:
    """The statement's RFC 8785 bytes: what is signed."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in statement.subjects],
            "predicateType": PREDICATE_TYPES[type(statement.predicate)],
            "predicate": statement.predicate.model_dump(mode="json"),
        }
    )


def decode(payload: bytes, kind: type[P], what: str) -> Statement[P]:
    """The statement in canonical bytes, of the one predicate type expected here. Raises EvidenceError."""
    value = parse_json(canonical_json(payload, what), what)
    if set(value) != {"_type", "subject", "predicateType", "predicate"} or value["_type"] != STATEMENT_TYPE:
        raise EvidenceError(f"{what} is not an in-toto statement v1")
    if value["predicateType"] != PREDICATE_TYPES[kind]:
        raise EvidenceError(f"{what} makes another kind of statement ({value['predicateType']!r:.80}) or version")
    predicate = value["predicate"]
    if not isinstance(predicate, dict):
        raise EvidenceError(f"{what} has no predicate")
    subjects = value["subject"]
    if not isinstance(subjects, list):
        raise EvidenceError(f"{what} has no list of subjects")
    return Statement(
        tuple(_subject(subject, what) for subject in subjects), parse_canonical(canonical(predicate), kind, what)
    )


def _subject(subject: Any, what: str) -> tuple[str, str]:
    match subject:
        case {"name": str(name), "digest": {"sha256": str(digest), **other_digests}, **others}:
            if not others and not other_digests:
                return name, digest
    raise EvidenceError(f"{what} has a subject that is not one name with one sha256")


def sign(payload: bytes, key: SigningKey) -> bytes:
    """A Sigstore bundle v0.3 (RFC 8785) holding the payload in a DSSE envelope signed with Ed25519 (RFC 8032)."""
    public = SSlibKey.from_crypto(key.private.public_key(), keyid=key.key_id)
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(key.private, public))
    signed = envelope.to_dict()
    return canonical(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.key_id}},
            "dsseEnvelope": {
                "payload": signed["payload"],
                "payloadType": signed["payloadType"],
                "signatures": [{"keyid": one["keyid"], "sig": one["sig"]} for one in signed["signatures"]],
            },
        }
    )


def open_bundle(data: bytes, trusted: tuple[TrustedKey, ...], what: str) -> tuple[bytes, tuple[TrustedKey, ...]]:
    """The payload and every entry of the trusted key that signed it (one for each line that trusts it, at least one).

    Each trusted key is tried, whatever key id the bundle claims.

    Raises EvidenceError where the bundle is not the one canonical form or no longer what a trusted key signed, and
    UntrustedSigner where it claims a key that is not trusted.
    """
    payload, signature, claimed = _parts(data, what)
    message = Envelope(payload, PAYLOAD_TYPE, {}).pae()
    if entries := entries_that_signed(trusted, signature, message):
        if claimed != {entries[0].key_id}:
            raise EvidenceError(f"{what} names another key than the one that signed it")
        return payload, entries
    if claimed & {key.key_id for key in trusted}:
        raise EvidenceError(f"{what} is not what the trusted key signed: it was changed, or the signature is not its")
    raise UntrustedSigner(f"{what} is signed by a key that is not trusted (key id {sorted(claimed)[0]:.64})")


def payload_of(data: bytes, what: str) -> bytes:
    """The payload of a canonical bundle, its signature unchecked: for display and for collecting further findings."""
    return _parts(data, what)[0]


def _parts(data: bytes, what: str) -> tuple[bytes, bytes, set[str]]:
    if not data.startswith(_BEGINNING):  # told before anything is parsed: the file may be large and nobody's
        raise EvidenceError(f"{what} is not a Sigstore bundle v0.3 in its canonical form")
    match parse_json(canonical_json(data, what), what):
        case {
            "mediaType": media_type,
            "verificationMaterial": {"publicKey": {"hint": str(hint), **no_key}, **no_material},
            "dsseEnvelope": {
                "payload": str(payload),
                "payloadType": payload_type,
                "signatures": [{"keyid": str(key_id), "sig": str(signature), **no_field}],
                **no_part,
            },
            **no_other,
        } if not (no_key or no_material or no_field or no_part or no_other):
            if media_type != MEDIA_TYPE or payload_type != PAYLOAD_TYPE:
                raise EvidenceError(f"{what} has another media type or payload type than a signed in-toto statement")
            return from_base64(payload, what), from_base64(signature, what), {hint, key_id}
    raise EvidenceError(f"{what} is not a Sigstore bundle v0.3 with exactly one signature")


def from_base64(text: str, what: str) -> bytes:
    """Bytes of standard base64 (RFC 4648, section 4) in its one canonical form. Raises EvidenceError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EvidenceError(f"{what} holds something that is not standard base64") from None
    if base64.b64encode(data).decode() != text:
        raise EvidenceError(f"{what} holds base64 that is not in its canonical form")
    return data
