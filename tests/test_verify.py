"""What verify says of an audit that somebody changed. The numbers are those of the list of attacks the design keeps."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import audits
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.envelope import PAYLOAD_TYPE, Statement, decode, encode, open_bundle, payload_of, sign
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.measured import Evidence, Warn
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import Plan, Seal, Summary, plan_subjects, summary
from attn_audit.evidence.sums import write_sums
from attn_audit.evidence.trust import TrustedKey, read_allowed_signers, read_public_key
from attn_audit.verify import batch as verify_batch
from attn_audit.verify import verify
from attn_audit.verify.report import CHANGED
from audits import Audit

FIRST, SECOND, THIRD = "first", "second", "third"
ATTESTATION = "attestation.sigstore.json"


@pytest.fixture(scope="session")
def other_run(made_audit: Audit, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The same cases with the same key once more: other salts, other times, another plan."""
    later = audits.host("another run", audits.START + timedelta(days=1))
    finished = audits.make(tmp_path_factory.mktemp("other-run"), tiny_model, made_audit.key, world=later)
    return Audit(finished.out, made_audit.key)


@pytest.fixture(scope="session")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """The key of somebody the reader does not trust."""
    folder = tmp_path_factory.mktemp("other-key")
    return Audit(folder, audits.key(folder, principal="forger@elsewhere.example")).private


def edit(path: Path, before: bytes, after: bytes) -> None:
    """Replace the first occurrence, which must be there."""
    data = path.read_bytes()
    assert before in data, f"{before!r} is not in {path.name}"
    path.write_bytes(data.replace(before, after, 1))


def code(audit: Audit, signers: Path | None = None) -> int:
    return audits.report(audit, signers).exit_code


