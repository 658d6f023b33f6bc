"""Where things are printed: data to stdout, everything else to stderr; colour and progress only on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from attn_audit.reports.text import visible


def stdout() -> Console:
    """For data."""
    return Console(highlight=False)


def stderr() -> Console:
    """For everything else."""
    return Console(stderr=True, highlight=False)


def complain(sentence: str) -> None:
    """One sentence of error; control characters in it are shown, not obeyed."""
    stderr().print(Text.assemble(("error: ", "bold red"), visible(sentence)), soft_wrap=True)


def advise(sentence: str) -> None:
    """One sentence the user should know, on stderr."""
    stderr().print(Text.assemble(("note: ", "bold"), visible(sentence)), soft_wrap=True)
