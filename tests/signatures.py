"""``model.sig`` as model_signing writes it, made with a key or a certificate of the test's own."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from securesystemslib.dsse import Envelope

import audits
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.envelope import MEDIA_TYPE, PAYLOAD_TYPE, STATEMENT_TYPE
from attn_audit.evidence.identity import MANIFEST_TYPE, files_of


class Signer:
    """A key on P-256, its public half as a file, and the bundles that model_signing makes with it."""

    def __init__(self, folder: Path, name: str = "signer") -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.pem = self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public = folder / f"{name}.pem"
        self.public.write_bytes(self.pem)

    def by_key(self, hint: str | None = None) -> dict[str, Any]:
        return {"publicKey": {"hint": hint or sha256(self.pem)}, "tlogEntries": []}

    def by_certificate(self, *, chain: bool = True, name: str | None = None) -> dict[str, Any]:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "models.example")])
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(1)
        made = made.not_valid_before(audits.START).not_valid_after(audits.START + timedelta(days=1))
        made = made.public_key(self.private.public_key())
        if name is not None:
            made = made.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), False)
        raw = made.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        one = {"rawBytes": base64.b64encode(raw).decode()}
        return {"x509CertificateChain": {"certificates": [one]}} if chain else {"certificate": one}

    def sign(self, statement: dict[str, Any], material: dict[str, Any]) -> dict[str, Any]:
        payload = json.dumps(statement, indent=2).encode()
        signature = self.private.sign(Envelope(payload, PAYLOAD_TYPE, {}).pae(), ec.ECDSA(hashes.SHA256()))
        return {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": material,
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }


def statement(model: Path, **changes: Any) -> dict[str, Any]:
    """What is signed: the list of the model's files, with some of its parts changed."""
    files = files_of(model)
    resources = [{"algorithm": "sha256", "digest": file.sha256, "name": file.name} for file in files]
    resources = changes.pop("resources", resources)
    root = sha256(b"".join(bytes.fromhex(one["digest"]) for one in resources))
    serialization_said = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, **changes}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": model.name, "digest": {"sha256": root}}],
        "predicateType": MANIFEST_TYPE,
        "predicate": {"serialization": serialization_said, "resources": resources},
    }


def put(model: Path, bundle: Any) -> None:
    (model / "model.sig").write_text(json.dumps(bundle))
