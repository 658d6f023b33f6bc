"""What identifies a model: every file that is loaded is hashed, no other is read, and a change is found."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import audits
import tiny
from attn_audit.cli.main import main
from attn_audit.evidence import identity
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.identity import files_of, root_of
from attn_audit.measure.model import load, locate

COMMAND = str(Path(sys.executable).with_name("attn-audit"))


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def refusal(path: Path) -> str:
    """The one sentence with which the files are refused."""
    with pytest.raises(UsageError) as caught:
        locate(str(path))
    assert str(caught.value).isprintable()
    return str(caught.value)


# -- root and manifest ------------------------------------------------------------------------------------------------


def test_the_root_is_that_of_the_openssf_manifest(model: Path) -> None:
    """sha256 over the raw digests of the files, in the order of their paths: written here a second time."""
    (model / "adapters").mkdir()
    (model / "adapters" / "a.json").write_text("{}")
    (model / "adapters.json").write_text("[]")
    paths = sorted(path.relative_to(model) for path in model.rglob("*") if path.is_file())
    digests = b"".join(hashlib.sha256((model / path).read_bytes()).digest() for path in paths)
    located = locate(str(model))
    assert [file.name for file in located.files] == [path.as_posix() for path in paths]
    assert [file.size for file in located.files] == [(model / path).stat().st_size for path in paths]
    assert located.root == hashlib.sha256(digests).hexdigest()


def test_the_manifest_of_an_audit_says_the_same(made_audit: audits.Audit, tiny_model: Path) -> None:
    said = json.loads((made_audit.out / "model.manifest.json").read_bytes())
    resources = said["predicate"]["resources"]
    assert said["predicateType"] == "https://model_signing/signature/v1.0"
    digests = b"".join(bytes.fromhex(resource["digest"]) for resource in resources)
    root = hashlib.sha256(digests).hexdigest()
    assert said["subject"] == [{"name": tiny_model.name, "digest": {"sha256": root}}]
    assert {resource["name"] for resource in resources} == {path.name for path in tiny_model.iterdir()}
    for resource in resources:
        assert hashlib.sha256((tiny_model / resource["name"]).read_bytes()).hexdigest() == resource["digest"]


def test_attack_25_files_renamed(model: Path) -> None:
    """Renamed in the same order, they have the same root; the list tells them apart."""
    before = files_of(model)
    (model / "generation_config.json").rename(model / "generation_confih.json")
    after = files_of(model)
    assert root_of(after) == root_of(before)
    assert after != before


@pytest.mark.parametrize("name", ["chat_template.jinja", "generation_config.json", "tokenizer.json", "config.json"])
def test_attack_29_any_file_that_changes_behaviour_changes_the_root(model: Path, name: str) -> None:
    before = locate(str(model)).root
    with (model / name).open("a") as file:
        file.write(" ")
    assert locate(str(model)).root != before


def test_attack_29_a_chat_template_alone(model: Path) -> None:
    before = load(locate(str(model)), seed=0).identity
    template = model / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|start|>", "<|start|> "))
    after = load(locate(str(model)), seed=0).identity
    assert after.root != before.root
    assert after.chat_template_sha256 != before.chat_template_sha256


@pytest.mark.parametrize("name", ["additional_chat_templates/rag.jinja", "adapters/adapter_model.safetensors"])
def test_attack_29_a_further_chat_template_or_adapter_alone(model: Path, name: str) -> None:
    before = load(locate(str(model)), seed=0).identity
    (model / name).parent.mkdir()
    (model / name).write_text("x")
    after = load(locate(str(model)), seed=0).identity
    assert after.root != before.root
    assert after.chat_template_sha256 == before.chat_template_sha256, "the one that is applied"


def test_what_git_leaves_behind_is_no_part_of_the_model(model: Path) -> None:
    before = locate(str(model)).root
    (model / ".git").mkdir()
    (model / ".git" / "HEAD").write_text("x")
    (model / ".gitattributes").write_text("x")
    assert locate(str(model)).root == before
    (model / "sub").mkdir()
    (model / "sub" / ".gitattributes").write_text("x")
    assert locate(str(model)).root != before, "only at the top, as model_signing does"


def test_the_licence_of_the_model_card(model: Path) -> None:
    (model / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
    assert load(locate(str(model)), seed=0).identity.licence == "apache-2.0"


# -- what is no file of the model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["out of the folder", "to a folder", "loop", "dangling", "within"])
def test_attack_26_links(model: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (model / "extra").symlink_to(
        {
            "out of the folder": "/etc/hostname",
            "to a folder": tmp_path / "elsewhere",
            "loop": "extra",
            "dangling": "nowhere",
            "within": "config.json",
        }[kind]
    )
    assert "extra" in refusal(model)


@pytest.mark.parametrize("kind", ["FIFO", "socket", "device"])
def test_attack_26_what_is_no_file(model: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is opened: opening a FIFO would wait for ever."""
    if kind == "FIFO":
        os.mkfifo(model / "extra")
    elif kind == "device":
        try:
            os.mknod(model / "extra", 0o20644, os.makedev(1, 5))
        except OSError:
            pytest.skip("only root may make a device")
    else:
        monkeypatch.chdir(model)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("extra")
    assert "extra is not a regular file" in refusal(model)


