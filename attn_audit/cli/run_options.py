"""The options of ``attn-audit run``, with what its help says of them; docs/commands.md is written from it."""

from pathlib import Path
from typing import Annotated

import typer

Cases = Annotated[str | None, typer.Argument(help="A case file (.yaml, .yml, .jsonl), or - for one question on stdin.")]
Prompt = Annotated[str | None, typer.Option(metavar="TEXT", help="One question instead of a case file.")]
Model = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="A model folder, a .gguf file, or smollm2; may stand in the case file instead."),
]
Key = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Private key to sign with; FILE.allowed_signers beside it says as whom. Without it, and without a key "
        "in the environment, the audit is unsigned and says so.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The folder to write, which must not exist; default: audit-TIME-DIGEST, with the time in UTC and 8 "
        "characters of the plan's digest.",
    ),
]
Units = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Cut what the case does not name into pieces: token, word (default), sentence or paragraph; auto "
        "takes the finest that fit --max-seconds.",
    ),
]
Operator = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="How attention is suppressed: knockout (default), soft or shifted."),
]
Factor = Annotated[
    str | None,
    typer.Option(
        metavar="F", help="How strongly soft and shifted do it: 1 changes nothing, near 0 the most; no default."
    ),
]
Effect = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="On all later positions, total (default); on the answer's only, direct; or both, side by side.",
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(metavar="A:B", help="Only in layers A up to before B, counted from 0; default: all."),
]
Effort = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Measure every piece, full (default), or only the promising ones after a cheap look, screened.",
    ),
]
Checks = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What the map is held against: none, basic (default: deleting its highest pieces, beside random "
        "ones), or full (also keeping only those, the reliance on the input, pieces together, other ways of "
        "hiding, other kinds of maps).",
    ),
]
MaxSeconds = Annotated[
    str | None,
    typer.Option(
        metavar="S",
        help="For one case; pieces are screened where measuring all would take longer, and what was not measured "
        "is said; default: no limit.",
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(metavar="GB", help="For the weights and one pass; decides how many pieces share a pass; default: 8."),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Number format of weights and sums: float32 (default), bfloat16 or float16; with the short ones small "
        "values drown in rounding.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="auto (default: a GPU where torch finds one, all of them for weights that need it), cpu, cuda or cuda:N.",
    ),
]
Threads = Annotated[str | None, typer.Option(metavar="N", help="Processor threads; default: all.")]
Seed = Annotated[str | None, typer.Option(metavar="N", help="Of the random tokens of the probe; default: 0.")]
Format = Annotated[str | None, typer.Option(metavar="LIST", help="Reports to write: html,pdf (default), html or pdf.")]
Paper = Annotated[str | None, typer.Option(metavar="SIZE", help="What the PDF is made for: a4 (default) or letter.")]
Junit = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Also write the results as JUnit XML, for CI systems. This and the next three stand in the audit "
        "folder, too, where verify compares them.",
    ),
]
Sarif = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Also as SARIF 2.1.0, for code scanning; findings point at the line of the case."
    ),
]
Csv = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Also as CSV, a row for each piece; beside it FILE.batch.csv with the figures over all cases.",
    ),
]
Summary = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Also as Markdown; auto appends it to the summary of a GitHub Actions job."),
]
FailOn = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="End with 10 when something of the list is found: policy, unsupported (a faithfulness verdict other "
        "than supported), incomplete, warning:CODE; separated by commas.",
    ),
]
Jsonl = Annotated[
    bool,
    typer.Option(
        "--jsonl",
        help="Print a line of JSON for each case as it ends, and one for the batch, instead of the folder; no text "
        "of a case.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print what the cases will take (passes, forward tokens, hours, memory, disk) and write nothing.",
    ),
]
PlanOnly = Annotated[
    bool,
    typer.Option(
        "--plan-only",
        help="Sign the plan, print its digest and stop: lodge the digest with somebody before the run.",
    ),
]
Plan = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Run what that plan, the one that --plan-only wrote, says, in its folder; anything that was planned "
        "otherwise is refused.",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the folder of --out where a run was interrupted: finished cases are checked and kept.",
    ),
]
PreviousSeal = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The seal of the audit before this one, whose digest this seal names."),
]
Executor = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where cases are measured: local (default), in this process; or ray, a cluster."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="A", help="Of the Ray cluster; default: the one that runs here, else a new one on this machine."
    ),
]
PassphraseFd = Annotated[
    int | None, typer.Option(metavar="N", help="Read the key's passphrase from this file descriptor.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and the folder.")]
