"""``attn-audit redact``: withhold the content of a case, with a signed statement of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cli.console import advise, data
from attn_audit.cli.signing import required_key
from attn_audit.evidence.errors import UsageError
from attn_audit.host import this_host
from attn_audit.redact import redact as withhold

_LONGEST_REASON = 500


def redact(
    out: Annotated[Path, typer.Argument(help="The audit folder.")],
    case: Annotated[str, typer.Option(metavar="ID", help="The case whose content goes.")],
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Private key to sign the statement with.")] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Why, in one line; it is signed and printed, so let it hold nothing to hide."
        ),
    ] = None,
    passphrase_fd: Annotated[
        int | None, typer.Option(metavar="N", help="Read the key's passphrase from this file descriptor.")
    ] = None,
) -> None:
    """Remove what was said in a case from an audit; what was measured stays and verifies, as "content withheld" (3)."""
    if reason is not None and (not reason.isprintable() or not 0 < len(reason) <= _LONGEST_REASON):
        raise UsageError(f"the reason is refused: one line of at most {_LONGEST_REASON} printable characters")
    said = withhold(out, case, reason, required_key(key, passphrase_fd), this_host(None))
    data(str(out))
    advise(f"removed: {', '.join(said.withheld)} of case {case}; copies elsewhere are not touched")
