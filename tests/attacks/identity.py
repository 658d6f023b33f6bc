"""Attacks on the identity of the signer and the integrity of the files. Deeper variants: tests/test_verify.py."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import audits
from attacks.scene import ATTESTATION, Command, Scene, Table
from attn_audit.evidence.digest import canonical
from attn_audit.evidence.envelope import Statement, payload_of, sign
from attn_audit.evidence.statements import Summary
from attn_audit.evidence.sums import sums
from command_line import call

ATTACKS = Table()
attack = ATTACKS.row
OLD = "2020-01-31T09:00:00Z"


def _edit(path: Path, before: bytes, after: bytes) -> None:
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after, 1))


def _outer(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The bundle with its outer JSON changed, canonical again."""
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(canonical(value))


@attack(1, 20, "report.html changed since signing")
def report_edited(scene: Scene) -> None:
    _edit(scene.first / "report.html", b"</h1>", b" (approved)</h1>")


@attack(2, 20, "evidence.json changed since signing")
def evidence_edited(scene: Scene) -> None:
    evidence = audits.evidence_of(scene.first)
    nicer = audits.changed(evidence, relevance=evidence.relevance[::-1])
    (scene.first / "evidence.json").write_bytes(canonical(nicer))


@attack(3, 20, "report.pdf changed since signing")
def pdf_of_another_case(scene: Scene) -> None:
    if not (scene.first / "report.pdf").exists():
        pytest.skip("the libraries of WeasyPrint are missing")
    shutil.copyfile(scene.audit.case("second") / "report.pdf", scene.first / "report.pdf")


