"""How long does rendering take, and how large are the pages?

Records without a model (tests/make_records.py); seconds of the processor, in one process, after one untimed page.

    python benchmarks/reports.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Column, Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import make_records as make
from attn_audit.reports import html, pdf


def main(reports: int = 100) -> None:
    """Print a table of what was rendered."""
    table = Table("what", Column("seconds", justify="right"), Column("KB", justify="right"))
    short, middle, long = make.rich_case(), make.long_case(200, 60), make.long_case(2000, 300)
    html.report(*short)
    jobs: tuple[tuple[str, Callable[[], bytes]], ...] = (
        (f"{reports} HTML reports, short case", lambda: [html.report(*short) for _ in range(reports)][-1]),
        ("HTML, 200 words and 60 answer tokens", lambda: html.report(*middle)),
        ("HTML, 2,000 words and 300 answer tokens", lambda: html.report(*long)),
        ("first PDF, short case", lambda: pdf.report(*short)),
        ("second PDF, short case", lambda: pdf.report(*short)),
        ("PDF, 200 words and 60 answer tokens", lambda: pdf.report(*middle)),
    )
    for name, job in jobs:
        begun = time.process_time()
        page = job()
        table.add_row(name, f"{time.process_time() - begun:.2f}", f"{len(page) / 1000:.0f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