def rebundle(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The signed file with its outer JSON changed, canonical again."""
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(canonical(value))


def test_an_audit_verifies(made_audit: Audit) -> None:
    found = audits.report(made_audit)
    assert audits.failures(found) == {}
    assert found.exit_code == 0
    assert list(found.cases) == [FIRST, SECOND, THIRD]
    assert {check.name for check in found.checks if check.outcome == "note"} == {"signer", "order", "time"}
    by_key = verify(made_audit.out, read_public_key(made_audit.pem))
    assert by_key.exit_code == 0


def test_one_case_verifies_alone(made_audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = read_allowed_signers(made_audit.signers)
    assert verify(made_audit.case(FIRST), trusted).exit_code == 0
    monkeypatch.chdir(made_audit.case(FIRST))
    assert verify(Path(), trusted).exit_code == 0


def test_what_is_no_audit_is_refused(tmp_path: Path, made_audit: Audit) -> None:
    for path in (tmp_path, tmp_path / "nothing", made_audit.out / "index.html"):
        with pytest.raises(UsageError, match=r"an audit folder (nor|or) a case"):
            verify(path, ())


# -- identity and integrity -------------------------------------------------------------------------------------------


def test_attack_01_report_edited(audit: Audit) -> None:
    edit(audit.case(FIRST) / "report.html", b"</h1>", b" (approved)</h1>")
    found = audits.report(audit)
    assert found.exit_code == 20
    assert audits.failures(found)[FIRST, "digests"] == "report.html changed since signing"


def test_attack_02_evidence_edited(audit: Audit) -> None:
    path = audit.case(FIRST) / "evidence.json"
    evidence = audits.evidence_of(path.parent)
    path.write_bytes(canonical(audits.changed(evidence, relevance=evidence.relevance[::-1])))
    found = audits.report(audit)
    assert found.exit_code == 20
    assert audits.failures(found)[FIRST, "digests"] == "evidence.json changed since signing"


def test_attack_03_pdf_of_another_case(audit_with_pdf: Audit) -> None:
    shutil.copyfile(audit_with_pdf.case(SECOND) / "report.pdf", audit_with_pdf.case(FIRST) / "report.pdf")
    found = audits.report(audit_with_pdf)
    assert found.exit_code == 20
    assert audits.failures(found)[FIRST, "digests"] == "report.pdf changed since signing"


def test_attack_05_everything_signed_again_by_another_key(audit: Audit, other_key: SigningKey, tmp_path: Path) -> None:
    audits.resign(audit.out, other_key)
    found = audits.report(audit)
    assert found.exit_code == 21
    assert {check.exit_code for check in found.checks if check.outcome == "failed"} == {21}
    signers = tmp_path / "whoever_trusts_the_forger"
    line = other_key.private.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).decode()
    signers.write_text(f'{other_key.principal} namespaces="attn-audit@v1" {line}\n')
    assert code(audit, signers) == 0, "the forgery is whole but for the key"


def test_attack_06_another_statement_of_the_trusted_key(audit: Audit) -> None:
    seal = (audit.out / "seal.sigstore.json").read_bytes()
    (audit.case(FIRST) / ATTESTATION).write_bytes(seal)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert "another kind of statement" in audits.failures(found)[FIRST, f"signature of {ATTESTATION}"]
    (audit.out / "plan.sigstore.json").write_bytes(seal)
    assert code(audit) == 20


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"urn:attn-audit:case:1", b"urn:attn-audit:case:2", "another kind of statement"),
        (b"urn:attn-audit:case:1", b"https://slsa.dev/provenance/v1", "another kind of statement"),
        (b"in-toto.io/Statement/v1", b"in-toto.io/Statement/v2", "not an in-toto statement v1"),
        (b'"predicate":{', b'"predicate":{"aa":1,', "does not follow its schema at aa"),
        (b'"digest":{', b'"digest":{"md5":"00",', "not one name with one sha256"),
        (b'"digest":{"sha256"', b'"digest":{"sha512"', "not one name with one sha256"),
    ],
)
def test_attack_06_signed_by_the_trusted_key_but_not_ours(
    audit: Audit, before: bytes, after: bytes, reason: str
) -> None:
    path = audit.case(FIRST) / ATTESTATION
    payload = payload_of(path.read_bytes(), path.name)
    assert before in payload
    path.write_bytes(sign(payload.replace(before, after, 1), audit.private))
    found = audits.report(audit)
    assert found.exit_code == 20
    assert reason in audits.failures(found)[FIRST, f"signature of {ATTESTATION}"]


def test_attack_06_key_for_another_namespace(audit: Audit, tmp_path: Path) -> None:
    signers = tmp_path / "signers"
    signers.write_text(audit.signers.read_text().replace("attn-audit@v1", "git"))
    with pytest.raises(UsageError, match="names no Ed25519 key for the namespace"):
        read_allowed_signers(signers)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ('valid-before="20261122090000Z"', 21),
        ('valid-before="20200101Z"', 21),
        ('valid-after="20261123Z"', 21),
        ('valid-after="20261122090000Z",valid-before="20261122090100Z"', 0),
    ],
)
def test_attack_08_key_outside_its_validity(audit: Audit, tmp_path: Path, option: str, expected: int) -> None:
    signers = tmp_path / "signers"
    signers.write_text(audit.signers.read_text().replace("namespaces=", f"{option},namespaces="))
    found = audits.report(audit, signers)
    assert found.exit_code == expected
    assert any("not valid at the claimed time" in detail for detail in audits.failures(found).values()) == bool(
        expected
    )


def test_attack_08_key_that_expired_before_the_seal(audit: Audit, tmp_path: Path) -> None:
    sealed = datetime.strptime(audits.seal_of(audit.out).finished, "%Y-%m-%dT%H:%M:%S%z")
    last = (sealed - timedelta(seconds=1)).strftime("%Y%m%d%H%M%SZ")  # the last moment at which the key is valid
    signers = tmp_path / "signers"
    signers.write_text(audit.signers.read_text().replace("namespaces=", f'valid-before="{last}",namespaces='))
    found = audits.report(audit, signers)
    assert found.exit_code == 21
    assert {subject for subject, _ in audits.failures(found)} == {"batch"}


def test_attack_08_key_that_may_not_sign_as_that_name(audit: Audit, tmp_path: Path) -> None:
    signers = tmp_path / "signers"
    signers.write_text(audit.signers.read_text().replace(audits.PRINCIPAL, "somebody@else.example"))
    assert code(audit, signers) == 21


@pytest.mark.parametrize("name", ["plan", "seal", "case"])
@pytest.mark.parametrize("where", ["keyid", "hint", "both"])
def test_attack_09_key_id_names_another_key(audit: Audit, other_key: SigningKey, name: str, where: str) -> None:
    def change(value: dict[str, Any]) -> None:
        if where in {"keyid", "both"}:
            value["dsseEnvelope"]["signatures"][0]["keyid"] = other_key.key_id
        if where in {"hint", "both"}:
            value["verificationMaterial"]["publicKey"]["hint"] = other_key.key_id

    path = audit.case(FIRST) / ATTESTATION if name == "case" else audit.out / f"{name}.sigstore.json"
    rebundle(path, change)
    found = audits.report(audit)
    assert found.exit_code in {20, 22}  # 22: the seal covers the attestation's own bytes, the plan's as well
    assert "names another key than the one that signed it" in " ".join(audits.failures(found).values())
    if name == "case":
        assert found.exit_code == 20
        assert verify(path.parent, read_allowed_signers(audit.signers)).exit_code == 20


def test_attack_09_a_trusted_key_signs_in_the_name_of_another(audit: Audit, other_key: SigningKey) -> None:
    """The seal of an audit by A, signed by B, whom the reader trusts as well: the record names A."""
    seal = audits.seal_of(audit.out)
    audits.put(audit.out / "seal.sigstore.json", Statement(audits.sealed_subjects(audit.out, seal), seal), other_key)
    write_sums(audit.out, audit.private)
    trusted = (
        *read_allowed_signers(audit.signers),
        TrustedKey(other_key.private.public_key(), (other_key.principal,)),
    )
    found = verify(audit.out, trusted)
    assert found.exit_code == 20
    assert audits.failures(found) == {
        ("batch", "signer"): "the record names another signer than the key that signed it"
    }


ENVELOPES: dict[str, Callable[[bytes], bytes]] = {
    "no signature": lambda data: _outer(data, lambda value: value["dsseEnvelope"].update(signatures=[])),
    "two signatures": lambda data: _outer(data, lambda value: value["dsseEnvelope"]["signatures"].append(_empty())),
    "the same signature twice": lambda data: _outer(
        data, lambda value: value["dsseEnvelope"].update(signatures=value["dsseEnvelope"]["signatures"] * 2)
    ),
    "an empty signature": lambda data: _outer(
        data, lambda value: value["dsseEnvelope"]["signatures"][0].update(sig="")
    ),
    "a duplicate key": lambda data: data.replace(b'{"dsseEnvelope":', b'{"mediaType":"x","dsseEnvelope":', 1),
    "the same key and value twice": lambda data: data[:-1] + b"," + data[data.rindex(b'"verificationMaterial"') :],
    "URL-safe base64": lambda data: _outer(data, _url_safe),
    "base64 with a line break": lambda data: _outer(
        data, lambda value: value["dsseEnvelope"].update(payload=value["dsseEnvelope"]["payload"] + "\n")
    ),
    "base64 without padding": lambda data: _outer(
        data, lambda value: value["dsseEnvelope"]["signatures"][0].update(sig=_signature(value).rstrip("="))
    ),
    "base64 with loose bits": lambda data: _outer(
        data, lambda value: value["dsseEnvelope"]["signatures"][0].update(sig=_loose(_signature(value)))
    ),
    "white space": lambda data: data + b"\n",
    "white space within": lambda data: data.replace(b'":', b'": ', 1),
    "keys in another order": lambda data: json.dumps(
        dict(reversed(json.loads(data).items())), separators=(",", ":")
    ).encode(),
    "an escape for a letter": lambda data: data.replace(b'"keyid"', b'"\\u006beyid"', 1),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "a further field": lambda data: _outer(data, lambda value: value.update(note="trust me")),
    "a certificate": lambda data: _outer(data, lambda value: value["verificationMaterial"].update(certificate={})),
    "a field beside the signature": lambda data: _outer(
        data, lambda value: value["dsseEnvelope"]["signatures"][0].update(x=1)
    ),
    "nothing": lambda data: b"",
    "an array": lambda data: b"[" + data + b"]",
}


def _outer(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(data)
    change(value)
    return canonical(value)


def _signature(value: dict[str, Any]) -> str:
    return str(value["dsseEnvelope"]["signatures"][0]["sig"])


def _empty() -> dict[str, str]:
    return {"keyid": "", "sig": ""}


def _url_safe(value: dict[str, Any]) -> None:
    """With a character of that alphabet in any case; one signature in fifteen has none to exchange."""
    signature = _signature(value)
    exchanged = signature.translate(str.maketrans("+/", "-_"))
    value["dsseEnvelope"]["signatures"][0]["sig"] = exchanged if exchanged != signature else "-" + signature[1:]


def _loose(signature: str) -> str:
    """The same 64 bytes: the last character before the padding has four bits that no byte uses."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(signature[-3])
    loose = signature[:-3] + alphabet[last + 1] + "=="
    assert base64.b64decode(loose) == base64.b64decode(signature)
    return loose


@pytest.mark.parametrize("name", ENVELOPES)
def test_attack_10_envelopes_that_are_not_the_canonical_one(audit: Audit, name: str) -> None:
    path = audit.case(FIRST) / ATTESTATION
    changed = ENVELOPES[name](path.read_bytes())
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert (FIRST, f"signature of {ATTESTATION}") in audits.failures(found)
    assert verify(path.parent, read_allowed_signers(audit.signers)).exit_code == 20


def test_attack_11_payload_type_changed(audit: Audit) -> None:
    def change(value: dict[str, Any]) -> None:
        value["dsseEnvelope"]["payloadType"] = "application/json"

    rebundle(audit.case(FIRST) / ATTESTATION, change)
    assert code(audit) == 20
    # Signed as that type by the trusted key: still another kind of thing.
    path = audit.case(SECOND) / ATTESTATION
    payload = payload_of(path.read_bytes(), path.name)
    message = b"DSSEv1 16 application/json %d %s" % (len(payload), payload)

    def sign_again(value: dict[str, Any]) -> None:
        value["dsseEnvelope"]["payloadType"] = "application/json"
        signature = base64.b64encode(audit.private.private.sign(message)).decode()
        value["dsseEnvelope"]["signatures"][0]["sig"] = signature

    rebundle(path, sign_again)
    with pytest.raises(EvidenceError, match="another media type or payload type"):
        open_bundle(path.read_bytes(), read_allowed_signers(audit.signers), path.name)


@pytest.mark.parametrize("encoding", ["indented", "escaped", "other order"])
def test_attack_12_payload_encoded_again(audit: Audit, encoding: str) -> None:
    path = audit.case(FIRST) / ATTESTATION
    value = json.loads(payload_of(path.read_bytes(), path.name))
    again = {
        "indented": json.dumps(value, indent=1),
        "escaped": canonical(value).decode().replace("predicateType", "predicate\\u0054ype"),
        "other order": json.dumps(dict(reversed(value.items())), separators=(",", ":")),
    }[encoding].encode()

    def change(outer: dict[str, Any]) -> None:
        outer["dsseEnvelope"]["payload"] = base64.b64encode(again).decode()

    rebundle(path, change)
    assert code(audit) == 20, "the signature is over other bytes"
    path.write_bytes(sign(again, audit.private))
    found = audits.report(audit)
    assert found.exit_code == 20
    assert "canonical" in audits.failures(found)[FIRST, f"signature of {ATTESTATION}"]


# The points of order 1, 2, 4 and 8 on edwards25519, each with either sign bit, and the encodings that are not reduced:
# the list of libsodium (ref10/ed25519_ref10.c, ge25519_has_small_order) and of "Taming the many EdDSAs", table 1.
_P = 2**255 - 19
_SMALL_ORDER = (
    0,
    1,
    _P - 1,
    _P,
    _P + 1,
    int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
)


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", _SMALL_ORDER, ids=["0", "1", "p-1", "p", "p+1", "8a", "8b"])
def test_attack_13_small_order_key_in_the_trust_store(tmp_path: Path, y: int, sign_bit: int) -> None:
    raw = (y | sign_bit << 255).to_bytes(32, "little")
    wire = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + raw
    line = f"ssh-ed25519 {base64.b64encode(wire).decode()}"
    pem = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + raw).decode()
    (tmp_path / "signers").write_text(f"{audits.PRINCIPAL} {line}\n")
    (tmp_path / "key.pub").write_text(line)
    (tmp_path / "key.pem").write_text(f"-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n")
    for read, name in (
        (read_allowed_signers, "signers"),
        (read_public_key, "key.pub"),
        (read_public_key, "key.pem"),
    ):
        with pytest.raises(UsageError, match=r"small order|cannot be read|not a public key"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("record", "version"),
    [
        ("content", "attn-audit.content/2"),
        ("content", "attn-audit.content/0"),
        ("evidence", "attn-audit.evidence/2"),
        ("evidence", ""),
    ],
)
def test_attack_14_records_of_another_version(audit: Audit, record: str, version: str) -> None:
    audits.recase(
        audit.case(FIRST),
        audit.private,
        **{record: {"format": version}},
        files={"report.html": b"<p>by another version</p>"},
    )
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert "does not follow its schema at format" in audits.failures(found)[FIRST, "digests"]


