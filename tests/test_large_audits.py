"""An audit of very many cases: each is read once for the checks over all of them, little of it is kept, the work is
shared among processes, and what is printed stays short. The sizes are small here; what grows with them is counted."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import audits
from attn_audit.cli import show as showing
from attn_audit.cli import verified
from attn_audit.cli.main import main
from attn_audit.cli.verified import checks_table
from attn_audit.evidence import bundle
from attn_audit.evidence.errors import EvidenceError, UntrustedSigner
from attn_audit.evidence.sums import sums
from attn_audit.evidence.trust import TrustedKey, read_allowed_signers
from attn_audit.reports.jsonlines import for_log
from attn_audit.verify import cases as sharing
from attn_audit.verify import listed, verify
from attn_audit.verify.asked import Asked
from attn_audit.verify.cases import Work
from attn_audit.verify.report import Report
from audits import Audit
from command_line import Ended

KEPT = 2_500  # bytes of a case that was checked
Run = Callable[..., Ended]


@pytest.fixture
def attn_audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``attn_audit("verify", ...)``: the command in this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["attn-audit", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return run


# -- several processes ------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Already a few cases are shared among processes; those that were started."""
    started = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(sharing, "_WORTH", 1)
    monkeypatch.setattr(sharing.subprocess, "Popen", Noted)
    return started


def by_one_and_by_many(audit: Audit, processes: int = 2) -> tuple[Report, Report]:
    trusted = read_allowed_signers(audit.signers)
    return verify(audit.out, trusted), verify(audit.out, trusted, work=Work(processes))


def change_nothing(audit: Audit) -> None:
    pass


def change_evidence(audit: Audit) -> None:
    audits.flipped(audit.case("second") / "evidence.json", 100, 1)


def remove_a_case(audit: Audit) -> None:
    (audit.case("first") / "attestation.sigstore.json").unlink()


def sign_by_somebody(audit: Audit) -> None:
    forger = Audit(audit.out.parent, audits.key(audit.out.parent, "forger")).private
    audits.recase(audit.case("third"), forger)


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("change", [change_nothing, change_evidence, remove_a_case, sign_by_somebody])
def test_several_processes_find_the_same_in_the_same_order(
    audit: Audit, shared: list[Any], change: Callable[[Audit], None], processes: int
) -> None:
    change(audit)
    one, many = by_one_and_by_many(audit, processes)
    assert len(shared) == processes
    assert many.checks == one.checks
    assert (many.exit_code, many.facts, many.told) == (one.exit_code, one.facts, one.told)
    assert list(many.evidence) == list(one.evidence)
    said = Counter(check.detail for check in many.checks if check.detail.startswith("signed by key id"))
    assert set(said.values()) == {1}, "by whom is said once"
    assert all(worker.poll() is not None for worker in shared), "none is left"


def test_a_small_audit_starts_no_process(audit: Audit, shared: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_WORTH", 2)
    verify(audit.out, (), work=Work(16))
    assert shared == []


TWICE_IS_TOO_MUCH = """
import os
from attn_audit.verify import cases
found, done = cases._found, []
def once(*case):
    if done:
        os._exit(7)
    done.append(case)
    return found(*case)
cases._found = once
cases.work_for()
"""


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 15)", -15),
        ("import sys; sys.stdin.buffer.read(1); sys.stdout.buffer.write(b'no pickle'); sys.stdout.flush(); exit(7)", 7),
        (sharing._PROGRAM.partition(";")[0] + "; sys.path[:] = {path!r}\n" + TWICE_IS_TOO_MUCH, 7),
    ],
    ids=["ends at once", "is killed", "says something else", "ends in the middle"],
)
def test_what_a_process_does_not_do_is_done_all_the_same(
    audit: Audit, shared: list[Any], monkeypatch: pytest.MonkeyPatch, program: str, code: int
) -> None:
    monkeypatch.setattr(sharing, "_PROGRAM", program)
    one, many = by_one_and_by_many(audit)
    assert shared[0].returncode in {code, -9}
    assert many.checks == one.checks


