"""What a model's own signature says: whether it can be said of these files, and in words for a reader who may take it
for more than it is."""

from __future__ import annotations

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import ModelIdentity, ModelSignature

_CHECKED = {
    "given key": "by the key that the auditor gave (sha256 {signer}); the signature holds",
    "own certificate": "by the holder of the certificate of {identity} (sha256 {signer}); the signature holds, but "
    "whether the certificate is genuine and valid was not checked",
    "nothing": "by a key that is hinted at as {signer}; without the key the signature was not checked and vouches for "
    "nobody",
}


def in_words(signature: ModelSignature | None) -> str:
    """One sentence, for report and terminal."""
    if signature is None:
        return "none found"
    said = _CHECKED[signature.checked_with].format(identity=signature.identity, signer=signature.signer)
    if not signature.unsigned:
        return f"{said}; it names exactly these files"
    left_out = ", ".join(signature.unsigned)
    return f"{said}; of these files it leaves out {left_out}"


def check_signature(model: ModelIdentity) -> None:
    """Raises EvidenceError where what is recorded of the signature contradicts itself or the list of files."""
    said = model.signature
    if said is None:
        return
    if not set(said.unsigned) <= {file.name for file in model.files}:
        raise EvidenceError("the model's signature leaves out a file that the model does not have")
    if (said.identity is not None) != (said.checked_with == "own certificate"):
        raise EvidenceError("the model's signature has a name without a certificate, or a certificate without a name")
