"""Writes docs/models.md: every family of the tests, measured now. Type: .venv/bin/python tools/models_page.py"""

# ruff: noqa: E402, T201  (the tables stand in tests/, which is on no path; a tool may print)

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import torch
import transformers

import families
import reference
import tiny

PAGE = ROOT / "docs" / "models.md"
WAYS = {
    "one mask": "one",
    "a mask for each kind of layer": "per kind",
    "added in each block": "per block",
}
HEAD = """\
# Models

This page is written by `tools/models_page.py` from the tables that `tests/test_families.py` uses.

Any causal language model whose layers attend, and which the library `transformers` implements itself, can be audited:
the attention is suppressed at the mask, which all of them build in one place, and the model's own attention code stays
untouched ([the method](method.md)). Whether that holds for the model at hand is not believed: it is proved on it each
time it is loaded (`attn-audit model PATH` does only that), on random tokens longer than any of its windows:

1. no token sees a later one;
2. suppressing the attention to a token changes what follows;
3. with the attention to a token suppressed, no other token in its place changes what follows: no path is left;
4. suppressing nothing changes nothing;
5. reusing the keys and values of the beginning gives what a full pass gives.

A model that fails one of these is refused, with the reason, before anything is measured.

## Held to the reference

For each family below a small model with random weights is written to disk, loaded as any model is, and swept: single
tokens, spans, several spans together, the whole prompt; one and five units in a pass; windows and chunks of {window}
tokens in a prompt of {prompt}. Each score of each answer token is compared with a second implementation straight from
the formula, which uses full passes, the library's plain attention and explicit masks, and shares no code with the
package. At most {bound:g} nats is allowed. The last column is the largest difference found with torch {torch} and
transformers {transformers}, in float32, on a CPU.

*Attention*: which of the library's implementations is used (`eager` where `sdpa` cannot compute what the model needs).
*Mask*: how the reference gives the model its masks: one for all layers, one for each kind of layer, or added in each
block, for models that read positions off the mask and accept no explicit one.
*Refused*: which of the other choices (`--operator soft` and `shifted`, `--layers`) the model is refused for: its own
code turns an additive mask into all or nothing, changes scores in a way that `shifted` would lose, does not go through
the library's interface, or builds another mask from the one it is given. All that is not listed is held to the
reference, too, for the total and the direct effect and for several bands of layers.

| family | class | special about it | attention | mask | difference, nats | refused |
|---|---|---|---|---|---|---|
"""
REFUSED = """
Other families that build their masks in the same place will usually pass the probe. They are measured too, but they
have not been held to the reference.

## Refused

| kind | class | layers | what attn-audit prints |
|---|---|---|---|
"""
TAIL = """
Also refused: folders that ask to run code of their own, weights stored only as pickle, weights that are incomplete, and
tokenizers that cannot map tokens to characters.
"""


def page() -> str:
    """The page, in Markdown; takes some ten seconds."""
    with tempfile.TemporaryDirectory() as folder, families.one_thread():
        accepted = [_accepted(Path(folder), name) for name in tiny.FAMILIES]
        refused = [_refused(Path(folder), name) for name in (*tiny.RECURRENT, *tiny.UNSUITED)]
    head = HEAD.format(
        window=tiny.WINDOW,
        prompt=len(families.PROMPT),
        bound=families.BOUND,
        torch=torch.__version__.split("+")[0],
        transformers=transformers.__version__,
    )
    return head + "".join(accepted) + REFUSED + "".join(refused) + TAIL


def _accepted(folder: Path, name: str) -> str:
    family, model = tiny.FAMILIES[name], families.loaded(folder, name)
    used = model.network.config.get_text_config()._attn_implementation
    way = WAYS[reference.route(model.network)]
    difference = families.largest_difference(model)
    figures = (used, way, f"{difference:.0e}", _not_with(name))
    return _row((family.title, f"`{model.identity.architecture}`", family.attention, *figures))


def _not_with(name: str) -> str:
    lists = {"soft": families.NO_SOFT, "shifted": families.NO_SHIFTED, "layers": families.NO_BANDS}
    return ", ".join(choice for choice, refused in lists.items() if name in refused) or "-"


def _refused(folder: Path, name: str) -> str:
    family = {**tiny.RECURRENT, **tiny.UNSUITED}[name]
    class_name = type(tiny.network(name)).__name__
    return _row((family.title, f"`{class_name}`", family.attention, families.refusal(folder, name)))


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
