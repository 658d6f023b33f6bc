"""A long prompt under a limit of seconds: is the one sentence that matters on top, and is the limit kept?

SQuAD paragraphs are joined to about 2,000 tokens; one sentence that answers the question is put at three depths. The
case runs with ``units auto`` and ``max_seconds``, as ``attn-audit run`` would run it.

    python benchmarks/needle.py --data squad_sample.json
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from squad import case_of, items

from attn_audit.audit import Terms, audit_case
from attn_audit.evidence.host import Host
from attn_audit.evidence.measured import Evidence, Tool
from attn_audit.evidence.records import BatchInfo, Content
from attn_audit.evidence.settings import Settings
from attn_audit.judge.relevance import ranking
from attn_audit.measure.model import Model, load, locate, set_threads
from attn_audit.reports.limits import limits_version
from attn_audit.reports.templates import template_digest

NEEDLE = "The code of the blue locker in the station is 7143."
ASKED = "\n\nQuestion: What is the code of the blue locker in the station?\nAnswer with the number only."
ANSWER = "7143"
DEPTHS = (0.1, 0.5, 0.9)


def haystack(model: Model, data: Path, tokens: int, depth: float) -> str:
    """Paragraphs, each once, of about ``tokens`` tokens together, with the needle after a share ``depth`` of them."""
    paragraphs: list[str] = []
    count = 0
    for text in dict.fromkeys(item.context for item in items(data)):
        count += len(model.tokenizer(text)["input_ids"])
        if count > tokens:
            break
        paragraphs.append(text)
    at = round(depth * len(paragraphs))
    before = paragraphs[at - 1 : at]
    return "\n\n".join([*paragraphs[: at - 1], *(f"{text} {NEEDLE}" for text in before), *paragraphs[at:]])


def audit(model: Model, text: str, settings: Settings, threads: int) -> tuple[Content, Evidence]:
    """One case, unsigned and unwritten."""
    host = Host(lambda: datetime.now(UTC), time.monotonic, bytes, threads, ())
    terms = Terms(Tool(version="0"), "0" * 64, None, settings, (), BatchInfo(), template_digest(), limits_version())
    case = case_of(text + ASKED).model_copy(update={"answer": ANSWER})
    return audit_case(model, case, terms, "0" * 64, host, lambda *_: None)


def main(
    data: Annotated[Path, typer.Option(help="SQuAD sample: a JSON list with context, question, answer, answer_span.")],
    model: Annotated[str, typer.Option(help="A model folder, a .gguf file, or smollm2.")] = "smollm2",
    tokens: Annotated[int, typer.Option(help="Length of the paragraphs together.")] = 1950,
    seconds: Annotated[float, typer.Option("--max-seconds", help="The limit for a case.")] = 120.0,
    threads: Annotated[int, typer.Option(help="Processor threads.")] = 2,
) -> None:
    """Rank of the needle, and the time that a case took."""
    set_threads(threads)
    loaded = load(locate(model), seed=0)
    table = Table("depth", "tokens", "units", "measured", "rank of the needle", "its nats", "seconds", box=None)
    for depth in DEPTHS:
        began = time.monotonic()
        content, evidence = audit(
            loaded, haystack(loaded, data, tokens, depth), Settings(units="auto", max_seconds=seconds), threads
        )
        took = time.monotonic() - began
        text = content.case.messages[0].content
        needle = next(
            index
            for index, unit in enumerate(evidence.units)
            if any(span.start <= text.index(NEEDLE) < span.end for span in unit.spans)
        )
        order, value = ranking(evidence.relevance), evidence.relevance[needle]
        table.add_row(
            f"{depth:.0%}",
            str(len(content.prompt.ids)),
            f"{len(evidence.units)} of kind {evidence.method.units}, {evidence.method.effort}",
            str(len(order)),
            "not measured" if value is None else str(1 + order.index(needle)),
            "" if value is None else f"{value:+.2f}",
            f"{took:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