def test_attack_14_statements_of_another_version(audit: Audit) -> None:
    audits.reseal(audit.out, audit.private, format="attn-audit.seal/2")
    assert code(audit) == 20


NUMBERS: dict[str, tuple[Callable[[Evidence], dict[str, Any]], str]] = {
    "relevance": (lambda e: {"relevance": (e.relevance[0] + 1e-6, *e.relevance[1:])}, "the relevance does not follow"),
    "relevance exchanged": (lambda e: {"relevance": e.relevance[::-1]}, "the relevance does not follow"),
    "scores": (lambda e: {"scores": (e.scores[1], *e.scores[1:])}, "the relevance does not follow"),
    "a unit less": (lambda e: {"units": e.units[1:]}, "one value for each unit"),
    "a warning less": (lambda e: {"warnings": e.warnings[1:] if e.warnings else (_WARN,)}, "warnings do not follow"),
    "a warning more": (lambda e: {"warnings": (*e.warnings, _WARN)}, "warnings do not follow"),
    "a warning toned down": (lambda e: {"warnings": _toned(e)}, "warnings do not follow"),
    "no scores": (lambda e: {"scores": (), "relevance": (), "units": ()}, "cover each prompt position"),
    "a column less": (lambda e: {"scores": tuple(row[1:] for row in e.scores)}, "a table of scores"),
    "a base less": (lambda e: {"answer": audits.changed(e.answer, base=e.answer.base[1:])}, "base log-probabilities"),
    "frozen": (lambda e: {"frozen": e.frozen[1:]}, "cover each prompt position"),
    "no probability": (lambda e: _scaled(e, 1e308), "is not a log-probability"),
    "more than certain": (lambda e: _scaled(e, 50.0), "is not a log-probability"),
    "units that share characters": (
        lambda e: {"units": (e.units[0], audits.changed(e.units[1], spans=e.units[0].spans), *e.units[2:])},
        "share characters",
    ),
    "model root": (lambda e: {"model": audits.changed(e.model, root="00" * 32)}, "model's root does not follow"),
    "model files": (
        lambda e: {"model": audits.changed(e.model, files=e.model.files[1:])},
        "model's root does not follow",
    ),
}
_WARN = Warn(code="all-well", sentence="Nothing to worry about.", advice="Nothing to do.")


