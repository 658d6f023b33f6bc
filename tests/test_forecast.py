"""What a batch will take, said before it is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import audits
from attn_audit import batch
from attn_audit.cli import forecast as printed
from attn_audit.evidence.measured import Evidence
from command_line import call

FOUR = audits.THREE_CASES + f'  - {{id: long, prompt: "{"The income is high. " * 200}"}}\n'


def test_a_row_for_each_case_and_the_sums(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text(FOUR)
    ended = call("run", tmp_path / "cases.yaml", "--model", tiny_model, "--dry-run", COLUMNS="160")
    assert ended.code == 3
    rows = [line.split() for line in ended.out.splitlines() if line.strip()]
    assert [row[0] for row in rows] == ["case", "first", "second", "third", "all"]
    assert re.search(r"3 cases: about \d+\.\d minutes of measuring by one worker, and 0\.\d MB on disk", ended.err)
    assert "long cannot be audited: the prompt has" in ended.err
    assert "1 of 4 cases cannot be audited" in ended.err
    assert not (tmp_path / "audit").exists()


def test_the_figures_are_those_of_the_run(tiny_model: Path, tmp_path: Path) -> None:
    order = audits.order(_file(tmp_path), tiny_model, None, tmp_path / "audit", format="html")
    expected = batch.forecast(order, audits.host(), batch.Watch())
    finished = batch.run(order, audits.host(), batch.Watch())
    for case in expected.cases:
        evidence = audits.evidence_of(finished.out / "cases" / case.case.id)
        assert case.planned is not None
        assert case.planned.units == evidence.units
        assert (
            1 <= case.planned.work.tokens / _tokens(evidence) < 3
        )  # deletions from so short a prompt reuse most of it


def _tokens(evidence: Evidence) -> int:
    return evidence.sweep.forward_tokens + (evidence.checks.forward_tokens if evidence.checks else 0)


def test_many_rows_are_not_printed(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printed, "_ROWS", 2)
    order = audits.order(_file(tmp_path), tiny_model, None, tmp_path / "audit", format="html")
    found = batch.forecast(order, audits.host(), batch.Watch())
    printed.print_forecast(found)
    out = capsys.readouterr().out
    assert "first" in out
    assert "third" not in out
    assert "… and 1 more" in out
    assert f"{sum(one.planned.work.tokens for one in found.cases if one.planned):,}" in out, "the sum is over all"


@pytest.mark.slow
@pytest.mark.model
def test_the_disk_that_real_cases_take(repository: Path, tmp_path: Path) -> None:
    """To a factor of two, as docs/scale.md says."""
    order = audits.order(
        repository / "sample_cases/lending.yaml", Path("smollm2"), None, tmp_path / "audit", format="html,pdf"
    )
    expected = batch.forecast(order, audits.host(), batch.Watch())
    finished = batch.run(order, audits.host(), batch.Watch())
    for case in expected.cases:
        folder = finished.out / "cases" / case.case.id
        taken = sum(path.stat().st_size for path in folder.iterdir())
        assert taken / 2 < case.storage < taken * 2


def _file(folder: Path) -> Path:
    (folder / "cases.yaml").write_text(audits.THREE_CASES)
    return folder / "cases.yaml"
