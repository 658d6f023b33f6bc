"""The methods that speed.py compares, one entry each in METHODS. Adding one is writing a function and its entry.

A function prepares what is not timed and returns what is: a ``Run``, which gives the scores (pieces, answer tokens) of
every piece where they are comparable, else None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from attn_audit.evidence.measured import Unit
from attn_audit.evidence.settings import NumberFormat
from attn_audit.judge.screening import promising, share_of
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.attention import Operator
from attn_audit.measure.gradient import gradient
from attn_audit.measure.model import Model
from attn_audit.measure.sweep import Reach, Runs, room, sweep

Scores = Sequence[Sequence[float]]
Run = Callable[[], Scores | None]


@dataclass(frozen=True)
class Setup:
    """``rendered`` is the prompt's text; ``ends`` where the characters of each position end in it."""

    model: Model
    base: Base
    pieces: tuple[Runs, ...]
    rendered: str
    ends: tuple[int, ...]
    max_memory: float  # GB

    def span(self, run: tuple[int, int]) -> tuple[int, int]:
        """The characters of a run of positions, with the white space before it."""
        return (self.ends[run[0] - 1] if run[0] else 0, self.ends[run[1] - 1])


@dataclass(frozen=True)
class Method:
    """``note`` says what is computed. ``prepare`` is None for what runs in an environment of its own; ``work`` is
    whether forward passes are all that it computes, so that its arithmetic can be counted from them; ``network`` is
    the model as transformers loads it, or as the package does, which may pack its weights (measure/packing.py)."""

    note: str
    prepare: Callable[[Setup], Run] | None
    work: Literal["forward", "backward too"] = "forward"
    network: Literal["plain", "ours"] = "plain"
    dtype: NumberFormat = "float32"


# -- naive: full passes, the mask written out, nothing reused -------------------------------------------------------


def naive(setup: Setup, rows: int, logits: Literal["all", "answer"]) -> Run:
    """One full pass for every ``rows`` pieces, with an explicit mask of four dimensions."""
    base, network = setup.base, setup.model.network
    n, m = len(base.prompt), len(base.answer)
    device = base.prompt.device
    predicting = torch.arange(n - 1, n + m - 1, device=device)

    def run() -> Scores:
        scores: list[list[float]] = []
        for first in range(0, len(setup.pieces), rows):
            group = setup.pieces[first : first + rows]
            found = network(
                input_ids=base.inputs.expand(len(group), -1),
                attention_mask=knockout(group, base.inputs.shape[1]).to(device),
                use_cache=False,
                logits_to_keep=0 if logits == "all" else predicting,
            ).logits
            kept = found[:, predicting] if logits == "all" else found
            scores += log_probabilities(kept, base.answer).tolist()
        return scores

    return torch.inference_mode()(run)


def knockout(pieces: Sequence[Runs], length: int) -> Tensor:
    """(pieces, 1, length, length), True where a query may see a key: causal, each piece hidden from later rows."""
    hidden = torch.zeros(len(pieces), length, dtype=torch.bool)
    for row, runs in enumerate(pieces):
        for start, stop in runs:
            hidden[row, start:stop] = True
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    return (causal & ~(hidden[:, None, :] & ~hidden[:, :, None]))[:, None]


# -- ours -----------------------------------------------------------------------------------------------------------


def ours(setup: Setup, reach: Reach) -> Run:
    """The package's sweep, knockout."""
    fitting = room(setup.model, setup.base, setup.max_memory, reach)

    def run() -> Scores:
        return sweep(setup.model, setup.base, setup.pieces, fitting, silent, Operator(), reach).scores

    return run


def screened(setup: Setup) -> Run:
    """The package's screening: the gradient of all pieces, then the promising share of them suppressed."""
    whole = range(len(setup.pieces))
    units = [Unit(id=str(index), kind="word", spans=(), runs=setup.pieces[index]) for index in whole]
    fitting = room(setup.model, setup.base, setup.max_memory)

    def run() -> None:
        found = gradient(setup.model, [setup.base], setup.pieces, setup.max_memory)
        if found is None:
            raise SystemExit("the gradient does not fit the memory")
        order = promising(units, found)[: share_of(units)]
        sweep(setup.model, setup.base, [setup.pieces[index] for index in order], fitting, silent)

    return run


def silent(done: int, total: int) -> None:
    """The table is all that is shown."""


# -- other packages -------------------------------------------------------------------------------------------------


def captum(setup: Setup, **options: Any) -> Run:
    """FeatureAblation over the same units. ``options`` go to ``LLMAttribution.attribute``."""
    return _unread(captum_attribution(setup, **options))


