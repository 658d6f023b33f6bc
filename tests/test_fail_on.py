"""``run`` for CI: what ``--fail-on`` makes of an audit, and where the results go for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import audits
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import Incomplete, UsageError
from attn_audit.judge.conditions import Condition, conditions
from command_line import Ended, call

POLICY = "policies: [{name: no income, terms: [income], limits: {max_share: 0}, SEVERITY}]\n"
CASES = """\
settings: {max_new_tokens: 3}
POLICIEScases:
  - {id: first, prompt: "The income of the applicant is high. Is the loan approved?"}
  - {id: second, prompt: "Is the loan of the applicant approved?"}
"""
TOO_LONG = '  - {id: long, prompt: "' + "The income is high. " * 200 + '"}\n'
# What was found, by the word of --fail-on or the warning's code.
BROKEN = CASES.replace("POLICIES", POLICY.replace(", SEVERITY", ""))
WARNED = CASES.replace("POLICIES", POLICY.replace("SEVERITY", "severity: warn"))
PLAIN = CASES.replace("POLICIES", "")


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """``run(cases, ...)``: that case file with the tiny model, HTML only, without checks, into ``out``."""
    monkeypatch.chdir(tmp_path)

    def command(cases: str, *options: str, **environment: str) -> Ended:
        Path("cases.yaml").write_text(cases, encoding="utf-8")
        fixed = ("--model", str(tiny_model), "--out", "out", "--format", "html")
        return call("run", "cases.yaml", *fixed, "--checks", "none", *options, **environment)

    return command


@pytest.mark.parametrize(
    ("cases", "options", "code", "said"),
    [
        (BROKEN, (), 0, ""),
        (BROKEN, ("--fail-on", "policy"), 10, "first: policy 'no income' is broken"),
        (BROKEN, ("--fail-on", "incomplete"), 0, ""),
        (BROKEN, ("--fail-on", "policy", "--units", "sentence"), 10, "first: policy 'no income' is not comparable"),
        (BROKEN, ("--fail-on", "warning:policy-unmatched"), 10, "second: warning policy-unmatched"),
        (WARNED, ("--fail-on", "policy"), 0, ""),
        (PLAIN, ("--fail-on", "unsupported"), 10, "second: faithfulness: not checked"),
        (PLAIN, ("--fail-on", "warning:answer-cut"), 10, "first: warning answer-cut"),
        (PLAIN + TOO_LONG, (), 3, "1 of 3 cases failed, 0 were skipped"),
        (WARNED + TOO_LONG, ("--fail-on", "policy"), 3, "1 of 3 cases failed, 0 were skipped"),
        (PLAIN + TOO_LONG, ("--fail-on", "incomplete"), 10, "long: the case failed"),
        (BROKEN + TOO_LONG, ("--fail-on", "policy"), 10, "1 of 3 cases failed, 0 were skipped"),
    ],
)
def test_the_exit_code(run: object, cases: str, options: tuple[str, ...], code: int, said: str) -> None:
    ended = run(cases, *options)  # type: ignore[operator]
    assert (ended.code, ended.out) == (code, "out\n"), ended.err
    assert said in " ".join(ended.err.split())
    assert Path("out/seal.unsigned.json").exists(), "the audit is whole, whatever the code"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--fail-on", "policies"), "--fail-on takes policy, unsupported, incomplete and warning:CODE, not 'policies'"),
        (("--fail-on", ""), "--fail-on takes policy"),
        (("--fail-on", "policy,warning:no-such"), "--fail-on: there is no warning 'no-such'; there are: answer-cut"),
        (("--fail-on", "policy"), "--fail-on policy: no case has a policy, so it could never be met"),
        (("--junit", "nowhere/junit.xml"), "nowhere/junit.xml cannot be written: its folder does not exist"),
        (("--csv", "."), ". cannot be written: it is a folder"),
        (("--sarif", ".."), ".. cannot be written: something stands there that is not a regular file"),
        (("--sarif", "out/results.sarif"), "cannot be written: its folder does not exist"),
        (("--junit", "cases.yaml"), "cases.yaml cannot be written: it is what the command reads"),
        (("--junit", "j" * 300), "cannot be written: no file can have that name"),
        (("--junit", "x", "--sarif", "./x"), "x cannot be written: two results would be written to it"),
        (("--csv", "t.csv", "--summary", "t.batch.csv"), "t.batch.csv cannot be written: two results would be written"),
        (("--junit", "/dev/null"), "something stands there that is not a regular file"),
        (("--dry-run", "--junit", "junit.xml"), "--dry-run and --plan-only have no results to write or to judge"),
        (("--plan-only", "--fail-on", "incomplete"), "--dry-run and --plan-only have no results to write or to judge"),
    ],
)
def test_refused_before_anything_is_measured(run: object, options: tuple[str, ...], sentence: str) -> None:
    ended = run(PLAIN, *options)  # type: ignore[operator]
    assert (ended.code, ended.out) == (2, "")
    assert sentence in " ".join(ended.err.split())
    assert not Path("out").exists()


def test_what_the_run_reads_is_never_overwritten(run: object, tiny_model: Path, tmp_path: Path) -> None:
    key = audits.key(tmp_path)
    config = tiny_model / "config.json"
    (tmp_path / "link").symlink_to("key")
    before = key.read_bytes(), config.read_bytes()
    for target in (key, tmp_path / "link", config, tiny_model / "new"):
        ended = run(PLAIN, "--key", str(key), "--summary", str(target))  # type: ignore[operator]
        assert (ended.code, ended.out) == (2, ""), target
    assert (key.read_bytes(), config.read_bytes()) == before


def test_no_audit_gets_a_file_more(run: object) -> None:
    assert run(PLAIN).code == 0  # type: ignore[operator]
    for target in ("out/results.xml", "out/cases/first/x"):
        ended = run(PLAIN, "--resume", "--junit", target)  # type: ignore[operator]
        assert ended.code == 2
        assert "it lies within an audit, which holds no file but its own" in " ".join(ended.err.split())


def test_a_copy_that_fails_hides_no_finding(run: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise Incomplete("j.xml cannot be written: No space left on device")

    monkeypatch.setattr(bundle, "copy_file", full)
    ended = run(BROKEN, "--junit", "j.xml", "--fail-on", "policy")  # type: ignore[operator]
    assert (ended.code, ended.out) == (10, "out\n")
    said = " ".join(ended.err.split())
    assert "first: policy 'no income' is broken" in said
    assert "No space left on device; the audit in out has it" in said
    other = run(BROKEN.replace("first", "one"), "--junit", "j.xml", "--resume")  # type: ignore[operator]
    assert other.code == 2, "finished"


def test_the_files_are_those_of_the_audit(run: object) -> None:
    files = {
        "junit": ("j.xml", "results.junit.xml"),
        "sarif": ("s.sarif", "results.sarif"),
        "csv": ("c.csv", "results.csv"),
        "summary": ("s.md", "summary.md"),
    }
    options = [word for flag, (path, _) in files.items() for word in (f"--{flag}", path)]
    Path("j.xml").write_text("of the build before")
    assert run(BROKEN, *options, "--fail-on", "policy").code == 10  # type: ignore[operator]
    for path, own in [*files.values(), ("c.batch.csv", "results.batch.csv")]:
        assert Path(path).read_bytes() == (Path("out") / own).read_bytes() != b""
    listed = Path("out/SHA256SUMS").read_text()
    assert all(own in listed for _, own in files.values())


def test_a_summary_for_a_job_is_appended(run: object, tmp_path: Path) -> None:
    (tmp_path / "step").write_text("before\n")
    step = {"GITHUB_STEP_SUMMARY": str(tmp_path / "step")}
    assert run(BROKEN, "--summary", "auto", **step).code == 0  # type: ignore[operator]
    own = Path("out/summary.md").read_text(encoding="utf-8")
    assert (tmp_path / "step").read_text(encoding="utf-8") == "before\n\n" + own


def test_a_summary_that_cannot_be_appended_is_refused(run: object) -> None:
    ended = run(BROKEN, "--summary", "auto", GITHUB_STEP_SUMMARY="/none/step")  # type: ignore[operator]
    assert ended.code == 2
    assert "/none/step cannot be written: its folder does not exist" in " ".join(ended.err.split())
    assert not Path("out").exists()


def test_without_a_job_the_summary_stays_in_the_audit(run: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    ended = run(BROKEN, "--summary", "auto")  # type: ignore[operator]
    assert ended.code == 0
    assert "GITHUB_STEP_SUMMARY is not set here" in " ".join(ended.err.split())
    assert Path("out/summary.md").exists()


def test_lines_of_json_are_as_they_are(run: object) -> None:
    """No emoji for ``:key:``, nothing that a CI system obeys, every case and the batch."""
    named = BROKEN.replace("no income", '"x :key: ::error::y ##[group]\U0001f600"')
    ended = run(named, "--jsonl", "--fail-on", "policy")  # type: ignore[operator]
    assert ended.code == 10
    assert ended.out.isascii()
    assert "::" not in ended.out
    assert "##[" not in ended.out
    first, second, batch = map(json.loads, ended.out.splitlines())
    assert [first["case"], second["case"], batch["folder"]] == ["first", "second", "out"]
    assert first["findings"][0]["policy"] == "x :key: ::error::y ##[group]\U0001f600"
    assert batch["conditions_met"][0]["case"] == "first"
    assert "income" not in ended.out.replace("x :key:", ""), "no text of a case"


def test_attack_41_no_line_of_a_log_is_a_command(run: object) -> None:
    named = BROKEN.replace("no income", '"::error::y ##[group]"')
    ended = run(named, "--fail-on", "policy")  # type: ignore[operator]
    shown = call("show", "out")
    for text in (ended.err, shown.out):
        assert "error" in text
        assert "::" not in text
        assert "##[" not in text


def test_conditions_are_taken_once_each() -> None:
    assert conditions("policy, warning:screened,policy") == (Condition("policy"), Condition("warning", "screened"))
    with pytest.raises(UsageError):
        conditions("policy,,incomplete")


def test_where_it_points_is_below_the_working_folder(run: object) -> None:
    assert run(BROKEN).code == 0  # type: ignore[operator]
    plan = audits.decode(Path("out/plan.unsigned.json").read_bytes(), audits.Plan, "plan").predicate
    assert plan.source == "cases.yaml"
    assert [case.line for case in plan.cases] == [4, 5]