def _toned(evidence: Evidence) -> tuple[Warn, ...]:
    if not evidence.warnings:
        return (_WARN,)
    return (audits.changed(evidence.warnings[0], sentence="Nothing to worry about."), *evidence.warnings[1:])


def _scaled(evidence: Evidence, value: float) -> dict[str, Any]:
    return {
        "answer": audits.changed(evidence.answer, base=(value,) * len(evidence.answer.base)),
        "scores": tuple((value,) * len(row) for row in evidence.scores),
        "relevance": (0.0,) * len(evidence.relevance),
    }


@pytest.mark.parametrize("name", NUMBERS)
def test_attack_15_numbers_that_do_not_follow_correctly_signed(audit: Audit, name: str) -> None:
    change, reason = NUMBERS[name]
    folder = audit.case(FIRST)
    try:
        audits.recase(folder, audit.private, evidence=change(audits.evidence_of(folder)))
    except (EvidenceError, ValueError, OverflowError):  # the report itself refuses to draw such numbers
        audits.recase(
            folder,
            audit.private,
            evidence=change(audits.evidence_of(folder)),
            files={"report.html": (folder / "report.html").read_bytes()},
        )
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == (22 if name == "model root" else 20)  # 22: measured on another model than planned
    assert reason in audits.failures(found)[FIRST, "numbers"]
    assert verify(folder, read_allowed_signers(audit.signers)).exit_code == 20


