"""Where things are printed: data to stdout, everything else to stderr; colour and progress only on a terminal."""

from __future__ import annotations

import sys
from typing import IO, Any, cast

import typer
from rich.console import Console
from rich.text import Text

from attn_audit.reports.text import visible, without_commands


class _Log:
    """A stream that is no terminal: perhaps the log of a CI job, which obeys what looks like a command (attack 41)."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(without_commands(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def stdout() -> Console:
    """For what people read."""
    return _console(sys.stdout)


def stderr() -> Console:
    """For everything else."""
    return _console(sys.stderr)


def data(line: str) -> None:
    """One line for other programs on stdout, as it is: a path, a digest, or JSON that is made for logs."""
    typer.echo(line)


def complain(sentence: str) -> None:
    """One sentence of error; control characters in it are shown, not obeyed."""
    stderr().print(Text.assemble(("error: ", "bold red"), visible(sentence)), soft_wrap=True)


def advise(sentence: str) -> None:
    """One sentence the user should know, on stderr."""
    stderr().print(Text.assemble(("note: ", "bold"), visible(sentence)), soft_wrap=True)


def _console(stream: IO[str]) -> Console:
    return Console(file=stream if stream.isatty() else cast("IO[str]", _Log(stream)), highlight=False, emoji=False)
