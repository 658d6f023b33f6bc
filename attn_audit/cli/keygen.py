"""``attn-audit keygen``: a new Ed25519 key, and the files by which others will trust it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cli.console import advise, data
from attn_audit.cli.signing import passphrase
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.keys import check_principal, fingerprint, generate
from attn_audit.evidence.trust import read_public_key
from attn_audit.reports.text import visible


def keygen(
    path: Annotated[
        Path,
        typer.Argument(
            help="The private key to write; two public files are written beside it; nothing is overwritten."
        ),
    ],
    identity: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Who signs with it, like audit@bank.example. A name that begins with TEST-ONLY marks all audits "
            "signed with it.",
        ),
    ],
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Store the key unencrypted; whoever reads it can sign.")
    ] = False,
    passphrase_fd: Annotated[
        int | None, typer.Option(metavar="N", help="Read the passphrase from this file descriptor.")
    ] = None,
) -> None:
    """Make an Ed25519 key: PATH (private), PATH.pub.pem and PATH.allowed_signers (for whoever verifies)."""
    check_principal(identity)
    phrase = None if no_passphrase else passphrase(f"New passphrase of {path}: ", passphrase_fd, os.environ)
    if phrase == b"":
        raise UsageError("the passphrase is empty; give one, or say --no-passphrase")
    for written in generate(path, identity, phrase):
        data(visible(str(written)))
    [public] = read_public_key(path.with_name(path.name + ".pub.pem"))
    advise(f"key id {public.key_id}, fingerprint {fingerprint(public.public)}")
    advise("tell them to those who verify, by another way than the reports")
