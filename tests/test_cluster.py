"""The same audit on a real Ray cluster on this machine, with two workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

import audits
import tiny
from attn_audit import batch
from attn_audit.batch.work import WORKER_MODEL, Start, describe
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.host import Host
from attn_audit.executors.options import RayOptions
from attn_audit.executors.ray import Ray
from attn_audit.host import this_host
from audits import Audit
from clusters import Cluster, cluster
from command_line import call

COMMAND = Path(sys.executable).with_name("attn-audit")
TOLERANCE = 1e-5  # nats an answer token
LONG = (
    "The lease of the shop began on the first of March. The rent is 900 euros a month, and is paid by the tenant. The "
    "tenant must keep the shop clean and open on weekdays. The owner repairs the roof and the walls. Either side may "
    "end the lease with three months' notice, in writing. A deposit of 1800 euros was paid to the owner. "
)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with TemporaryDirectory(prefix="ray-") as folder, cluster(Path(folder)) as found:  # sockets need a short path
        yield found


@pytest.fixture
def two_workers(running: Cluster) -> Ray:
    return Ray(RayOptions(address=running.address, workers=2))


def test_a_cluster_says_what_one_machine_says(two_workers: Ray, tiny_model: Path, tmp_path: Path) -> None:
    """With sweeps cut into parts, and one case that fails."""
    cases = audits.THREE_CASES + f'  - {{id: long, prompt: "{"The income is high. " * 200}"}}\n'
    private = audits.key(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    here = audits.make(tmp_path / "here", tiny_model, private, cases=cases, threads="1")
    torch.set_num_threads(threads)
    there = audits.make(
        tmp_path / "there", tiny_model, private, cases=cases, threads="1", executor=two_workers, split=1, world=now()
    )
    assert audits.essence(there.out) == audits.essence(here.out)
    assert [case.reason for case in there.seal.cases] == [case.reason for case in here.seal.cases]
    found = audits.report(Audit(there.out, private))
    assert (audits.failures(found), found.exit_code) == ({}, 0)
    runs = [audits.evidence_of(there.out / "cases" / case).run for case in ("first", "second", "third")]
    assert {(run.executor, run.attempts, run.parts, run.threads) for run in runs} == {("ray", 1, 2, 1)}


def now() -> Host:
    return this_host(1)


# -- what the command line refuses ------------------------------------------------------------------------------------


def asked(tiny_model: Path, *more: str, **environment: str) -> str:
    ended = call("run", "--prompt", "Is the loan approved?", "--model", tiny_model, *more, **environment)
    assert ended.code == 2
    return ended.sentence


def test_without_the_extra(tiny_model: Path, tmp_path: Path) -> None:
    """A program of its own, in which ray cannot be imported."""
    program = "import sys; sys.modules['ray'] = None; from attn_audit.cli.main import main; main()"
    command = [sys.executable, "-c", program, "run", "--prompt", "Why?", "--model", str(tiny_model)]
    ended = subprocess.run([*command, "--executor", "ray"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: --executor ray needs Ray, which is not installed; "
        "install the extra ray, or type: pip install 'ray>=2.60'\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "environment", "sentence"),
    [
        (("--executor", "slurm"), {}, "there is no executor 'slurm'; choose one of local, ray"),
        (("--ray-address", "auto"), {}, "--ray-address is for --executor ray; give both, or neither"),
        (("--executor", "ray"), {"ATTN_AUDIT_RAY_CPUS": "none"}, "ATTN_AUDIT_RAY_CPUS = 'none' is refused"),
        ((), {"ATTN_AUDIT_EXECUTOR": "ray", "ATTN_AUDIT_RAY_WORKERS": "0"}, "ATTN_AUDIT_RAY_WORKERS = '0' is refused"),
        ((), {"ATTN_AUDIT_SPLIT_TOKENS": "-5"}, "ATTN_AUDIT_SPLIT_TOKENS = '-5' is refused"),
    ],
)
def test_refusals(tiny_model: Path, flags: tuple[str, ...], environment: dict[str, str], sentence: str) -> None:
    assert sentence in asked(tiny_model, *flags, **environment)


# -- what a worker must have ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_reads_the_model_from_its_own_path(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = audits.order(cases_file(tmp_path), tiny_model, None, tmp_path / "audit")
    start = Start(order.model, order.settings)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert start().located.path == tiny_model
    copied = tmp_path / "copy"
    copied.mkdir()
    for file in tiny_model.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv(WORKER_MODEL, str(copied))
    worker = start()
    assert (worker.located.path, worker.model.identity.root) == (copied, order.model.root)
    assert worker.model.identity.name == order.model.name, "as the driver calls it"
    assert worker.host.threads == 1, "what the cluster gives"
    other = tiny.folder(tmp_path / "other", seed=7)
    monkeypatch.setenv(WORKER_MODEL, str(other))
    with pytest.raises(UsageError, match="are not those of the model that the driver has"):
        start()
    monkeypatch.delenv(WORKER_MODEL)
    (copied / "gone").touch()
    elsewhere = Start(replace(order.model, path=tmp_path / "nowhere"), order.settings)
    with pytest.raises(UsageError, match=f"set {WORKER_MODEL} there"):
        elsewhere()


def test_a_worker_with_another_version(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "describe", lambda worker: replace(describe(worker), version="0.0.1"))
    with pytest.raises(UsageError, match="install one version on every machine"):
        batch.run(audits.order(cases_file(tmp_path), tiny_model, None, tmp_path / "audit"), now(), batch.Watch())
    assert not (tmp_path / "audit").exists(), "refused before anything is written"


def test_attack_24_weights_swapped_where_a_worker_reads_them(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "root_now", lambda _: "0" * 64)
    private = audits.key(tmp_path)
    finished = audits.make(tmp_path / "work", tiny_model, private)
    assert finished.seal.model_root_after == "0" * 64
    assert audits.report(Audit(finished.out, private)).exit_code == 20


def cases_file(folder: Path) -> Path:
    (folder / "cases.yaml").write_text(audits.THREE_CASES)
    return folder / "cases.yaml"


# -- with the real model ----------------------------------------------------------------------------------------------


def run(running: Cluster, folder: Path, out: str, *more: str, split: int | None = None) -> subprocess.Popen[str]:
    """``attn-audit run`` on the cluster, as a process of its own."""
    options = ("--model", "smollm2", "--format", "html", "--key", "key", "--threads", "1", "--out", out)
    command = [COMMAND, "run", "cases.yaml", *options, "--executor", "ray", "--ray-address", running.address, *more]
    environment = os.environ | {"ATTN_AUDIT_RAY_WORKERS": "2"}
    environment |= {} if split is None else {"ATTN_AUDIT_SPLIT_TOKENS": str(split)}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def ended_well(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said


def wait_for_cases(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    while process.poll() is None and len(list(out.glob("cases/*"))) < count:
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.model
def test_twenty_real_cases_with_two_workers(running: Cluster, tmp_path: Path) -> None:
    """A worker is killed in the middle, then the driver, and it is resumed: what this process says without all that."""
    private = audits.key(tmp_path)
    (tmp_path / "cases.yaml").write_text(audits.TWENTY_CASES)
    options = ("--model", "smollm2", "--format", "html", "--key", "key", "--threads", "1")
    subprocess.run([COMMAND, "run", "cases.yaml", *options, "--out", "here"], cwd=tmp_path, check=True)
    out = tmp_path / "killed"
    driver = run(running, tmp_path, "killed")
    wait_for_cases(out, 2, driver)
    os.kill(running.at_work()[0], signal.SIGKILL)
    wait_for_cases(out, 10, driver)
    driver.kill()
    driver.communicate()
    assert 10 <= len(list(out.glob("cases/*"))) < 20
    attempts = [audits.evidence_of(folder).run.attempts for folder in out.glob("cases/*")]
    assert max(attempts) == 2, "the case at which the worker was killed was begun once more"
    ended_well(run(running, tmp_path, "killed", "--resume"))
    report = audits.report(Audit(out, private))
    assert (audits.failures(report), report.exit_code) == ({}, 0)
    assert audits.essence(out) == audits.essence(tmp_path / "here")


@pytest.mark.slow
@pytest.mark.model
def test_a_long_case_over_two_workers(running: Cluster, tmp_path: Path) -> None:
    audits.key(tmp_path)
    prompt = f"{LONG * 2}What must the tenant pay each month?"
    (tmp_path / "cases.yaml").write_text(
        f'settings: {{max_new_tokens: 6}}\ncases:\n  - {{id: lease, prompt: "{prompt}"}}\n'
    )
    ended_well(run(running, tmp_path, "whole"))
    ended_well(run(running, tmp_path, "parts", split=2_000))
    one, other = (audits.evidence_of(tmp_path / name / "cases/lease") for name in ("whole", "parts"))
    assert (one.run.parts, other.run.parts) == (1, 2)
    assert len(one.units) > 100
    for before, after in zip(one.scores, other.scores, strict=True):
        assert before == pytest.approx(after, abs=TOLERANCE, rel=0)
    assert one.relevance == pytest.approx(other.relevance, abs=TOLERANCE * len(one.answer.base), rel=0)
    assert one.checks is not None
    assert other.checks is not None
    assert one.checks.faithfulness == other.checks.faithfulness


@pytest.mark.slow
@pytest.mark.model
def test_a_stop_on_the_cluster(running: Cluster, tmp_path: Path) -> None:
    """SIGTERM: what is finished is sealed and verifies, and the rest can be done later."""
    private = audits.key(tmp_path)
    (tmp_path / "cases.yaml").write_text(audits.TWENTY_CASES)
    out, driver = tmp_path / "stopped", run(running, tmp_path, "stopped")
    wait_for_cases(out, 2, driver)
    driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 3, said
    seal = audits.seal_of(out)
    assert seal.ok >= 2
    assert seal.skipped == 20 - seal.ok > 0
    assert audits.report(Audit(out, private)).exit_code == 0
    assert not running.at_work()
