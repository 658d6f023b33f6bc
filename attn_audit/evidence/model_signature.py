"""``model.sig`` beside a model (OpenSSF model signing: a Sigstore bundle v0.3) to what it says of the model's files.

Whose key it is, is asked of nobody: no chain of certificates, validity or transparency log is checked. What is checked:
the files it names are the files that are here, and it is a signature of the given key, or of its own certificate's.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.dsse import Envelope

from attn_audit.evidence.digest import parse_json, sha256
from attn_audit.evidence.envelope import MEDIA_TYPE, PAYLOAD_TYPE, STATEMENT_TYPE, from_base64
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.identity import IGNORED, MANIFEST_TYPE, SIGNATURE, regular
from attn_audit.evidence.measured import FileDigest, ModelSignature

_LARGEST = 64 << 20  # bytes
_HASHES = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
_Signed = tuple[dict[str, str], tuple[str, ...]]


def signature_of(model: Path, files: tuple[FileDigest, ...], key: Path | None) -> ModelSignature | None:
    """What ``model.sig`` says of a model folder's files, or of the one ``.gguf`` file; None where there is none.

    ``key`` is the public key that must have signed it (PEM, on a NIST curve). Raises UsageError where it contradicts
    the files, or is no signature of that key.
    """
    folder = model if model.is_dir() else model.parent
    path = folder / SIGNATURE
    if not os.path.lexists(path):
        if key is not None:
            raise UsageError(f"model {model} has no {SIGNATURE} beside it, so key {key} cannot have signed it")
        return None
    given = None if key is None else _public_key(key)
    source = regular(path, folder)
    try:
        data = source.read_bytes() if source.stat().st_size <= _LARGEST else b""
        return _read(data, {file.name: file.sha256 for file in files}, given, whole=model.is_dir())
    except (OSError, EvidenceError) as error:
        raise UsageError(f"model signature {path} is refused: {error}") from None


def _read(
    data: bytes, files: dict[str, str], given: ec.EllipticCurvePublicKey | None, *, whole: bool
) -> ModelSignature:
    match parse_json(data, SIGNATURE):
        case {
            "mediaType": media_type,
            "verificationMaterial": dict(material),
            "dsseEnvelope": {"payload": str(text), "payloadType": kind, "signatures": [{"sig": str(signature)}]},
        } if (media_type, kind) == (MEDIA_TYPE, PAYLOAD_TYPE):
            payload = from_base64(text, SIGNATURE)
        case _:
            raise EvidenceError("it is not a Sigstore bundle v0.3 with one signature of an in-toto statement")
    unsigned = _unsigned(_manifest(payload), files, whole=whole)
    signer, identity, own = _signer(material) if given is None else (_fingerprint(given), None, None)
    if (used := given or own) is not None:
        _verify(used, from_base64(signature, SIGNATURE), payload)
    return ModelSignature(
        sha256=sha256(data),
        checked_with="given key" if given else "own certificate" if own else "nothing",
        signer=signer,
        identity=identity,
        unsigned=unsigned,
    )


def _manifest(payload: bytes) -> _Signed:
    """Names and digests that were signed, and what its signer left out. Raises EvidenceError."""
    match parse_json(payload, "what it signs"):
        case {
            "_type": type_,
            "predicateType": kind,
            "subject": [{"digest": {"sha256": str(root)}}],
            "predicate": {
                "serialization": {"method": "files", "hash_type": "sha256", **more},
                "resources": list(resources),
            },
        } if (type_, kind) == (STATEMENT_TYPE, MANIFEST_TYPE):
            named = [_resource(resource) for resource in resources]
            ignored = more.get("ignore_paths", [])
        case _:
            raise EvidenceError("it signs no list of files with their sha256; sign with model_signing's defaults")
    if len(dict(named)) != len(named) or not isinstance(ignored, list):
        raise EvidenceError("its list of files is broken")
    if hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in named)).hexdigest() != root:
        raise EvidenceError("its root does not follow from its list of files")
    return dict(named), tuple(str(path) for path in ignored)


def _resource(resource: Any) -> tuple[str, str]:
    match resource:
        case {"name": str(name), "algorithm": "sha256", "digest": str(digest)} if len(digest) == 64:
            try:
                return name, bytes.fromhex(digest).hex()
            except ValueError:
                pass
    raise EvidenceError("it lists a file that is not one name with one sha256")


def _unsigned(manifest: _Signed, files: dict[str, str], *, whole: bool) -> tuple[str, ...]:
    """Files of the model that the signer left out on purpose. Raises EvidenceError where list and files disagree."""
    signed, ignored = manifest
    if not whole:  # one file, signed on its own (as ".") or with others that are not looked at
        [name] = files
        digest = signed.get(name) or signed.get(".")
        signed = {} if digest is None else {name: digest}
    for name, digest in sorted(signed.items()):
        if name not in files and name.split("/")[0] not in IGNORED:
            raise EvidenceError(f"it names {name!r:.200}, which is not among the model's files")
        if files.get(name, digest) != digest:
            raise EvidenceError(f"{name!r:.200} is not the file that was signed")
    left_out = tuple(name for name in files if name not in signed)
    for name in left_out:
        if not any(PurePosixPath(name).is_relative_to(path) for path in ignored):
            raise EvidenceError(f"it does not name {name!r:.200}, which is among the model's files")
    return left_out


def _signer(material: dict[str, Any]) -> tuple[str, str | None, ec.EllipticCurvePublicKey | None]:
    """Who signed, as the bundle has it: a hint at a key, or a certificate with the name in it and its key."""
    match material:
        case {"publicKey": {"hint": str(hint)}}:
            return _printable(hint), None, None
        case {"certificate": {"rawBytes": str(text)}} | {
            "x509CertificateChain": {"certificates": [{"rawBytes": str(text)}, *_]}
        }:
            raw = from_base64(text, SIGNATURE)
            try:
                certificate = x509.load_der_x509_certificate(raw)
                return sha256(raw), _printable(_name(certificate)), _on_known_curve(certificate.public_key())
            except ValueError as error:
                raise EvidenceError(f"its certificate cannot be read: {error}") from None
    raise EvidenceError("it names neither a key nor a certificate")


def _name(certificate: x509.Certificate) -> str:
    """The first alternative name (where Sigstore keeps the identity), else the subject."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return certificate.subject.rfc4514_string()
    return next((name.value for name in names if isinstance(name.value, str)), certificate.subject.rfc4514_string())


def _printable(text: str) -> str:
    if not text.isprintable() or len(text) > 500:
        raise EvidenceError("the name of its signer cannot be shown")
    return text


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        return _on_known_curve(load_pem_public_key(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"key {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, EvidenceError):
        raise UsageError(f"key {path} is not a public key in PEM on the curve P-256, P-384 or P-521") from None


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """sha256 of the key in PEM, by which model_signing hints at it."""
    return sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _on_known_curve(key: Any) -> ec.EllipticCurvePublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise EvidenceError("its key is not on the curve P-256, P-384 or P-521")
    return key


def _verify(key: ec.EllipticCurvePublicKey, signature: bytes, payload: bytes) -> None:
    """ECDSA over DSSE's encoding, with the hash that fits the curve, as model_signing signs. Raises EvidenceError."""
    try:
        key.verify(signature, Envelope(payload, PAYLOAD_TYPE, {}).pae(), ec.ECDSA(_HASHES[key.curve.name]))
    except InvalidSignature:
        raise EvidenceError("it is not a signature of this key over this list of files") from None