def captum_attribution(setup: Setup, **options: Any) -> Callable[[], Any]:
    """The same, with what ``attribute`` returns: a value for each run of each unit, in the order of the text."""
    from captum.attr import FeatureAblation, LLMAttribution, TextTemplateInput  # noqa: PLC0415

    network, tokenizer = setup.model.network, setup.model.tokenizer
    numbered = sorted((*setup.span(run), index) for index, runs in enumerate(setup.pieces) for run in runs)

    def text_with(*values: str) -> str:
        text, at = "", 0
        for (start, end, _), value in zip(numbered, values, strict=True):
            text += setup.rendered[at:start] + value
            at = end
        return text + setup.rendered[at:]

    values = [setup.rendered[start:end] for start, end, _ in numbered]
    given = TextTemplateInput(text_with, values, mask=[index for _, _, index in numbered])
    if tokenizer.encode(given.to_model_input()) != setup.base.prompt.tolist():
        raise SystemExit("Captum would tokenise the prompt differently")
    method = LLMAttribution(FeatureAblation(network), tokenizer)

    return lambda: method.attribute(given, target=setup.base.answer, **options)


def inseq(setup: Setup, name: str, **options: Any) -> Run:
    """A method of Inseq by its name. ``options`` go to ``attribute``."""
    return _unread(inseq_attribution(setup, name, **options))


def inseq_attribution(setup: Setup, name: str, **options: Any) -> Callable[[], Any]:
    """The same, with what ``attribute`` returns."""
    import inseq as package  # noqa: PLC0415

    tokenizer = setup.model.tokenizer
    model = package.load_model(setup.model.network, name, tokenizer=tokenizer)
    answered = setup.rendered + tokenizer.decode(setup.base.answer)
    wanted = setup.base.prompt.tolist() + setup.base.answer.tolist()
    if tokenizer.encode(answered) != wanted:
        raise SystemExit("Inseq would tokenise the prompt and the answer differently")

    silently = {"show_progress": False, "pretty_progress": False}
    return lambda: model.attribute(setup.rendered, answered, **silently, **options)


def _unread(attribution: Callable[[], Any]) -> Run:
    """For its time only."""

    def run() -> None:
        attribution()

    return run


_NAIVE = "full passes, explicit mask, no cache, logits of all positions"
_CAPTUM = "Captum FeatureAblation, TextTemplateInput: the unit is deleted from the text, which is tokenised again"
_OCCLUSION = "Inseq occlusion: the embedding of each token (template too, no words) becomes that of <unk>"

METHODS: dict[str, Method] = {
    **{f"naive-{rows}": Method(_NAIVE, partial(naive, rows=rows, logits="all")) for rows in (1, 4, 8, 16)},
    **{
        f"naive-answer-{rows}": Method(
            "full passes, explicit mask, no cache, logits of the answer only",
            partial(naive, rows=rows, logits="answer"),
        )
        for rows in (1, 8)
    },
    # Beside transformers 5 its cache is fed the whole prompt again: of several answer tokens, only the first is right.
    "captum": Method(f"{_CAPTUM}; default settings, one full pass an answer token", captum),
    "captum-uncached": Method(f"{_CAPTUM}; use_cached_outputs=False", partial(captum, use_cached_outputs=False)),
    "captum-sequence": Method(f"{_CAPTUM}; forward_in_tokens=False", partial(captum, forward_in_tokens=False)),
    "inseq-occlusion": Method(f"{_OCCLUSION}; default settings", partial(inseq, name="occlusion")),
    "inseq-occlusion-8": Method(
        f"{_OCCLUSION}; perturbations_per_eval=8", partial(inseq, name="occlusion", perturbations_per_eval=8)
    ),
    "inseq-saliency": Method(
        "Inseq saliency: one backward pass an answer token", partial(inseq, name="saliency"), "backward too"
    ),
    "attnlrp": Method("AttnLRP (lxt): one backward pass an answer token; units are tokens", None, "backward too"),
    "total": Method("ours: knockout, total effect", partial(ours, reach="total"), network="ours"),
    "direct": Method("ours: knockout, direct effect", partial(ours, reach="direct"), network="ours"),
    "screened": Method(
        "ours: knockout, total effect, of the promising pieces only", screened, "backward too", network="ours"
    ),
    "bfloat16": Method(
        "ours: knockout, total effect, in bfloat16", partial(ours, reach="total"), network="ours", dtype="bfloat16"
    ),
}
