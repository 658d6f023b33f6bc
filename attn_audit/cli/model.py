"""``attn-audit model``: which model this is, and whether it can be audited."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from attn_audit.cli.console import stderr, stdout
from attn_audit.cli.signing import model_key
from attn_audit.evidence.measured import ModelIdentity
from attn_audit.judge.model_signature import in_words
from attn_audit.reports.text import visible


def model(
    path: Annotated[str, typer.Argument(help="A model folder, a .gguf file, or smollm2.")],
) -> None:
    """Identify a model (files, digests, signature, architecture); say whether it can be audited, or why not."""
    from attn_audit.measure.model import load, locate  # noqa: PLC0415  (torch is needed only here)

    located = locate(path, model_key())
    stderr().print(f"loading and probing {visible(located.name)} ...", markup=False)
    loaded = load(located, seed=0)
    _print(loaded.identity)
    stdout().print(
        f"supported: suppressing a token changes later logits by up to {loaded.probe.effect:.3g}, and no path around "
        f"it is left (largest leak {loaded.probe.leak:.1e}, tolerance {loaded.probe.tolerance:g})",
        markup=False,
    )


def _print(identity: ModelIdentity) -> None:
    facts = Table(show_header=False, box=None, pad_edge=False)
    for name, value in (
        ("name", identity.name),
        ("root", identity.root),
        ("architecture", identity.architecture),
        ("parameters", f"{identity.parameters:,}"),
        ("measured in", identity.dtype),
        ("quantisation", identity.quantisation or "none"),
        ("context", f"{identity.context_length} tokens" if identity.context_length else "not stated"),
        ("chat template", identity.chat_template_sha256 or "none: plain completion"),
        ("licence", identity.licence or "not stated"),
        ("signature", in_words(identity.signature)),
    ):
        facts.add_row(name, Text(visible(value), overflow="fold"))
    files = Table("sha256", "bytes", "file", box=None, pad_edge=False)
    for file in identity.files:
        files.add_row(Text(file.sha256, overflow="fold"), f"{file.size:,}", Text(visible(file.name)))
    stdout().print(facts)
    stdout().print(files)
