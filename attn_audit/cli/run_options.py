"""The options of ``attn-audit run``, with what its help says of them; docs/commands.md is written from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from attn_audit.cli.executor import EXECUTORS
from attn_audit.cli.options import Flags
from attn_audit.evidence.settings import WITH_FACTOR, Settings, choices
from attn_audit.evidence.statements import ExportName
from attn_audit.reports.exports import EXPORTS


def _names(setting: str) -> str:
    """The names that a setting allows: ``float32 (default), bfloat16 or float16``."""
    default = Settings.model_fields[setting].default
    return _listed((f"{name} (default)" if name == default else name for name in choices(setting)), "or")


def _listed(names: Iterable[str], word: str) -> str:
    *others, last = names
    return f"{', '.join(others)} {word} {last}"


_SETTINGS = Flags(
    units=typer.Option(
        metavar="KIND",
        help="Cut what the case does not name into pieces: token, word (default), sentence or paragraph; auto "
        "takes the finest that fit --max-seconds.",
    ),
    operator=typer.Option(metavar="NAME", help=f"How attention is suppressed: {_names('operator')}."),
    factor=typer.Option(
        metavar="F",
        help=f"How strongly {_listed(WITH_FACTOR, 'and')} do it: 1 changes nothing, near 0 the most; no default.",
    ),
    effect=typer.Option(
        metavar="NAME",
        help="On all later positions, total (default); on the answer's only, direct; or both, side by side.",
    ),
    layers=typer.Option(metavar="A:B", help="Only in layers A up to before B, counted from 0; default: all."),
    effort=typer.Option(
        metavar="NAME",
        help="Measure every piece, full (default), or only the promising ones after a cheap look, screened.",
    ),
    checks=typer.Option(
        metavar="NAME",
        help="What the map is held against: none, basic (default: deleting its highest pieces, beside random "
        "ones), or full (also keeping only those, the reliance on the input, pieces together, other ways of "
        "hiding, other kinds of maps).",
    ),
    max_seconds=typer.Option(
        metavar="S",
        help="For one case; pieces are screened where measuring all would take longer, and what was not measured "
        "is said; default: no limit.",
    ),
    max_memory=typer.Option(
        metavar="GB", help="For the weights and one pass; decides how many pieces share a pass; default: 8."
    ),
    dtype=typer.Option(
        metavar="NAME",
        help=f"Number format of weights and sums: {_names('dtype')}; with the short ones small values drown in "
        "rounding.",
    ),
    device=typer.Option(
        metavar="NAME",
        help="auto (default: a GPU where torch finds one, all of them for weights that need it), cpu, cuda or cuda:N.",
    ),
    threads=typer.Option(metavar="N", help="Processor threads; default: all."),
    seed=typer.Option(metavar="N", help="Of the random tokens of the probe; default: 0."),
    format=typer.Option(metavar="LIST", help="Reports to write: html,pdf (default), html or pdf."),
    paper=typer.Option(metavar="SIZE", help=f"What the PDF is made for: {_names('paper')}."),
)
_EXPORTS = Flags({name: typer.Option(metavar="FILE", help=export.help) for name, export in EXPORTS.items()})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is typed, in the order of the help."""

    cases: Annotated[
        str | None, typer.Argument(help="A case file (.yaml, .yml, .jsonl), or - for one question on stdin.")
    ] = None
    prompt: Annotated[str | None, typer.Option(metavar="TEXT", help="One question instead of a case file.")] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="A model folder, a .gguf file, or smollm2; may stand in the case file instead."
        ),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Private key to sign with; FILE.allowed_signers beside it says as whom. Without it, and without a key "
            "in the environment, the audit is unsigned and says so.",
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder to write, which must not exist; default: audit-TIME-DIGEST, with the time in UTC and 8 "
            "characters of the plan's digest.",
        ),
    ] = None
    settings: Annotated[Mapping[str, str | None], _SETTINGS]
    exports: Annotated[Mapping[ExportName, str | None], _EXPORTS]
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="End with 10 when something of the list is found: policy, unsupported (a faithfulness verdict other "
            "than supported), incomplete, warning:CODE; separated by commas.",
        ),
    ] = None
    jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl",
            help="Print a line of JSON for each case as it ends, and one for the batch, instead of the folder; no text "
            "of a case.",
        ),
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print what the cases will take (passes, forward tokens, hours, memory, disk) and write nothing.",
        ),
    ] = False
    plan_only: Annotated[
        bool,
        typer.Option(
            "--plan-only",
            help="Sign the plan, print its digest and stop: lodge the digest with somebody before the run.",
        ),
    ] = False
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Run what that plan, the one that --plan-only wrote, says, in its folder; anything that was planned "
            "otherwise is refused.",
        ),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the folder of --out where a run was interrupted: finished cases are checked and kept.",
        ),
    ] = False
    previous_seal: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The seal of the audit before this one, whose digest this seal names."),
    ] = None
    executor: Annotated[str | None, typer.Option(metavar="NAME", help=f"Where cases are measured: {EXECUTORS}.")] = None
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="A", help="Of the Ray cluster; default: the one that runs here, else a new one on this machine."
        ),
    ] = None
    passphrase_fd: Annotated[
        int | None, typer.Option(metavar="N", help="Read the key's passphrase from this file descriptor.")
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and the folder.")] = False
