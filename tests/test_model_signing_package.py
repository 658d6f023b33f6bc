"""Files, root and manifest are those of the package model_signing itself, and its signatures are read."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import audits
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.identity import files_of, root_of
from attn_audit.measure.model import locate
from signatures import Signer

pytestmark = pytest.mark.slow  # an environment is made and filled

COMMAND = str(Path(sys.executable).with_name("attn-audit"))
# The package imports OpenSSL without naming pyopenssl among what it needs.
MODEL_SIGNING = ("model-signing==1.1.1", "pyopenssl==26.4.0", "cryptography==50.0.2")


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


@pytest.fixture
def odd(tiny_model: Path, tmp_path: Path) -> Path:
    """A model folder with shards, sub-folders, names that sort oddly, and what git leaves behind."""
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    for number in range(3):
        (model / f"model-0000{number}-of-00003.safetensors").write_bytes(bytes([number]) * 3_000_000)
    for name in (*ODD, ".git/HEAD", ".github/workflows/x.yml", ".gitattributes", ".gitignore"):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(name)
    return model


def test_root_files_and_manifest_are_the_same(odd: Path, tmp_path: Path, model_signing: Path) -> None:
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
def test_its_signatures_are_read(odd: Path, tmp_path: Path, model_signing: Path, ignored: tuple[str, ...]) -> None:
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
        said = locate(str(odd), signer.public if checked_with == "given key" else None).signature
        assert said is not None
        assert said.checked_with == checked_with
        assert {name.partition("/")[0] for name in said.unsigned} == ({"sub"} if ignored else set())
    shown = subprocess.run([COMMAND, "model", odd], check=False, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "certificate of CN=models.example" in " ".join(shown.stdout.split())
    (odd / "sub.txt").write_text("changed")
    with pytest.raises(UsageError, match=r"'sub.txt' is not the file that was signed"):
        locate(str(odd))
