"""``model.sig`` beside a model: what it says is read, checked as far as that is possible, shown, and never overrated;
and files, root and manifest are those of the package model_signing itself."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from securesystemslib.dsse import Envelope

import audits
from attn_audit.cli.main import main
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.envelope import MEDIA_TYPE, PAYLOAD_TYPE, STATEMENT_TYPE
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.identity import MANIFEST_TYPE, files_of, root_of
from attn_audit.evidence.measured import ModelSignature
from attn_audit.judge.model_signature import in_words
from attn_audit.measure.model import locate

COMMAND = str(Path(sys.executable).with_name("attn-audit"))
# The package imports OpenSSL without naming pyopenssl among what it needs.
MODEL_SIGNING = ("model-signing==1.1.1", "pyopenssl==26.4.0", "cryptography==50.0.2")


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be signed."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


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

    code, out, _ = command("model", model, "--model-key", signer.public)
    assert code == 0
    assert "by the key that the auditor gave" in out
    question = ("run", "--prompt", "Is it approved?", "--model", model, "--out", tmp_path / "out", "--format", "html")
    code, out, error = command(*question, "--model-key", other.public)
    assert (code, out) == (2, "")
    assert error.startswith("error: model signature ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert command(*question, "--model-key", signer.public)[0] == 0
    [case] = (tmp_path / "out" / "cases").iterdir()
    assert audits.evidence_of(case).model.signature == found(model, signer.public)


# -- the real package -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model_signing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment of its own that holds the package model-signing. Slow."""
    folder = tmp_path_factory.mktemp("model-signing")
    venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install")
    subprocess.run([*pip, *MODEL_SIGNING], check=True, capture_output=True)
    return folder / "bin"


ASK = """
import json, sys
from model_signing import hashing
from model_signing._signing.signing import Payload, dsse_payload_to_manifest
pairs = lambda found: [[one.identifier, one.digest.digest_hex] for one in found.resource_descriptors()]
found = hashing.hash(sys.argv[1])
ours = dsse_payload_to_manifest(json.load(open(sys.argv[2])))
payload = Payload(found).statement.pb
print(json.dumps({"root": payload.subject[0].digest["sha256"], "files": pairs(found), "ours": pairs(ours),
                  "name": ours.model_name}))
"""
ODD = (
    "sub.txt",
    "sub/a",
    "sub/.gitignore",
    "sub-/b",
    "Sub/c",
    "ä/ü.json",
    "a b (1)",
    "a'b",
    "Z",
    "0",
    "sub/deep/x.bin",
)


@pytest.mark.slow
class TestTheRealPackage:
    @pytest.fixture
    def odd(self, model: Path) -> Path:
        for number in range(3):
            (model / f"model-0000{number}-of-00003.safetensors").write_bytes(bytes([number]) * 3_000_000)
        for name in (*ODD, ".git/HEAD", ".github/workflows/x.yml", ".gitattributes", ".gitignore"):
            (model / name).parent.mkdir(parents=True, exist_ok=True)
            (model / name).write_text(name)
        return model

    def test_root_files_and_manifest_are_the_same(self, odd: Path, tmp_path: Path, model_signing: Path) -> None:
        """The manifest is that of a real audit; the package reads it and finds its root to follow."""
        out = audits.make(tmp_path / "work", odd, None).out
        asked = [model_signing / "python", "-c", ASK, odd, out / "model.manifest.json"]
        said = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
        files = files_of(odd)
        assert said["root"] == root_of(files)
        assert said["files"] == [[file.name, file.sha256] for file in files]
        assert said["ours"] == said["files"]
        assert said["name"] == odd.name
        assert set(ODD) < {name for name, _ in said["files"]}

    @pytest.mark.parametrize("ignored", [(), ("--ignore-paths", "sub")], ids=["all", "but some"])
    def test_its_signatures_are_read(
        self, odd: Path, tmp_path: Path, model_signing: Path, ignored: tuple[str, ...]
    ) -> None:
        signer = Signer(tmp_path)
        key = tmp_path / "key.pem"
        key.write_bytes(
            signer.private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        raw = base64.b64decode(signer.by_certificate()["x509CertificateChain"]["certificates"][0]["rawBytes"])
        certificate = tmp_path / "certificate.pem"
        certificate.write_bytes(x509.load_der_x509_certificate(raw).public_bytes(serialization.Encoding.PEM))
        ways = {
            "given key": ("key",),
            "own certificate": (
                *("certificate", "--signing_certificate", certificate),
                *("--certificate_chain", certificate),
            ),
        }
        for checked_with, way in ways.items():
            (odd / "model.sig").unlink(missing_ok=True)
            paths = ("--private_key", key, "--signature", odd / "model.sig")
            skipped = (ignored[0], odd / ignored[1]) if ignored else ()
            signing = [model_signing / "model_signing", "sign", *way, odd, *paths, *skipped]
            subprocess.run(signing, check=True, capture_output=True, text=True)
            said = found(odd, signer.public if checked_with == "given key" else None)
            assert said.checked_with == checked_with
            assert {name.partition("/")[0] for name in said.unsigned} == ({"sub"} if ignored else set())
        shown = subprocess.run([COMMAND, "model", odd], check=False, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        assert "certificate of CN=models.example" in " ".join(shown.stdout.split())
        (odd / "sub.txt").write_text("changed")
        assert "'sub.txt' is not the file that was signed" in refusal(odd)
