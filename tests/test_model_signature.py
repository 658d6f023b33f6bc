"""``model.sig`` beside a model: what it says is read, checked as far as that is possible, shown, never overrated."""

from __future__ import annotations

import base64
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import audits
from attn_audit.cli.main import main
from attn_audit.cli.signing import MODEL_KEY_VARIABLE
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.measured import ModelSignature
from attn_audit.judge.model_signature import in_words
from attn_audit.measure.model import locate
from signatures import Signer, put, statement


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be signed."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def found(model: Path, key: Path | None = None) -> ModelSignature:
    signature = locate(str(model), key).signature
    assert signature is not None
    return signature


def refusal(model: Path, key: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        locate(str(model), key)
    assert str(caught.value).isprintable()
    return str(caught.value)


# -- what it says -----------------------------------------------------------------------------------------------------


def test_no_signature(model: Path, tmp_path: Path) -> None:
    assert locate(str(model)).signature is None
    assert in_words(None) == "none found"
    assert "has no model.sig beside it" in refusal(model, Signer(tmp_path).public)


def test_of_a_key_that_nobody_gave_it_vouches_for_nobody(model: Path, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    root = locate(str(model)).root
    put(model, signer.sign(statement(model), signer.by_key()))
    said = found(model)
    assert (said.checked_with, said.signer, said.identity, said.unsigned) == ("nothing", sha256(signer.pem), None, ())
    assert said.sha256 == sha256((model / "model.sig").read_bytes())
    assert "the signature was not checked and vouches for nobody; it names exactly these files" in in_words(said)
    assert locate(str(model)).root == root, "it is no file of the model"


def test_of_a_given_key(model: Path, tmp_path: Path) -> None:
    signer, other = Signer(tmp_path), Signer(tmp_path, "other")
    put(model, signer.sign(statement(model), signer.by_key()))
    assert found(model, signer.public).checked_with == "given key"
    assert f"(sha256 {sha256(signer.pem)}); the signature holds" in in_words(found(model, signer.public))
    put(model, signer.sign(statement(model), signer.by_key(hint=sha256(other.pem))))
    assert found(model, signer.public).signer == sha256(signer.pem), "whatever it hints at"
    assert "is not a signature of this key" in refusal(model, other.public)
    put(model, other.sign(statement(model), other.by_certificate()))
    assert "is not a signature of this key" in refusal(model, signer.public)


@pytest.mark.parametrize("chain", [True, False], ids=["chain", "one certificate"])
def test_of_a_certificate_it_names_somebody_whom_nobody_checked(model: Path, tmp_path: Path, chain: bool) -> None:
    signer = Signer(tmp_path)
    put(model, signer.sign(statement(model), signer.by_certificate(chain=chain)))
    said = found(model)
    assert (said.checked_with, said.identity) == ("own certificate", "CN=models.example")
    assert "whether the certificate is genuine and valid was not checked" in in_words(said)
    put(model, signer.sign(statement(model), signer.by_certificate(chain=chain, name="https://ci.example/models")))
    assert found(model).identity == "https://ci.example/models"


def test_files_that_the_signer_left_out_are_named(model: Path, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    without = [one for one in statement(model)["predicate"]["resources"] if one["name"] != "tokenizer.json"]
    put(model, signer.sign(statement(model, resources=without, ignore_paths=["tokenizer.json"]), signer.by_key()))
    assert found(model).unsigned == ("tokenizer.json",)
    assert "of these files it leaves out tokenizer.json" in in_words(found(model))
    put(model, signer.sign(statement(model, resources=without), signer.by_key()))
    assert "does not name 'tokenizer.json'" in refusal(model)


@pytest.mark.parametrize("named", [".", "m.gguf"], ids=["on its own", "with its folder"])
def test_beside_a_gguf_file(tmp_path: Path, named: str) -> None:
    signer, file = Signer(tmp_path), tmp_path / "m.gguf"
    file.write_bytes(b"GGUF")
    resources = [{"name": named, "algorithm": "sha256", "digest": sha256(b"GGUF")}]
    put(tmp_path, signer.sign(statement(file, resources=resources), signer.by_key()))
    assert found(file, signer.public).unsigned == ()
    file.write_bytes(b"GGUX")
    assert "'m.gguf' is not the file that was signed" in refusal(file)


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["generation_config.json", "chat_template.jinja"])
def test_a_signature_of_other_files(model: Path, tmp_path: Path, name: str) -> None:
    signer = Signer(tmp_path)
    put(model, signer.sign(statement(model), signer.by_certificate()))
    with (model / name).open("ab") as file:
        file.write(b" ")
    assert f"'{name}' is not the file that was signed" in refusal(model)
    (model / name).unlink()
    assert f"it names '{name}', which is not among the model's files" in refusal(model)


def other_signature(bundle: dict[str, Any]) -> None:
    signature = base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"])
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature[:-1] + b"x").decode()


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "signature": other_signature,
    "no signature": lambda bundle: bundle["dsseEnvelope"].update(signatures=[]),
    "two signatures": lambda bundle: bundle["dsseEnvelope"]["signatures"].append({"sig": ""}),
    "media type": lambda bundle: bundle.update(mediaType="application/json"),
    "payload type": lambda bundle: bundle["dsseEnvelope"].update(payloadType="text/plain"),
    "payload": lambda bundle: bundle["dsseEnvelope"].update(payload="e30="),
    "no base64": lambda bundle: bundle["dsseEnvelope"].update(payload="%"),
    "material": lambda bundle: bundle.update(verificationMaterial={}),
    "certificate": lambda bundle: bundle.update(verificationMaterial={"certificate": {"rawBytes": "AAAA"}}),
    "signer": lambda bundle: bundle.update(verificationMaterial={"publicKey": {"hint": "\x1b[31m"}}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_bundle(model: Path, tmp_path: Path, kind: str) -> None:
    signer = Signer(tmp_path)
    bundle = signer.sign(statement(model), signer.by_certificate())
    BROKEN[kind](bundle)
    put(model, bundle)
    assert refusal(model).startswith(f"model signature {model / 'model.sig'} is refused: ")


@pytest.mark.parametrize("text", ["", "[]", "-----BEGIN PGP SIGNATURE-----", '{"a": 1, "a": 1}'])
def test_another_kind_of_file(model: Path, text: str) -> None:
    (model / "model.sig").write_text(text)
    assert "is refused: " in refusal(model)


@pytest.mark.parametrize(
    "changes",
    [{"method": "shards"}, {"hash_type": "blake3"}, {"ignore_paths": "tokenizer.json"}, {"resources": [{}, {}]}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_list_of_another_kind(model: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    signer = Signer(tmp_path)
    said = statement(model, **({} if "resources" in changes else changes))
    said["predicate"].update({name: value for name, value in changes.items() if name == "resources"})
    put(model, signer.sign(said, signer.by_key()))
    assert "is refused: " in refusal(model)


def test_a_root_that_does_not_follow(model: Path, tmp_path: Path) -> None:
    signer, said = Signer(tmp_path), statement(model)
    said["subject"][0]["digest"]["sha256"] = "00" * 32
    put(model, signer.sign(said, signer.by_key()))
    assert "its root does not follow from its list" in refusal(model)


def test_attack_26_a_signature_that_is_a_link(model: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (model / "model.sig").symlink_to(tmp_path / "elsewhere")
    assert "is a link out of the model's folder" in refusal(model)


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"])
def test_a_key_that_is_none(model: Path, tmp_path: Path, text: str) -> None:
    signer = Signer(tmp_path)
    put(model, signer.sign(statement(model), signer.by_key()))
    signer.public.write_text(text)
    assert "is not a public key in PEM" in refusal(model, signer.public)
    assert "cannot be read" in refusal(model, tmp_path / "none.pem")


# -- in an audit ------------------------------------------------------------------------------------------------------


def test_the_audit_records_and_shows_it(model: Path, tmp_path: Path) -> None:
    signer, private = Signer(tmp_path), audits.key(tmp_path)
    put(model, signer.sign(statement(model), signer.by_certificate(name="https://ci.example/<b>")))
    audit = audits.Audit(audits.make(tmp_path / "work", model, private).out, private)
    assert audits.report(audit).exit_code == 0
    said = audits.evidence_of(audit.case("first")).model.signature
    assert said == found(model)
    html = (audit.case("first") / "report.html").read_text()
    assert "by the holder of the certificate of https://ci.example/&lt;b&gt;" in html
    assert "<b>" not in html.partition('id="model"')[2].partition("</section>")[0]


@pytest.mark.parametrize(
    "changes",
    [{"unsigned": ("other.json",)}, {"identity": None}, {"checked_with": "nothing"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_record_of_a_signature_that_cannot_be(audit: audits.Audit, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Correctly signed by the auditor."""
    before = audits.evidence_of(audit.case("first"))
    said = ModelSignature(
        sha256="00" * 32, checked_with="own certificate", signer="00" * 32, identity="somebody", unsigned=()
    )
    for values, code in (({}, None), (changes, 20)):
        model = audits.changed(before.model, signature=audits.changed(said, **values))
        audits.recase(audit.case("first"), audit.private, evidence={"model": model})
        failed = audits.failures(audits.report(audit)).get(("first", "numbers"))
        assert (failed is not None) == (code == 20)


def test_the_command_line_takes_the_key(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signer, other = Signer(tmp_path), Signer(tmp_path, "other")
    put(model, signer.sign(statement(model), signer.by_key()))

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attn-audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, " ".join(printed.out.split()), printed.err  # type: ignore[return-value]

    monkeypatch.setenv(MODEL_KEY_VARIABLE, str(signer.public))
    code, out, _ = command("model", model)
    assert code == 0
    assert "by the key that the auditor gave" in out
    question = ("run", "--prompt", "Is it approved?", "--model", model, "--out", tmp_path / "out", "--format", "html")
    monkeypatch.setenv(MODEL_KEY_VARIABLE, str(other.public))
    code, out, error = command(*question)
    assert (code, out) == (2, "")
    assert error.startswith("error: model signature ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv(MODEL_KEY_VARIABLE, str(signer.public))
    assert command(*question)[0] == 0
    [case] = (tmp_path / "out" / "cases").iterdir()
    assert audits.evidence_of(case).model.signature == found(model, signer.public)
