"""``attn-audit extract``: one case with plan and seal, to be handed over alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cli.console import advise, data
from attn_audit.extract import extract as hand_over


def extract(
    out: Annotated[Path, typer.Argument(help="The audit folder.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write; it must not exist.")],
    case: Annotated[str, typer.Option(metavar="ID", help="The case to hand over.")],
) -> None:
    """Copy one case with plan and seal, without the texts of the others; verify takes it like an audit."""
    hand_over(out, case, target)
    data(str(target))
    advise("plan and seal name the other cases by their ids and salted digests")
