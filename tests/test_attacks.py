"""What each attack on an audit comes to on the command line, numbered as in the list of attacks the design keeps.

The audit is made by ``attn-audit run``, altered by a row of tests/attacks, and given to ``attn-audit verify`` or to the
command that the row names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import audits
from attacks import batch, identity, model
from attacks.scene import Scene
from attn_audit.evidence.keys import SigningKey
from audits import Audit
from command_line import call

ATTACKS = identity.ATTACKS | batch.ATTACKS | model.ATTACKS


def _keygen(folder: Path) -> Path:
    assert call("keygen", folder / "key", "--identity", audits.PRINCIPAL, "--no-passphrase").code == 0
    return folder / "key"


def _run(folder: Path, model: Path, key: Path, *options: str) -> Audit:
    (folder / "cases.yaml").write_text(audits.THREE_CASES)
    ended = call("run", folder / "cases.yaml", "--model", model, "--key", key, "--out", folder / "audit", *options)
    assert ended.code == 0, ended.err
    return Audit(folder / "audit", key)


@pytest.fixture(scope="module")
def typed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """An audit with both reports, made on the command line: do not change it."""
    folder = tmp_path_factory.mktemp("typed")
    return _run(folder, tiny_model, _keygen(folder))


@pytest.fixture(scope="module")
def typed_again(typed: Audit, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The same case file with the same key once more."""
    return _run(tmp_path_factory.mktemp("typed-again"), tiny_model, typed.key, "--format", "html")


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """Somebody else's key, in the signer's name."""
    folder = tmp_path_factory.mktemp("forger")
    return Audit(folder, _keygen(folder)).private


@pytest.fixture
def scene(typed: Audit, typed_again: Audit, forger: SigningKey, tiny_model: Path, tmp_path: Path) -> Scene:
    return Scene(typed.copied_to(tmp_path / "audit"), typed_again, forger, tiny_model, tmp_path)


def test_unaltered_it_verifies(scene: Scene) -> None:
    ended = call(*scene.verify())
    assert (ended.code, ended.err) == (0, "")
    assert "VERIFIED" in ended.out


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(scene: Scene, name: str) -> None:
    do, code, says = ATTACKS[name]
    kept = {path: path.read_bytes() for path in scene.audit.out.rglob("*") if path.is_file()}
    command = do(scene)
    altered = kept != {path: path.read_bytes() for path in scene.audit.out.rglob("*") if path.is_file()}
    assert altered or command is not None, "the row does nothing"
    ended = call(*(command or scene.verify()))
    assert ended.code == code
    assert says in " ".join((ended.out + ended.err).split())
    assert "Traceback" not in ended.err
    if code == 2:
        assert ended.sentence
        assert not (scene.folder / "new").exists()
