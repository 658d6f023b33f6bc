"""The program ``attn-audit``: its commands, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from attn_audit import __version__
from attn_audit.cli.console import complain
from attn_audit.cli.keygen import keygen
from attn_audit.cli.model import model
from attn_audit.cli.run import run
from attn_audit.cli.schema import schema
from attn_audit.cli.show import show
from attn_audit.cli.verify import verify
from attn_audit.evidence.errors import AuditError

INTERRUPTED = 130

app = typer.Typer(
    name="attn-audit",
    help="Evidence of what drove a language model's answer: measured, checked and signed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (run, verify, show, keygen, model, schema):
    app.command()(command)


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
    try:
        code = app(standalone_mode=False)
    except AuditError as error:
        complain(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted; finished cases are kept, but the batch has no seal")
        code = INTERRUPTED
    except typer.TyperException as error:
        complain(f"{error.format_message()} (attn-audit --help lists what can be typed)")
        code = AuditError.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code)