def test_attack_15_a_summary_that_does_not_follow(audit: Audit) -> None:
    def nicer(content: Content, evidence: Evidence) -> Summary:
        return audits.changed(summary(content, evidence), warnings=("all-well",))

    audits.recase(audit.case(FIRST), audit.private, said=nicer)
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert (FIRST, "summary") in audits.failures(found)


def test_attack_15_evidence_of_another_content(audit: Audit) -> None:
    audits.recase(audit.case(FIRST), audit.private, content={"own_answer": "No."}, evidence={"content": "00" * 32})
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert "another content" in audits.failures(found)[FIRST, "summary"]


def test_attack_58_report_that_does_not_follow_correctly_signed(audit: Audit) -> None:
    folder = audit.case(FIRST)
    nicer = (folder / "report.html").read_bytes().replace(b"</h1>", b" (approved)</h1>", 1)
    audits.recase(folder, audit.private, files={"report.html": nicer})
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert audits.failures(found) == {(FIRST, "report"): "report.html does not follow from the evidence"}


def test_attack_58_index_that_does_not_follow(audit: Audit) -> None:
    edit(audit.out / "index.html", b"</h1>", b" (all fine)</h1>")
    found = audits.report(audit)
    assert found.exit_code == 20
    assert ("batch", "index.html") in audits.failures(found)


@pytest.mark.parametrize("left_out", ["content.json", "evidence.json", "report.html", "report.pdf"])
def test_attack_60_a_subject_left_out(audit_with_pdf: Audit, left_out: str) -> None:
    path = audit_with_pdf.case(FIRST) / ATTESTATION
    statement = audits.opened(path, Summary)
    subjects = tuple(subject for subject in statement.subjects if subject[0] != left_out)
    assert subjects != statement.subjects
    audits.put(path, Statement(subjects, statement.predicate), audit_with_pdf.private)
    audits.reseal(audit_with_pdf.out, audit_with_pdf.private)
    assert code(audit_with_pdf) == 20


@pytest.mark.parametrize(
    "change",
    [
        lambda subjects: subjects[::-1],
        lambda subjects: (*subjects, subjects[0]),
        lambda subjects: (*subjects, ("../second/content.json", "00" * 32)),
        lambda subjects: ((f"./{subjects[0][0]}", subjects[0][1]), *subjects[1:]),
        lambda subjects: (),
    ],
)
def test_attack_60_other_subjects(audit: Audit, change: Callable[[Any], Any]) -> None:
    path = audit.case(FIRST) / ATTESTATION
    statement = audits.opened(path, Summary)
    audits.put(path, Statement(change(statement.subjects), statement.predicate), audit.private)
    audits.reseal(audit.out, audit.private)
    assert code(audit) == 20


