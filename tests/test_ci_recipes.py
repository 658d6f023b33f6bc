"""The recipes of docs/ci.md: their steps run in a shell as the CI system would run them, with a tiny model."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from junitparser import Failure, JUnitXml
from ruamel.yaml import YAML

import test_exports as exports
from attn_audit.cases import read_cases
from attn_audit.cli.main import app
from attn_audit.evidence.keys import generate
from attn_audit.judge.conditions import conditions
from attn_audit.reports import junit, sarif, summary

PAGE = (Path(__file__).resolve().parent.parent / "docs/ci.md").read_text(encoding="utf-8")
CASES, GITHUB, GITLAB = "cases/loans.yaml", ".github/workflows/audit.yml", ".gitlab-ci.yml"
IDENTITY = "ci@bank.example"
BREAKS, HOLDS = "max_effect: 0", "max_share: 0.99"
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Step:
    """A script of one step, its own variables, and whether it runs after a step that failed."""

    name: str
    script: str
    variables: Mapping[str, str]
    always: bool

    @property
    def ours(self) -> bool:
        return "attn-audit " in self.script and "pip install" not in self.script


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def file_block(name: str) -> str:
    (found,) = (block for block in blocks("yaml") if block.startswith(f"# {name}\n"))
    return found


def parsed(name: str) -> Any:
    return YAML(typ="safe").load(file_block(name))


def github_steps() -> Iterator[Step]:
    (job,) = parsed(GITHUB)["jobs"].values()
    for step in job["steps"]:
        if "run" in step:
            variables = {**job["env"], **step.get("env", {})}
            yield Step(step["name"], step["run"], variables, "failure()" in step.get("if", ""))


def gitlab_steps() -> Iterator[Step]:
    workflow = parsed(GITLAB)
    for stage in workflow.pop("stages"):
        (job,) = (job for job in workflow.values() if job["stage"] == stage)
        always = job.get("when") == "always"
        # The runner puts the lines into one script; installing stands apart here, to be left out.
        yield Step(f"install for {stage}", "\n".join(job["before_script"]), job.get("variables", {}), always)
        yield Step(stage, "\n".join(job["script"]), job.get("variables", {}), always)


STEPS = {"GitHub": tuple(github_steps()), "GitLab": tuple(gitlab_steps())}
ALL = [pytest.param(step, id=f"{system}-{step.name}") for system, steps in STEPS.items() for step in steps]


@pytest.mark.parametrize("step", ALL)
def test_the_steps_are_shell(step: Step) -> None:
    done = subprocess.run(["bash", "-n"], input=step.script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("step", [param for param in ALL if param.values[0].ours])
def test_the_options_exist(step: Step) -> None:
    for line in step.script.splitlines():
        words = shlex.split(line)
        if words[:1] == ["attn-audit"]:
            COMMANDS[words[1]].make_context(words[1], words[2:])
            if "--fail-on" in words:
                assert conditions(words[words.index("--fail-on") + 1])


def test_the_recipes_are_whole() -> None:
    for steps in STEPS.values():
        ours = [step.script for step in steps if step.ours]
        assert any("attn-audit run" in script and "--junit" in script for script in ours)
        assert any("attn-audit verify" in script for script in ours)
    assert parsed(GITHUB)["permissions"] == {"contents": "read", "security-events": "write"}
    uploads = {step["uses"].partition("@")[0]: step["with"] for step in parsed(GITHUB)["jobs"]["audit"]["steps"][-2:]}
    assert uploads["github/codeql-action/upload-sarif"] == {"sarif_file": "results.sarif"}
    assert parsed(GITLAB)["audit"]["artifacts"]["reports"] == {"junit": "junit.xml"}
    assert "ATTN_AUDIT_KEY_DATA" not in str(parsed(GITLAB)["verify"])


def test_the_case_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "loans.yaml").write_text(file_block(CASES), encoding="utf-8")
    (case,) = read_cases(tmp_path / "loans.yaml").cases
    assert [policy.name for policy in case.policies] == ["no postcode"]


def test_the_excerpts_are_of_real_files() -> None:
    made = exports.typical()
    (xml,) = blocks("xml")
    failure = ElementTree.fromstring(xml)
    (suite,) = JUnitXml.fromstring(junit.results(made))
    (first, *_) = next(iter(suite)).result
    assert isinstance(first, Failure)
    assert (first.type, first.message, first.text) == (failure.get("type"), failure.get("message"), failure.text)
    (excerpt,) = (json.loads(block) for block in blocks("json"))
    (result, *_) = exports.run_of(made)["results"]
    assert {name: result[name] for name in excerpt} == excerpt
    page = summary.page(made).decode("utf-8")
    (shown,) = blocks("markdown")
    assert all(line in page.splitlines() for line in shown.splitlines())
    assert exports.tables(shown)[0][1][:2] == ["loan-1", "no postcode"]
    assert sarif.results(made).isascii()


# -- run --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Project:
    """A repository that was checked out in CI, with the secret key elsewhere."""

    folder: Path
    key: Path
    model: Path

    def run(self, step: Step, **variables: str) -> subprocess.CompletedProcess[str]:
        """As the systems run a step: bash that ends at the first failure, in the root of the project."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ATTN_AUDIT_")}
        given = {name: self._filled(value) for name, value in step.variables.items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{ours['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step.script],
            cwd=self.folder,
            env=ours | given | {"CI": "true", "PATH": path, "ATTN_AUDIT_MODEL": str(self.model)} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _filled(self, value: str) -> str:
        return value.replace("${{ secrets.ATTN_AUDIT_KEY }}", self.key.read_text(encoding="utf-8"))

    def job(self, system: str, **variables: str) -> dict[str, subprocess.CompletedProcess[str]]:
        """The steps that are run, by name; after one that fails only those that say so. Installing is left out."""
        done: dict[str, subprocess.CompletedProcess[str]] = {}
        for step in STEPS[system]:
            failed = any(one.returncode for one in done.values())
            if step.ours and (step.always or not failed):
                done[step.name] = self.run(step, **variables)
        return done


def project(folder: Path, model: Path, limit: str) -> Project:
    """A project whose only policy has that limit."""
    (root := folder / "project").mkdir()
    (root / "cases").mkdir()
    cases = file_block(CASES).replace("max_share: 0.05", limit).replace("max_new_tokens: 24", "max_new_tokens: 4")
    (root / CASES).write_text(cases, encoding="utf-8")
    (secret := folder / "secret").mkdir()
    generate(secret / "ci", IDENTITY, None)
    (root / "ci.allowed_signers").write_bytes((secret / "ci.allowed_signers").read_bytes())
    return Project(root, secret / "ci", model)


@pytest.mark.slow
def test_github_a_broken_policy_fails_the_job_and_is_shown(tiny_model: Path, tmp_path: Path) -> None:
    made = project(tmp_path, tiny_model, BREAKS)
    page = tmp_path / "step-summary.md"
    page.write_text("Before.\n")
    done = made.job("GitHub", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(page), GITHUB_WORKSPACE=str(made.folder))
    assert {name: one.returncode for name, one in done.items()} == {"Audit": 10, "Verify": 0}, done["Audit"].stderr
    (suite,) = JUnitXml.fromstring((made.folder / "junit.xml").read_bytes())
    ((failure,),) = (case.result for case in suite)
    assert (type(failure), failure.type) == (Failure, "policy broken")
    log = json.loads((made.folder / "results.sarif").read_bytes())
    exports.VALIDATOR.validate(log)
    errors = [one for one in log["runs"][0]["results"] if one["level"] == "error"]
    place = errors[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == CASES
    assert "id: application-1" in (made.folder / CASES).read_text().splitlines()[place["region"]["startLine"] - 1]
    written = page.read_text(encoding="utf-8")
    assert written.startswith("Before.\n"), "it is added to what other steps wrote"
    assert written.endswith((made.folder / "audit/summary.md").read_text(encoding="utf-8"))
    assert exports.tables(written)[0][1][:2] == ["application-1", "no postcode"]
    for name, copy in (("junit.xml", "results.junit.xml"), ("results.sarif", "results.sarif")):
        assert (made.folder / name).read_bytes() == (made.folder / "audit" / copy).read_bytes()
    output = done["Audit"].stdout + done["Audit"].stderr
    assert not any(line.lstrip().startswith("::") for line in output.splitlines())


@pytest.mark.slow
def test_gitlab_a_policy_that_holds_passes(tiny_model: Path, tmp_path: Path) -> None:
    made = project(tmp_path, tiny_model, HOLDS)
    done = made.job("GitLab", GITLAB_CI="true", ATTN_AUDIT_KEY=str(made.key))
    assert {name: one.returncode for name, one in done.items()} == {"audit": 0, "verify": 0}, done["audit"].stderr
    (suite,) = JUnitXml.fromstring((made.folder / "junit.xml").read_bytes())
    assert all(case.is_passed for case in suite)
    assert {one.name: one.value for one in suite.properties()}["signer.principal"] == IDENTITY
    page = (made.folder / "summary.md").read_text(encoding="utf-8")
    assert page == (made.folder / "audit/summary.md").read_text(encoding="utf-8")
    assert "0 policies that must hold did not." in page
