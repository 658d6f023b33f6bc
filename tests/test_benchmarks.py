"""Benchmarks run: that for GPUs where there is none, on a small network on the CPU; that of faithfulness on one item of
each data set, with the methods that need no other package."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SQUAD = {
    "context": "The ferry Aurora left the harbour of Bergen on Monday with forty passengers on board. Its captain was "
    "born in Lisbon and learned his trade on small fishing boats. In the evening a storm came up, and the ferry waited "
    "behind an island until the wind had dropped.",
    "question": "Where was the captain of the ferry born?",
    "answer": "Lisbon",
}
BLIMP = {"one_prefix_prefix": "The girls in the garden", "one_prefix_word_good": "are", "one_prefix_word_bad": "is"}
IOI = {
    "one_prefix_prefix": "Then, Anna and Paul went to the market. Paul gave a basket to",
    "one_prefix_word_good": "Anna",
    "one_prefix_word_bad": "Paul",
}
LAMBADA = "The old clock on the wall had stopped. She climbed the ladder, opened the glass and wound up the clock"


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_the_cpu(repository: Path) -> None:
    command = [sys.executable, str(repository / "benchmarks/gpu.py"), "--device", "cpu", "--shape", "tiny"]
    options = ["--prompt-tokens", "48", "--answer-tokens", "3", "--sampled", "8"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    for method in ("ours, total", "ours, direct", "naive, 1 at a time", "naive, 32 at a time"):
        assert method in done.stdout
    differences = [float(found) for found in re.findall(r"at most (\S+) nats", done.stdout)]
    assert differences[0] == 0.0, "float32 on the CPU is what it is compared with"
    assert 1e-4 < differences[1] < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case_id", "packages", "refusal"),
    [
        ("driver-car", "lime,captum", "lime is none of inseq, captum, flashtrace"),
        ("driver-car", "flashtrace", "flashtrace needs flashtrace; the top of this file says how to install it"),
        ("nobody", "", "lending.yaml has no case nobody, but nurse-car, driver-car, cook-roof, driver-8010"),
    ],
)
def test_the_pages_of_other_packages_are_refused_with_the_reason(
    repository: Path, tmp_path: Path, case_id: str, packages: str, refusal: str
) -> None:
    if packages == "flashtrace" and importlib.util.find_spec("flashtrace") is not None:
        pytest.skip("it is installed here")
    script, cases = repository / "benchmarks/other_reports.py", repository / "sample_cases/lending.yaml"
    command = [sys.executable, str(script), str(cases), case_id, "--out", str(tmp_path / "out")]
    if packages:
        command += ["--packages", packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2
    assert refusal in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def one_item_each(folder: Path) -> Path:
    """Data sets of one item, in the formats of the published ones."""
    start = SQUAD["context"].index(SQUAD["answer"])
    squad = [SQUAD | {"answer_span": [start, start + len(SQUAD["answer"])]}]
    (folder / "squad_sample.json").write_text(json.dumps(squad), encoding="utf-8")
    (folder / "blimp").mkdir()
    for file, row in (("blimp/agreement.csv", BLIMP | {"target": "girls"}), ("ioi.csv", IOI | {"target": "Anna"})):
        with (folder / file).open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, ["", *row])
            writer.writeheader()
            writer.writerow({"": 0, **row})
    spans = [found.span() for found in re.finditer("clock(?= on)|wound", LAMBADA)]
    passage = {"lambadaIndex": 1, "text": LAMBADA, "rationale": spans}
    (folder / "lambada_rationales.jsonl").write_text(json.dumps(passage) + "\n", encoding="utf-8")
    return folder


def ranks(item: dict[str, Any]) -> list[int]:
    """Of the labelled units, by the first map of our default method; no two of its values are equal here."""
    (values,) = item["about"]["maps"]["total"]
    order = sorted(range(len(values)), key=lambda unit: -values[unit])
    return [rank for rank, unit in enumerate(order, start=1) if item["about"]["labels"][unit]]


@pytest.mark.model
@pytest.mark.slow
def test_the_faithfulness_benchmark_runs_on_one_item_of_each_set(repository: Path, tmp_path: Path) -> None:
    """The main figure of each set is computed again from the map that is recorded."""
    methods = ["random", "attention", "gradient-input", "deletion", "total", "direct"]
    command = [sys.executable, str(repository / "benchmarks/faithfulness.py"), "--data", str(one_item_each(tmp_path))]
    options = ["--methods", ",".join([*methods, "attnlrp"]), "--shuffles", "2", "--json", str(tmp_path / "found.json")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "AttnLRP left out: no --lxt-python" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["sets"]
    assert list(found) == ["squad", "blimp", "ioi", "lambada"]
    for name, (item,) in found.items():
        figures, contrasted = item["figures"], name in {"blimp", "ioi"}
        assert list(figures) == methods
        above = ranks(item)
        precisions = [count / rank for count, rank in enumerate(above, start=1)]
        figure = "reciprocal_rank" if contrasted else "average_precision"
        expected = 1 / above[0] if contrasted else sum(precisions) / len(precisions)
        assert figures["total"][figure] == pytest.approx(expected)
        assert figures["attention"]["passes"] == pytest.approx(1)
        assert figures["gradient-input"]["passes"] == pytest.approx(6 if contrasted else 3), "a pass back counts two"
        assert figures["direct"]["passes"] < figures["total"]["passes"]
    (squad,) = found["squad"]
    assert squad["figures"]["total"]["top1"] == 1
    assert squad["figures"]["total"]["comprehensiveness"] > squad["figures"]["random"]["comprehensiveness"]
    assert squad["verdicts"]["true"]["verdict"] == "supported"
    assert len(squad["verdicts"]["shuffled"]) == 2