def test_attack_26_a_file_exchanged_for_a_fifo_or_a_link_at_the_last_moment(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.open
    for number, put in enumerate((os.mkfifo, lambda path: path.symlink_to("/etc/hostname"))):

        def exchange(path: Path, flags: int, put: Any = put) -> int:
            Path(path).unlink()
            put(path)
            return before(path, flags)

        with monkeypatch.context() as patched:
            patched.setattr("os.open", exchange)
            assert "chat_template.jinja" in refusal(Path(shutil.copytree(model, model.with_name(str(number)))))


def test_attack_26_links_of_a_hugging_face_cache(model: Path, tmp_path: Path) -> None:
    """There, and only there, every file is a link into the cache's own blobs."""
    cache = tmp_path / "models--some--model"
    snapshot = cache / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for path in model.iterdir():
        shutil.copyfile(path, cache / "blobs" / hashlib.sha256(path.name.encode()).hexdigest())
        (snapshot / path.name).symlink_to(f"../../blobs/{hashlib.sha256(path.name.encode()).hexdigest()}")
    assert locate(str(snapshot)).root == locate(str(model)).root
    assert load(locate(str(snapshot)), seed=0).identity.parameters > 0
    other = tmp_path / "models--other--model" / "blobs"
    other.mkdir(parents=True)
    shutil.copyfile(model / "config.json", other / "x")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../../models--other--model/blobs/x")
    assert "config.json is a link out of the model's folder" in refusal(snapshot)


@pytest.mark.parametrize("name", ["line\nbreak", "escape\x1b[31m", os.fsdecode(b"not utf-8 \xff"), "a\u2028b/config"])
def test_names_that_cannot_be_recorded(model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("x")
    assert "has a name that cannot be recorded; rename it" in refusal(model)


@pytest.mark.parametrize("name", ["model.safetensors", "sub"])
def test_what_cannot_be_read_is_not_left_out(model: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read anything, so the system's answer is made up here."""
    (model / "sub").mkdir()

    def denying(function: Any) -> Any:
        def called(path: Any, *arguments: Any) -> Any:
            if Path(path).name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *arguments)

        return called

    monkeypatch.setattr("os.open", denying(os.open))
    monkeypatch.setattr("os.scandir", denying(os.scandir))
    assert f"{model / name} cannot be read: Permission denied" in refusal(model)


def test_attack_30_a_file_that_changes_while_it_is_hashed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.file_digest

    def growing(file: Any, name: str) -> Any:
        found = digest(file, name)
        with (model / "tokenizer.json").open("a") as other:
            other.write(" ")
        return found

    monkeypatch.setattr(identity.hashlib, "file_digest", growing)
    assert "tokenizer.json changed while it was read" in refusal(model)


# -- during the batch -------------------------------------------------------------------------------------------------


def swap_weights(model: Path) -> None:
    tiny.network("llama", seed=1).save_pretrained(model.with_name("other"))
    (model.with_name("other") / "model.safetensors").replace(model / "model.safetensors")


def change_in_place(model: Path) -> None:
    with (model / "chat_template.jinja").open("a") as file:
        file.write(" ")


CHANGES: dict[str, Callable[[Path], Any]] = {
    "attack 24: other weights": swap_weights,
    "attack 30: a file changed": change_in_place,
    "attack 30: a file added": lambda model: (model / "extra.json").write_text("{}"),
    "attack 30: a file removed": lambda model: (model / "generation_config.json").unlink(),
    "attack 30: a link": lambda model: (model / "extra").symlink_to("/etc/hostname"),
    "attack 25: renamed in order": lambda model: (model / "generation_config.json").rename(model / "generation_d"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_attack_24_25_and_30_the_model_changes_during_the_batch(
    model: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By somebody else, as soon as the first case is there, while the command goes on with the others."""
    cases = "".join(f"  - {{id: case-{number:02}, prompt: The income is high.}}\n" for number in range(30))
    (tmp_path / "cases.yaml").write_text(f"settings: {{max_new_tokens: 2}}\ncases:\n{cases}")
    private, out = audits.key(tmp_path), tmp_path / "out"
    finished: list[int] = []

    def change() -> None:
        while not (out / "cases" / "case-00").exists():
            time.sleep(0.002)
        CHANGES[kind](model)
        finished.append(len(list((out / "cases").iterdir())))

    other = threading.Thread(target=change, daemon=True)
    other.start()

    def run(*arguments: Any) -> int:
        monkeypatch.setattr(sys, "argv", ["attn-audit", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0  # type: ignore[return-value]

    options = ("--key", private, "--out", out, "--format", "html", "--checks", "none")
    code = run("run", tmp_path / "cases.yaml", "--model", model, *options)
    other.join(timeout=10)
    assert 0 < finished[0] < 30, "the change came too late to be one during the batch"
    assert code == 3
    assert "the model's files changed during the batch; the audit is worthless" in capsys.readouterr().err
    assert run("verify", out, "--trust", private.with_name("key.allowed_signers")) == 20
    assert "the model's files changed between the plan and the end of the batch" in " ".join(
        capsys.readouterr().out.split()
    )


# -- what is read -----------------------------------------------------------------------------------------------------

_OPENED = re.compile(r'open(?:at2?)?\((?:AT_FDCWD, )?"([^"]+)".* = \d+')
_OF_MODELS = {".json", ".jinja", ".safetensors", ".gguf", ".model", ".txt", ".bin", ".sig", ".md"}


def opened(strace: str, folder: Path, *arguments: str | Path) -> list[Path]:
    """Every file that the command opened, by itself or through a library in another language."""
    log = folder / "strace.log"
    environment = {**os.environ, "HOME": str(folder / "home"), "HF_HOME": str(folder / "home/hub")}
    subprocess.run(
        [strace, "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", log, COMMAND, *arguments],
        env=environment,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return [folder / found[1] for line in log.read_text().splitlines() if (found := _OPENED.search(line))]


def of_models(paths: list[Path]) -> set[Path]:
    """Those that can be part of a model, and not of an installed package or of the system."""
    installed = {Path(sys.prefix), Path(sys.base_prefix), *map(Path, sys.path), *map(Path, ("/proc", "/sys", "/etc"))}
    return {path for path in paths if path.suffix in _OF_MODELS and not installed & set(path.parents)}


def decoys(folder: Path) -> None:
    """What some version of some library reads beside a model's weights."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if not (folder / name).exists():
            (folder / name).write_text("{}")
    for name in ("special_tokens_map.json", "added_tokens.json", "processor_config.json", "chat_template.json"):
        (folder / name).write_text("{}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("x")


@pytest.mark.slow
def test_of_a_folder_the_hashed_files_are_read_and_no_others(program: Callable[..., str], tmp_path: Path) -> None:
    model = tmp_path / "model"
    tiny.network("llama").save_pretrained(model, max_shard_size="40KB")
    tiny.tokenizer().save_pretrained(model)
    decoys(model)
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    (model / ".git").mkdir()
    (model / ".git" / "model.json").write_text("{}")
    (model.parent / "config.json").write_text("{}")
    arguments = ("run", "--prompt", "The income is high.", "--model", model, "--format", "html", "--out", "out")
    found = {path for path in of_models(opened(program("strace"), tmp_path, *arguments)) if "out" not in path.parts}
    listed = audits.evidence_of(next((tmp_path / "out" / "cases").iterdir())).model.files
    assert found == {model / file.name for file in listed}
    assert len([file for file in listed if file.name.endswith(".safetensors")]) > 2


@pytest.mark.slow
@pytest.mark.model
def test_of_a_gguf_file_nothing_beside_it_is_read(program: Callable[..., str], tmp_path: Path) -> None:
    """The library would take tokenizer and chat templates from the folder."""
    model = tmp_path / "model"
    model.mkdir()
    shutil.copyfile(locate("smollm2").path, model / "m.gguf")
    decoys(model)
    found = of_models(opened(program("strace"), tmp_path, "model", model / "m.gguf"))
    assert {path for path in found if model in path.parents} == {model / "m.gguf"}
    assert {path.name for path in found} == {"m.gguf"}
    assert load(locate(str(model / "m.gguf")), seed=0).identity.chat_template_sha256 == (
        load(locate("smollm2"), seed=0).identity.chat_template_sha256
    )