def test_an_interruption_leaves_no_process(audit: Audit, shared: list[Any]) -> None:
    def interrupted(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(audit.out, (), work=Work(2, interrupted))
    assert len(shared) == 2
    assert all(worker.poll() is not None for worker in shared)


def test_no_process_outlives_one_that_was_killed() -> None:
    """Also where nothing could be tidied up any more, and whether or not the process has its work already."""
    program = (
        "import sys, time; from attn_audit.verify.cases import _started\n"
        "with _started() as worker:\n"
        "    {tell}\n"
        "    print(worker.told.name, flush=True); print(open('/proc/self/task/'+str(__import__('os').getpid())"
        "+'/children').read(), flush=True); time.sleep(60)"
    )
    told = "worker.tell((time.sleep, [600]))"
    for tell in ("pass", told):
        with subprocess.Popen((sys.executable, "-c", program.format(tell=tell)), stdout=subprocess.PIPE) as starter:
            assert starter.stdout is not None
            starter.stdout.readline()
            (child,) = map(int, starter.stdout.readline().split())
            starter.send_signal(signal.SIGKILL)
        assert gone(child)


def gone(process: int) -> bool:
    """Within a minute, however busy the machine is."""
    for _ in range(600):
        try:
            os.kill(process, 0)
            if (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


def test_attack_a_module_where_verify_runs_is_not_loaded(
    audit: Audit, shared: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audits are verified in whatever folder they were unpacked."""
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    for name in ("pickle", "threading", "attn_audit", "subprocess"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')\nraise SystemExit")
    monkeypatch.chdir(tmp_path)
    _, many = by_one_and_by_many(audit)
    assert (len(shared), many.exit_code) == (2, 0)
    assert not (tmp_path / "loaded").exists()


def test_a_trusted_key_is_the_same_in_another_process(made_audit: Audit) -> None:
    (key,) = read_allowed_signers(made_audit.signers)
    sent: TrustedKey = pickle.loads(pickle.dumps(replace(key, revoked=True)))
    assert sent.public.public_bytes_raw() == key.public.public_bytes_raw()
    assert (sent.principals, sent.valid_after, sent.valid_before, sent.revoked) == (key.principals, None, None, True)


# -- each case once, and little of it ----------------------------------------------------------------------------------


def test_each_case_is_read_once(made_audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    """All checks but the pages, which say something of each case, and the pairs, which take two."""
    read: Counter[Path] = Counter()
    really = bundle.read_file

    def noting(path: Path) -> bytes:
        read[path] += 1
        return really(path)

    monkeypatch.setattr(bundle, "read_file", noting)
    found = verify(made_audit.out, read_allowed_signers(made_audit.signers), Asked(views=False))
    assert found.exit_code == 0
    assert {path.name for path in read} >= {"content.json", "evidence.json", "report.html"}
    assert {path: times for path, times in read.items() if times > 1 and path.parent.parent.name == "cases"} == {}


def test_little_of_a_case_is_kept(made_audit: Audit) -> None:
    """What a process would have sent of a thousand cases, each with all that its evidence says."""
    trusted = read_allowed_signers(made_audit.signers)
    part = Report(made_audit.out / bundle.CASES)
    sharing.verify_case(part, made_audit.case("first"), trusted, Asked())
    assert len(part.checks) > 5
    sent = [pickle.dumps(renamed(part, f"case-{number:06}")) for number in range(1000)]
    whole = Report(made_audit.out / bundle.CASES)
    tracemalloc.start()
    try:
        for one in sent:
            whole.take(pickle.loads(one))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(whole.facts), len(whole.checks)) == (1000, 1000 * len(part.checks) - 999 * len(part._once))
    assert kept / 1000 < KEPT


def renamed(part: Report, name: str) -> Report:
    """The same of another case, with digests of its own."""
    (facts,) = part.facts.values()
    assert facts.told is not None
    own = f"{name:0>64}"
    told = replace(facts.told, content=own + "c", salt=own + "s", case=own + "d")
    other = Report(part.home)
    other.checks = [replace(check, subject=name) for check in part.checks]
    other._once = part._once
    other.facts = {name: replace(facts, attestation=own + "a", evidence=own + "e", told=told)}
    return other


# -- the list of all files --------------------------------------------------------------------------------------------

NAMES = st.text("ab-.0", min_size=1, max_size=3).filter(lambda name: name.strip("."))


@given(names=st.sets(st.tuples(NAMES, NAMES), min_size=1, max_size=8))
def test_files_are_listed_in_the_order_of_whole_paths(names: set[tuple[str, str]], tmp_path_factory: Any) -> None:
    """``a-b/x`` before ``a/x``: not the order of the folders' names."""
    out = tmp_path_factory.mktemp("order")
    paths = {f"{folder}/{name}" for folder, name in names}
    for path in paths:
        (out / path).parent.mkdir(exist_ok=True)
        (out / path).write_bytes(b"")
    assert list(bundle.paths_in(out)) == sorted(paths)


PARTS = st.lists(st.binary(max_size=5), max_size=5)


@given(one=PARTS, other=PARTS)
def test_lists_are_compared_part_by_part(one: list[bytes], other: list[bytes]) -> None:
    lines = [line for line in other if line]
    assert listed._same(iter(one), iter(lines)) == (b"".join(one) == b"".join(lines))
    whole = b"".join(lines)
    assert listed._same(iter([whole[:2], whole[2:]]), iter(lines))


def test_a_list_that_is_no_more_the_same_when_it_is_looked_at_again(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found once is a failure, also where the file was put right before it could be said in what."""
    path = audit.out / bundle.SUMS
    right = path.read_bytes()
    path.write_bytes(right + b"\n")
    seen = listed._same

    def put_right(*lists: Any) -> bool:
        same = seen(*lists)
        path.write_bytes(right)
        return same

    monkeypatch.setattr(listed, "_same", put_right)
    failed = audits.failures(audits.report(audit))
    assert set(failed) == {("batch", "SHA256SUMS"), ("batch", "signature of SHA256SUMS")}


def test_the_signature_is_of_the_whole_list_where_a_file_cannot_be_read(audit: Audit) -> None:
    """The check of the list ends early; that of its signature is another."""
    (audit.case("first") / "link").symlink_to("/etc/passwd")
    failed = audits.failures(audits.report(audit))
    assert ("batch", "SHA256SUMS") in failed
    assert ("batch", "signature of SHA256SUMS") not in failed


def test_a_list_is_made_without_what_it_is_written_to(audit: Audit) -> None:
    lines = sums(audit.out)
    (audit.out / ".pending-SHA256SUMS").write_bytes(b"")
    assert b"".join(lines) == (audit.out / bundle.SUMS).read_bytes()


def test_what_names_every_case_may_be_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_FILE_LIMIT", 10)
    monkeypatch.setattr(bundle, "_BATCH_LIMIT", 20)
    path = tmp_path / "seal.sigstore.json"
    path.write_bytes(b"x" * 20)
    with pytest.raises(EvidenceError, match="is larger than"):
        bundle.read_file(path)
    assert bundle.read_statement(path) == b"".join(bundle.parts_of_list(path)) == b"x" * 20
    path.write_bytes(b"x" * 21)
    with pytest.raises(EvidenceError, match="is larger than"):
        bundle.read_statement(path)


# -- what is printed --------------------------------------------------------------------------------------------------


def large(cases: int) -> Report:
    """Checks of many cases, as verify lists them: a few failures, and notes of many kinds."""
    report = Report()
    report.succeed("batch", "files")
    for number in range(cases):
        name = f"case-{number:06}"
        report.succeed(name, "digests")
        if number % 7 != 3:
            report.succeed(name, "numbers")
        else:
            report.fail(name, "numbers", EvidenceError("the numbers \x1b[2J do not hold"))
        report.note(name, "answer", "supplied")
        if number % 3 == 0:
            report.note(name, "policy", f"a policy of case {number}: broken")
    report.fail("case-000009", "signer", UntrustedSigner("x" * 2000))
    return report


def printed(report: Report) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(checks_table(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_many_cases_are_told_by_what_they_have_in_common() -> None:
    rows = [" ".join(line.split()) for line in printed(large(5000)).splitlines()]
    assert len(rows) < 80
    assert rows[1] == "batch ok files"
    assert rows[2].startswith("case-000003 and 713 others failed numbers: the numbers ")
    assert not any("\x1b" in row for row in rows)
    assert rows[3].startswith("case-000009 failed signer:")
    at = next(at for at, row in enumerate(rows) if "note" in row)
    assert rows[at] == "case-000000 and 4,999 others note answer: supplied", "what concerns most comes first"
    assert rows[-2] == "5,000 cases ok digests", "not what some did not pass"
    left_out = 2 + 1 + 1667 - verified.ROWS
    assert rows[-1] == f"{left_out:,} more kinds of results are left out here; --json prints all."


def test_few_cases_are_told_one_by_one() -> None:
    assert printed(large(verified.CASES)).count("digests") == verified.CASES
    assert printed(large(verified.CASES + 1)).count("digests") == 1


def test_a_large_audit_on_the_command_line(attn_audit: Run, audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "CASES", 2)
    ended = attn_audit("verify", audit.out, "--trust", audit.signers)
    assert ended.code == 0
    assert "3 cases" in ended.out
    assert "second" not in ended.out


def test_json_is_as_if_it_were_made_at_once(attn_audit: Run, audit: Audit) -> None:
    audits.flipped(audit.case("first") / "evidence.json", 100, 1)
    ended = attn_audit("verify", audit.out, "--trust", audit.signers, "--json")
    found = audits.report(audit)
    said = {
        "exit_code": 20,
        "verdict": json.loads(ended.out)["verdict"],
        "checks": [asdict(one) for one in found.checks],
    }
    assert ended.out == for_log(said, indent=2) + "\n"


def test_a_large_audit_is_listed_and_not_drawn(
    attn_audit: Run, made_audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = attn_audit("show", made_audit.out)
    monkeypatch.setattr(showing, "DRAWN", 2)
    ended = attn_audit("show", made_audit.out)
    assert (drawn.code, ended.code) == (0, 0)
    assert len(ended.out.splitlines()) < len(drawn.out.splitlines()) / 2
    assert all(name in ended.out for name in ("first", "second", "third"))
    assert f"attn-audit show {made_audit.out} --case ID" in ended.err


def test_one_case_of_a_large_audit_is_shown_without_looking_at_the_others(attn_audit: Run, audit: Audit) -> None:
    change_evidence(audit)
    assert attn_audit("show", audit.out, "--case", "first").code == 0
    assert attn_audit("show", audit.out, "--case", "second").code == 20
    assert attn_audit("show", audit.out).code == 20
    assert attn_audit("show", audit.case("first"), "--case", "first").code == 0
    assert attn_audit("show", audit.case("first"), "--case", "third").code == 2
    assert attn_audit("show", audit.out, "--case", "../cases/first").code == 2


def test_not_all_names_of_a_large_audit_are_said(
    attn_audit: Run, made_audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "_NAMED", 2)
    ended = attn_audit("show", made_audit.out, "--case", "fourth")
    assert ended.code == 2
    assert "there are: first, second, and 1 more" in ended.sentence