@attack(4, 20, "signature of SHA256SUMS")
def all_but_the_signatures_edited(scene: Scene) -> None:
    for path in scene.audit.out.rglob("*"):
        if path.is_file() and not path.name.endswith((".sigstore.json", "SHA256SUMS.sig")):
            audits.flipped(path, path.stat().st_size // 2, 1)
    (scene.audit.out / "SHA256SUMS").write_bytes(b"".join(sums(scene.audit.out)))


@attack(5, 21, "signed by a key that is not trusted")
def all_signed_by_another_key(scene: Scene) -> None:
    audits.resign(scene.audit.out, scene.forger)


@attack(6, 20, "another kind of statement")
def another_statement_of_the_key(scene: Scene) -> None:
    shutil.copyfile(scene.seal, scene.first / ATTESTATION)


@attack(6, 20, "another kind of statement")
def another_predicate_type(scene: Scene) -> None:
    path = scene.first / ATTESTATION
    payload = payload_of(path.read_bytes(), path.name)
    path.write_bytes(sign(payload.replace(b"urn:attn-audit:case:1", b"urn:attn-audit:case:2"), scene.audit.private))


@attack(6, 21, "signed by a key that is not trusted")
def key_for_another_namespace(scene: Scene) -> Command:
    mine = scene.audit.signers.read_text()
    other = scene.forger.private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return scene.verify_trusting(f"{mine.replace('attn-audit@v1', 'git')}{audits.PRINCIPAL} {other}\n")


@attack(7, 22, "is another question")
def old_report_for_a_new_question(scene: Scene) -> Command:
    return scene.expecting(audits.THREE_CASES.replace("is high", "is rather high"))


@attack(7, 22, "is older than asked for")
def old_report(scene: Scene) -> Command:
    earlier = audits.changed(audits.evidence_of(scene.first).run, started=OLD, finished=OLD)
    audits.recase(scene.first, scene.audit.private, evidence={"run": earlier})
    return (*scene.verify(scene.first), "--max-age", "30d")


@attack(8, 21, "signed by a key that is revoked")
def key_revoked(scene: Scene) -> Command:
    public = scene.audit.private.private.public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    (scene.folder / "revoked").write_text(f"{line} stolen\n")
    return (*scene.verify(), "--revoked", scene.folder / "revoked")


@attack(8, 21, "not valid at the claimed time")
def key_expired(scene: Scene) -> Command:
    lines = scene.audit.signers.read_text()
    return scene.verify_trusting(lines.replace("namespaces=", 'valid-before="20200101Z",namespaces='))


@attack(9, 20, "names another key than the one that signed it")
def key_id_of_another_key(scene: Scene) -> None:
    _outer(scene.seal, lambda value: value["dsseEnvelope"]["signatures"][0].update(keyid=scene.forger.key_id))


@attack(9, 20, "names another key than the one that signed it")
def hint_of_another_key(scene: Scene) -> None:
    _outer(scene.seal, lambda value: value["verificationMaterial"]["publicKey"].update(hint=scene.forger.key_id))


@attack(10, 20, "with exactly one signature")
def no_signature(scene: Scene) -> None:
    _outer(scene.first / ATTESTATION, lambda value: value["dsseEnvelope"].update(signatures=[]))


@attack(10, 20, "with exactly one signature")
def two_signatures(scene: Scene) -> None:
    _outer(
        scene.first / ATTESTATION, lambda value: value["dsseEnvelope"]["signatures"].append({"keyid": "", "sig": ""})
    )


@attack(10, 20, "was changed")
def an_empty_signature(scene: Scene) -> None:
    _outer(scene.first / ATTESTATION, lambda value: value["dsseEnvelope"]["signatures"][0].update(sig=""))


@attack(10, 20, "duplicate keys")
def a_duplicate_key(scene: Scene) -> None:
    _edit(scene.first / ATTESTATION, b',"mediaType":', b',"mediaType":"x","mediaType":')


@attack(10, 20, "not standard base64")
def url_safe_base64(scene: Scene) -> None:
    def change(value: dict[str, Any]) -> None:
        signature = value["dsseEnvelope"]["signatures"][0]
        signature["sig"] = "-_" + signature["sig"][2:]

    _outer(scene.first / ATTESTATION, change)


@attack(10, 20, "not canonical JSON")
def white_space(scene: Scene) -> None:
    with (scene.first / ATTESTATION).open("ab") as file:
        file.write(b"\n")


@attack(11, 20, "another media type or payload type")
def payload_type_changed(scene: Scene) -> None:
    _outer(scene.first / ATTESTATION, lambda value: value["dsseEnvelope"].update(payloadType="application/json"))


@attack(12, 20, "was changed")
def payload_encoded_again(scene: Scene) -> None:
    def change(value: dict[str, Any]) -> None:
        envelope = value["dsseEnvelope"]
        again = json.dumps(json.loads(base64.b64decode(envelope["payload"])), indent=1)
        envelope["payload"] = base64.b64encode(again.encode()).decode()

    _outer(scene.first / ATTESTATION, change)


@attack(13, 2, "point of small order")
def small_order_key_trusted(scene: Scene) -> Command:
    wire = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + (1).to_bytes(32, "little")
    return scene.verify_trusting(f"{audits.PRINCIPAL} ssh-ed25519 {base64.b64encode(wire).decode()}\n")


@attack(14, 20, "does not follow its schema at format")
def another_major_version(scene: Scene) -> None:
    page = {"report.html": (scene.first / "report.html").read_bytes()}
    audits.recase(scene.first, scene.audit.private, evidence={"format": "attn-audit.evidence/2"}, files=page)
    audits.reseal(scene.audit.out, scene.audit.private)


@attack(15, 20, "the relevance does not follow")
def relevance_that_does_not_follow(scene: Scene) -> None:
    relevance = audits.evidence_of(scene.first).relevance
    audits.recase(scene.first, scene.audit.private, evidence={"relevance": relevance[::-1]})
    audits.reseal(scene.audit.out, scene.audit.private)


@attack(58, 20, "report.html does not follow from the evidence")
def report_that_does_not_follow(scene: Scene) -> None:
    nicer = (scene.first / "report.html").read_bytes().replace(b"</h1>", b" (approved)</h1>", 1)
    audits.recase(scene.first, scene.audit.private, files={"report.html": nicer})
    audits.reseal(scene.audit.out, scene.audit.private)


@attack(59, 23, "ANOTHER PROMPT")
def text_beside_the_tokens_of_another(scene: Scene) -> Command:
    prompt = audits.content_of(scene.first).prompt
    ids = (*prompt.ids[:5], prompt.ids[5] + 1, *prompt.ids[6:])
    audits.recase(scene.first, scene.audit.private, content={"prompt": audits.changed(prompt, ids=ids)})
    audits.reseal(scene.audit.out, scene.audit.private)
    assert call(*scene.verify()).code == 0, "only the model can tell"
    return ("replay", scene.audit.out, "--trust", scene.audit.signers, "--model", scene.model)


@attack(59, 20, "the text is not that of the token ids")
def text_beside_the_tokens_of_another_by_the_model(scene: Scene) -> Command:
    text_beside_the_tokens_of_another(scene)
    return (*scene.verify(), "--model", scene.model)


@attack(60, 20, "exactly the files of a case")
def subject_left_out(scene: Scene) -> None:
    path = scene.first / ATTESTATION
    statement = audits.opened(path, Summary)
    audits.put(path, Statement(statement.subjects[1:], statement.predicate), scene.audit.private)
    audits.reseal(scene.audit.out, scene.audit.private)


@attack(61, 0, "changed from the default")
def another_method(scene: Scene) -> Command:
    (scene.folder / "one").mkdir()
    cases, out = scene.folder / "one" / "cases.yaml", scene.folder / "one" / "audit"
    cases.write_text(audits.THREE_CASES)
    options = ("--operator", "soft", "--factor", "0.5", "--checks", "none", "--format", "html")
    assert call("run", cases, "--model", scene.model, "--key", scene.audit.key, "--out", out, *options).code == 0
    assert "Method: changed from the default:" in (out / "cases" / "first" / "report.html").read_text(encoding="utf-8")
    return scene.verify(out)


@attack(61, 22, "was measured by another method")
def another_method_where_the_default_is_required(scene: Scene) -> Command:
    return (*another_method(scene), "--require-default-method")
