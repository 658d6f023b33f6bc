"""What a model's own signature says: whether it can be said of these files, and in words for a reader who may take it
for more than it is."""

from __future__ import annotations

from attn_audit.evidence.errors import EvidenceError
from attn_audit.evidence.measured import ModelIdentity, ModelSignature
from attn_audit.words import noted, say

_CHECKED = {
    "given key": noted("by the key that the auditor gave (sha256 %(signer)s); the signature holds"),
    "own certificate": noted(
        "by the holder of the certificate of %(identity)s (sha256 %(signer)s); the signature holds, but whether the "
        "certificate is genuine and valid was not checked"
    ),
    "nothing": noted(
        "by a key that is hinted at as %(signer)s; without the key the signature was not checked and vouches for nobody"
    ),
}


def in_words(signature: ModelSignature | None) -> str:
    """One sentence, for report and terminal."""
    if signature is None:
        return say("none found")
    said = say(_CHECKED[signature.checked_with], identity=signature.identity, signer=signature.signer)
    if not signature.unsigned:
        return say("%(said)s; it names exactly these files", said=said)
    return say("%(said)s; of these files it leaves out %(files)s", said=said, files=", ".join(signature.unsigned))


def check_signature(model: ModelIdentity) -> None:
    """Raises EvidenceError where what is recorded of the signature contradicts itself or the list of files."""
    said = model.signature
    if said is None:
        return
    if not set(said.unsigned) <= {file.name for file in model.files}:
        raise EvidenceError("the model's signature leaves out a file that the model does not have")
    if (said.identity is not None) != (said.checked_with == "own certificate"):
        raise EvidenceError("the model's signature has a name without a certificate, or a certificate without a name")
