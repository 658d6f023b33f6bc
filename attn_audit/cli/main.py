"""The program ``attn-audit``: its commands, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Annotated

import typer

from attn_audit import __version__
from attn_audit.cli.console import complain
from attn_audit.cli.diff import diff
from attn_audit.cli.extract import extract
from attn_audit.cli.keygen import keygen
from attn_audit.cli.model import model
from attn_audit.cli.redact import redact
from attn_audit.cli.replay import replay
from attn_audit.cli.run import run
from attn_audit.cli.schema import schema
from attn_audit.cli.show import show
from attn_audit.cli.verify import verify
from attn_audit.evidence.errors import AuditError

INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell says of a program that SIGPIPE ended
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_MODEL_LIBRARIES = frozenset({"torch", "transformers", "gguf", "accelerate"})
_INTERRUPTION = "interrupted; a run goes on with --out FOLDER --resume, redact with the same command"

app = typer.Typer(
    name="attn-audit",
    help="Evidence of what drove a language model's answer: measured, checked and signed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (run, verify, show, diff, replay, extract, redact, keygen, model, schema):
    app.command()(command)
_COMMANDS = frozenset(command.callback.__name__ for command in app.registered_commands if command.callback)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"attn-audit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Evidence of what drove a language model's answer: measured, checked and signed."""


def main() -> None:
    """Run the command line and end the process with the exit code of README.md."""
    _replace_closed_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # typer and rich make SystemExit of a broken pipe
        code = BROKEN_PIPE
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        with contextlib.suppress(OSError):  # it may be stderr that cannot be written
            complain(f"{error.filename or 'the output'} cannot be written: {error.strerror}")
        code = AuditError.exit_code
    _drop_unwritable()
    sys.exit(code)


def _run() -> int:
    """The exit code, each error of the user having become a sentence."""
    try:
        code = int(app(standalone_mode=False) or 0)
    except AuditError as error:
        complain(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name not in _MODEL_LIBRARIES:
            raise
        complain(f"{error.name} is not installed, so no model can be measured here; verify and show work without it")
        return AuditError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except typer.TyperException as error:
        complain(f"{error.format_message()} ({_command(error)} --help lists what can be typed)")
        return AuditError.exit_code
    if code == INTERRUPTED:  # typer, too, makes an exit code of Ctrl-C, without a word
        complain(_INTERRUPTION)
    return code


def _command(error: typer.TyperException) -> str:
    """The command that was mistyped, as one would type it."""
    name = getattr(getattr(error, "ctx", None), "info_name", None)
    return f"attn-audit {name}" if name in _COMMANDS else "attn-audit"


def _replace_closed_streams() -> None:
    """What the caller closed (``>&-``) leads nowhere. Opened in this order each gets its own number back, under which
    otherwise the next file of the audit would be opened and printed into."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _drop_unwritable() -> None:
    """Drop what the streams hold and cannot write, so that Python does not fail on it at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