# -- the batch --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case_id", [FIRST, SECOND, THIRD])
def test_attack_16_case_removed(audit: Audit, case_id: str) -> None:
    shutil.rmtree(audit.case(case_id))
    write_sums(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 22
    assert audits.failures(found) == {("batch", "cases"): f"case {case_id!r} was sealed, but its folder is missing"}


def test_attack_16_all_cases_removed(audit: Audit) -> None:
    for case_id in (FIRST, SECOND, THIRD):
        shutil.rmtree(audit.case(case_id))
    assert code(audit) == 22


def test_attack_16_case_removed_from_the_seal_as_well(audit: Audit) -> None:
    shutil.rmtree(audit.case(SECOND))
    cases = tuple(case for case in audits.seal_of(audit.out).cases if case.id != SECOND)
    audits.reseal(audit.out, audit.private, cases=cases, ok=2)
    assert code(audit) == 22


def test_attack_17_case_added_under_a_new_id(audit: Audit) -> None:
    shutil.copytree(audit.case(FIRST), audit.case("fourth"))
    found = audits.report(audit)
    assert found.exit_code == 22
    assert audits.failures(found)["batch", "cases"] == "case folder 'fourth' is not one of the sealed cases"


def test_attack_17_case_added_of_another_audit(audit: Audit, tiny_model: Path, tmp_path: Path) -> None:
    cases = 'settings: {max_new_tokens: 2}\ncases:\n  - {id: fourth, prompt: "Is the loan approved?"}\n'
    finished = audits.make(tmp_path / "one", tiny_model, audit.key, cases=cases)
    shutil.copytree(finished.out / "cases" / "fourth", audit.case("fourth"))
    assert code(audit) == 22


@pytest.mark.parametrize("name", [b"\xff", b"\x1b[2J", b".pending-x", "é".encode()])
def test_attack_17_folders_and_files_with_strange_names(audit: Audit, name: bytes) -> None:
    os.mkdir(os.path.join(os.fsencode(audit.out / "cases"), name))  # noqa: PTH102, PTH118  (bytes)
    Path(os.fsdecode(os.path.join(os.fsencode(audit.case(FIRST)), name))).write_bytes(b"x")  # noqa: PTH118
    assert code(audit) == 22


def test_attack_18_cases_in_another_order(audit: Audit) -> None:
    audits.reseal(audit.out, audit.private, cases=audits.seal_of(audit.out).cases[::-1])
    reversed_seal = audits.seal_of(audit.out)
    assert [case.id for case in reversed_seal.cases] == [THIRD, SECOND, FIRST]
    assert code(audit) == 22


def test_attack_18_plan_with_another_order(audit: Audit) -> None:
    plan = audits.plan_of(audit.out)
    plan = audits.changed(plan, cases=plan.cases[::-1])
    audits.put(audit.out / "plan.sigstore.json", Statement(plan_subjects(plan), plan), audit.private)
    assert code(audit) == 22


def test_attack_18_case_of_another_run(audit: Audit, other_run: Audit) -> None:
    shutil.rmtree(audit.case(SECOND))
    shutil.copytree(other_run.case(SECOND), audit.case(SECOND))
    found = audits.report(audit)
    assert found.exit_code == 22
    assert "measured in another run" in audits.failures(found)[SECOND, "as planned"]
    audits.reseal(audit.out, audit.private)  # even when it is sealed again
    assert code(audit) == 22


def test_attack_18_case_of_another_run_that_claims_this_plan(audit: Audit, other_run: Audit) -> None:
    """Whoever holds the key can claim the plan, but the plan knows the case by a salted digest."""
    planned = sha256((audit.out / "plan.sigstore.json").read_bytes())
    shutil.rmtree(audit.case(SECOND))
    shutil.copytree(other_run.case(SECOND), audit.case(SECOND))
    audits.recase(audit.case(SECOND), audit.private, evidence={"plan": planned})
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 22
    assert "not the one that was planned" in audits.failures(found)[SECOND, "as planned"]


def test_attack_18_two_cases_exchanged(audit: Audit) -> None:
    audit.case(FIRST).rename(audit.case("x"))
    audit.case(SECOND).rename(audit.case(FIRST))
    audit.case("x").rename(audit.case(SECOND))
    assert code(audit) in {20, 22}


def test_attack_18_settings_that_were_not_planned(audit: Audit) -> None:
    evidence = audits.evidence_of(audit.case(FIRST))
    other = tuple(audits.changed(one, value="7") if one.name == "seed" else one for one in evidence.settings)
    audits.recase(audit.case(FIRST), audit.private, evidence={"settings": other})
    audits.reseal(audit.out, audit.private)
    found = audits.report(audit)
    assert found.exit_code == 22
    assert "other settings than planned" in audits.failures(found)[FIRST, "as planned"]


def test_attack_21_seal_of_another_audit(audit: Audit, other_run: Audit) -> None:
    shutil.copyfile(other_run.out / "seal.sigstore.json", audit.out / "seal.sigstore.json")
    found = audits.report(audit)
    assert found.exit_code == 22
    assert "closes another plan" in audits.failures(found)["batch", "plan and seal"]


def test_attack_21_plan_and_seal_of_another_audit(audit: Audit, other_run: Audit) -> None:
    for name in ("plan.sigstore.json", "seal.sigstore.json"):
        shutil.copyfile(other_run.out / name, audit.out / name)
    assert code(audit) == 22


SEALS: dict[str, tuple[Callable[[Seal], dict[str, Any]], int]] = {
    "counts": (lambda seal: {"ok": 2, "failed": 1}, 20),
    "a case said to have failed": (
        lambda seal: {"cases": (audits.changed(seal.cases[0], status="failed"), *seal.cases[1:])},
        22,
    ),
    "a case twice": (lambda seal: {"cases": (*seal.cases, seal.cases[0]), "ok": 4}, 22),
    "another plan": (lambda seal: {"plan": "00" * 32}, 22),
    "another attestation": (
        lambda seal: {"cases": (audits.changed(seal.cases[0], attestation="00" * 32), *seal.cases[1:])},
        22,
    ),
    "nobody signed": (lambda seal: {"signer": None}, 20),
    "no time": (lambda seal: {"finished": "yesterday"}, 20),
}


@pytest.mark.parametrize("name", SEALS)
def test_attack_21_seals_that_cannot_be(audit: Audit, name: str) -> None:
    change, expected = SEALS[name]
    audits.reseal(audit.out, audit.private, **change(audits.seal_of(audit.out)))
    assert code(audit) == expected


def test_attack_21_seal_of_other_subjects(audit: Audit) -> None:
    seal = audits.seal_of(audit.out)
    audits.put(audit.out / "seal.sigstore.json", Statement((), seal), audit.private)
    assert code(audit) == 20


@pytest.mark.parametrize("name", ["plan.sigstore.json", "seal.sigstore.json", "index.html", "model.manifest.json"])
def test_a_file_of_the_batch_is_missing(audit: Audit, name: str) -> None:
    (audit.out / name).unlink()
    assert code(audit) == 20


def test_attack_24_30_model_changed_during_the_batch(audit: Audit) -> None:
    audits.reseal(audit.out, audit.private, model_root_after="00" * 32)
    found = audits.report(audit)
    assert found.exit_code == 20
    assert "changed between the plan and the end" in audits.failures(found)["batch", "model"]


def test_attack_25_manifest_with_other_names(audit: Audit) -> None:
    """The root does not bind the names of the files; the list in each evidence does."""
    path = audit.out / "model.manifest.json"
    edit(path, b"config.json", b"confiG.json")
    found = audits.report(audit)
    assert found.exit_code == 20
    assert "lists other files" in audits.failures(found)["batch", "model"]


# -- the folder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["", "cases/first"])
@pytest.mark.parametrize("kind", ["file", "hidden file", "folder", "link", "dangling link", "FIFO"])
def test_attack_50_extra_things_in_the_folder(audit: Audit, where: str, kind: str) -> None:
    target = audit.out / where / (".hidden" if kind == "hidden file" else "extra")
    plant = {
        "file": lambda: target.write_bytes(b"x"),
        "hidden file": lambda: target.write_bytes(b"x"),
        "folder": target.mkdir,
        "link": lambda: target.symlink_to("/etc/hostname"),
        "dangling link": lambda: target.symlink_to("nowhere"),
        "FIFO": lambda: os.mkfifo(target),
    }[kind]
    plant()
    assert code(audit) == 20


def test_attack_50_extra_file_among_the_cases(audit: Audit) -> None:
    (audit.out / "cases" / "notes.txt").write_text("x")
    assert code(audit) in {20, 22}


@pytest.mark.parametrize("name", ["content.json", "evidence.json", "report.html", ATTESTATION])
@pytest.mark.parametrize("kind", ["link", "FIFO", "folder", "missing"])
def test_attack_50_file_replaced(audit: Audit, name: str, kind: str, tmp_path: Path) -> None:
    """A link to the very same bytes is refused too: what it names may change after the check."""
    path = audit.case(FIRST) / name
    path.rename(tmp_path / "moved")
    {
        "link": lambda: path.symlink_to(tmp_path / "moved"),
        "FIFO": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "missing": lambda: None,
    }[kind]()
    assert code(audit) == 20


def test_attack_50_case_folder_is_a_link(audit: Audit, tmp_path: Path) -> None:
    audit.case(FIRST).rename(tmp_path / "moved")
    audit.case(FIRST).symlink_to(tmp_path / "moved")
    assert code(audit) in {20, 22}


def test_attack_50_file_too_large(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_FILE_LIMIT", 1000)
    found = audits.report(audit)
    assert found.exit_code == 20


# -- without a signature ----------------------------------------------------------------------------------------------


@pytest.fixture
def unsigned(tiny_model: Path, tmp_path: Path, made_audit: Audit) -> Audit:
    return Audit(audits.make(tmp_path, tiny_model, None).out, made_audit.key)


def test_unsigned_audit_is_not_trusted(unsigned: Audit) -> None:
    found = audits.report(unsigned)
    assert found.exit_code == 21
    assert {check.exit_code for check in found.checks if check.outcome == "failed"} == {21}
    assert set(found.cases) == {FIRST, SECOND, THIRD}


def test_unsigned_audit_that_was_changed(unsigned: Audit) -> None:
    edit(unsigned.case(FIRST) / "report.html", b"</h1>", b"x</h1>")
    found = audits.report(unsigned)
    assert found.exit_code == 21
    assert (FIRST, "digests") in audits.failures(found)


@pytest.mark.parametrize("which", ["plan", "seal", "case", "all"])
def test_stripped_signatures(audit: Audit, which: str) -> None:
    paths = {
        "plan": [audit.out / "plan.sigstore.json"],
        "seal": [audit.out / "seal.sigstore.json"],
        "case": [audit.case(FIRST) / ATTESTATION],
        "all": sorted(audit.out.rglob("*.sigstore.json")),
    }[which]
    for path in paths:
        payload = payload_of(path.read_bytes(), path.name)
        path.with_name(path.name.replace(".sigstore.", ".unsigned.")).write_bytes(payload)
        path.unlink()
    assert code(audit) == 21


@pytest.mark.parametrize("which", ["plan", "seal", "case"])
def test_unsigned_statement_beside_the_signed_one(audit: Audit, which: str) -> None:
    path = audit.case(FIRST) / ATTESTATION if which == "case" else audit.out / f"{which}.sigstore.json"
    payload = payload_of(path.read_bytes(), path.name)
    path.with_name(path.name.replace(".sigstore.", ".unsigned.")).write_bytes(payload)
    assert code(audit) == 20


# -- every byte -------------------------------------------------------------------------------------------------------


def test_no_byte_of_a_signed_file_is_free(made_audit: Audit) -> None:
    """Each byte of the bundle, changed in its lowest bit, its case bit and its highest bit."""
    trusted = read_allowed_signers(made_audit.signers)
    data = (made_audit.case(FIRST) / ATTESTATION).read_bytes()
    for at in range(len(data)):
        for bits in (0x01, 0x20, 0x80):
            with pytest.raises(EvidenceError) as caught:
                open_bundle(data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :], trusted, "x")
            assert caught.value.exit_code == 20, f"byte {at}"


# -- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e999}',
        b'{"a":NaN}',
        b'{"a":9007199254740993}',
        b'{"a":"\\ud800"}',
        b'{"a":1.0}',
        b'{"a":-0}',
    ],
    ids=range(9),
)
def test_json_that_breaks_parsers_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        decode(data, Plan, "x")


def test_signing_is_over_the_exact_bytes(other_key: SigningKey, made_audit: Audit) -> None:
    statement = audits.opened(made_audit.case(FIRST) / ATTESTATION, Summary)
    trusted = (TrustedKey(other_key.private.public_key(), ()),)
    payload, keys = open_bundle(sign(encode(statement), other_key), trusted, "x")
    assert payload == encode(statement)
    assert keys == trusted
    message = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    signature = json.loads(sign(payload, other_key))["dsseEnvelope"]["signatures"][0]["sig"]
    other_key.private.public_key().verify(base64.b64decode(signature), message)
    assert Ed25519PrivateKey.generate().public_key() != other_key.private.public_key()


# -- a batch that is larger than the memory ----------------------------------------------------------------------------


def test_what_is_read_again_is_what_was_checked(audit: Any) -> None:
    """Verified cases are not kept in memory: they come from the same bytes, or not at all."""
    found = audits.report(audit)
    assert found.cases["first"].content == audits.content_of(audit.case("first"))
    assert found.evidence["first"] == found.cases["first"].evidence == audits.evidence_of(audit.case("first"))
    content, private = audits.content_of(audit.case("first")), audit.private
    audits.recase(audit.case("first"), private, content={"case": audits.changed(content.case, notes="another")})
    with pytest.raises(EvidenceError, match=r"content\.json was changed while it was being verified"):
        found.cases["first"]
    (audit.case("second") / "evidence.json").unlink()
    with pytest.raises(EvidenceError, match=r"evidence\.json cannot be read"):
        found.evidence["second"]
    assert list(found.cases) == ["first", "second", "third"]


def test_a_change_between_two_looks_is_a_failure(audit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever exchanges a case after its own checks and before those of the batch is noticed."""
    seen = verify_batch._check_planned

    def exchanged(report: Any, batch: Any, sealed: Any) -> None:
        seen(report, batch, sealed)
        if sealed.id == "third":
            path = audit.case("first") / "evidence.json"
            path.write_bytes(path.read_bytes().replace(b'"threads":1', b'"threads":2'))

    monkeypatch.setattr(verify_batch, "_check_planned", exchanged)
    found = audits.report(audit)
    assert found.exit_code == CHANGED
    assert "was changed while it was being verified" in audits.failures(found)["batch", "index.html"]
