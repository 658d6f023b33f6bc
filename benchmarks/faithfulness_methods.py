"""The methods that faithfulness.py compares, one entry each in METHODS. Adding one is writing a function and its entry.

A function gives a value for every unit of a question, higher the more the unit is said to have driven the answer; where
there is an answer to hold it against (``Question.bases``), the value for that is taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from io import StringIO
from typing import Any

import numpy as np
import torch
from faithfulness_figures import Values
from faithfulness_questions import Question
from speed_methods import captum_attribution, inseq_attribution, silent
from speed_worker import Count, counted
from torch import Tensor, nn

from attn_audit.judge.relevance import Table, ranking, relevance_of_all
from attn_audit.judge.screening import promising, share_of
from attn_audit.measure.answer import Base, log_probabilities
from attn_audit.measure.attention import Operator
from attn_audit.measure.deletion import delete, left_of
from attn_audit.measure.gradient import gradient
from attn_audit.measure.sweep import Reach, Runs, room, rounded, sweep

BACKWARD = 2  # forward passes that a pass back counts as: it computes two products for each one of the way there
ALL = frozenset({"squad", "blimp", "ioi", "lambada"})
SQUAD = frozenset({"squad"})
TEXTS = SQUAD | {"lambada"}
OURS = ("total", "direct", "soft", "screened")
ORDERS = 5  # random ones, of which the mean is taken


@dataclass(frozen=True)
class Map:
    """``values`` of the units; ``behind``: those without one, in the order in which they follow the others."""

    values: Values
    behind: tuple[int, ...] = ()

    def order(self, ties: Sequence[int]) -> tuple[int, ...]:
        """Units from the highest to the lowest; equal values in the order of ``ties``, (units,)."""
        shuffled = [self.values[unit] for unit in ties]
        return (*(ties[at] for at in ranking(shuffled)), *self.behind)


@dataclass(frozen=True)
class Method:
    """``title`` and ``note`` are shown. ``maps`` gives one map, or several of which the mean counts; None for what runs
    in an environment of its own. ``sets``: the data sets that it is measured on. ``package``: what it needs beside the
    project's requirements. ``reads_base``: whether it builds on the untouched run, which is counted with it."""

    title: str
    note: str
    maps: Callable[[Question], Sequence[Map]] | None
    sets: frozenset[str] = ALL
    package: str | None = None
    reads_base: bool = False

    @property
    def missing(self) -> str | None:
        """The package, where it is not installed."""
        return self.package if self.package is not None and find_spec(self.package) is None else None


# -- what it takes ----------------------------------------------------------------------------------------------------


@dataclass
class Work:
    """Tokens that went through the network: ``forward``, and those of the passes back."""

    forward: Count
    back: int = 0
    hooks: list[Any] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """As forward tokens."""
        return self.forward.tokens + BACKWARD * self.back

    def layer(self, module: Any, gradients: tuple[Tensor, ...]) -> None:
        """A hook of the last layer, through which every way back begins."""
        rows, tokens = gradients[0].shape[:2]
        self.back += rows * tokens


@contextmanager
def spent(network: Any) -> Iterator[Work]:
    """Counts every pass, there and back, while it lasts."""
    layers = next(module for module in network.modules() if isinstance(module, nn.ModuleList))
    with ExitStack() as stack:
        work = Work(stack.enter_context(counted(network)))
        stack.callback(layers[-1].register_full_backward_pre_hook(work.layer).remove)
        yield work


# -- without suppression ----------------------------------------------------------------------------------------------


def random(question: Question) -> Sequence[Map]:
    """Seeded orders, the same for each run."""
    draw = np.random.default_rng([len(question.units), *question.name.encode()])
    return [Map(tuple(draw.random(len(question.units)).tolist())) for _ in range(ORDERS)]


def attention(question: Question) -> Sequence[Map]:
    """The weight that the rows which predict the answer give to each unit, mean over layers, heads and those rows. An
    answer that it is held against is read from the same place, so it is left out."""
    base, network = question.base, question.model.network
    rows = slice(len(base.prompt) - 1, None)
    with eager(network), torch.inference_mode():
        found = network(input_ids=base.inputs, use_cache=False, output_attentions=True).attentions
    weights = torch.stack([layer[0, :, rows].mean(dim=(0, 1)) for layer in found]).mean(0)
    return [Map(over_pieces(question.pieces, weights))]


@contextmanager
def eager(network: Any) -> Iterator[None]:
    """The attention that can show its weights, while it lasts."""
    before = network.config._attn_implementation
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(before)


def gradient_input(question: Question) -> Sequence[Map]:
    """The embedding of each token times the gradient of the answer's log-probability with respect to it."""
    return [Map(_less([over_pieces(question.pieces, _gradient_input(question, base)) for base in question.bases]))]


def _gradient_input(question: Question, base: Base) -> Tensor:
    network, n, m = question.model.network, len(base.prompt), len(base.answer)
    embedded = network.get_input_embeddings()(base.inputs).detach().requires_grad_()
    logits = network(inputs_embeds=embedded, use_cache=False).logits[:, n - 1 : n + m - 1]
    (found,) = torch.autograd.grad(log_probabilities(logits, base.answer).sum(), embedded)
    return (embedded * found)[0].sum(-1).detach()


def deletion(question: Question) -> Sequence[Map]:
    """Each unit's tokens taken out of the prompt, one unit at a time."""
    tables = []
    for base in question.bases:
        kept = [left_of(len(base.prompt), [runs]) for runs in question.pieces]
        fitting = room(question.model, base, question.max_memory)
        total = float(base.log_probabilities.sum())
        tables.append([total - left for left in delete(question.model, base, kept, fitting, silent).totals])
    return [Map(_less(tables))]


def over_pieces(pieces: Sequence[Runs], positions: Tensor) -> list[float]:
    """The sum over each piece's positions."""
    return [sum(float(positions[start:stop].sum()) for start, stop in runs) for runs in pieces]


def _less(tables: Sequence[Sequence[float]]) -> list[float]:
    """The values for the answer, less those for the other one."""
    first, *others = tables
    return [value - sum(other[index] for other in others) for index, value in enumerate(first)]


# -- other packages ---------------------------------------------------------------------------------------------------


def captum(question: Question) -> Sequence[Map]:
    """FeatureAblation."""
    found = captum_attribution(question, forward_in_tokens=False)().seq_attr.tolist()
    places = sorted((run[0], unit) for unit, runs in enumerate(question.pieces) for run in runs)
    of_unit = {unit: value for (_, unit), value in zip(places, found, strict=True)}
    return [Map(tuple(of_unit[unit] for unit in range(len(question.pieces))))]


def inseq(question: Question, name: str, **options: Any) -> Sequence[Map]:
    """A method of Inseq, for log p; a length where it gives a vector for each token."""
    found = inseq_attribution(question, name, attributed_fn="probability", logprob=True, **options)()
    (sequence,) = found.sequence_attributions
    table = sequence.target_attributions
    by_token = (table.norm(dim=-1) if table.ndim == 3 else table).sum(-1).tolist()
    return [Map(over_pieces(question.pieces, torch.tensor(_in_place(question, sequence.target, by_token))))]


def _in_place(question: Question, tokens: Sequence[Any], by_token: Sequence[float]) -> list[float]:
    """Inseq's values by prompt position. It leaves out tokens that pad in other models, here ends of turns."""
    values = iter(zip(tokens, by_token, strict=True))
    special = set(question.model.tokenizer.all_special_ids)
    found, (token, value) = [], next(values)
    for position in question.base.prompt.tolist():
        if token.id == position:
            found.append(value)
            token, value = next(values)
        elif position in special:
            found.append(0.0)
        else:
            raise SystemExit("Inseq's tokens are not those of the prompt")
    return found


def contextcite(question: Question) -> Sequence[Map]:
    """ContextCite (Cohen-Wang et al. 2024): a sparse linear model of random ablations, as many as it does by default.
    Its sources are the units."""
    import nltk  # noqa: PLC0415

    nltk.download = lambda *_, **__: True  # at its import it asks for a model of sentences, which words do not need
    from context_cite import ContextCiter  # noqa: PLC0415
    from context_cite.context_partitioner import BaseContextPartitioner  # noqa: PLC0415

    spans = [
        [(max(start - question.at, 0), end - question.at) for start, end in map(question.span, runs)]
        for runs in question.pieces
    ]

    class Units(BaseContextPartitioner):  # type: ignore[misc]
        """The text as the sources that this package calls units, each with the white space before it."""

        @property
        def num_sources(self) -> int:
            return len(spans)

        def split_context(self) -> None:
            """It is cut already."""

        def get_source(self, index: int) -> str:
            return "".join(self.context[start:end] for start, end in spans[index])

        def get_context(self, mask: Any = None) -> str:
            gone = (
                []
                if mask is None
                else sorted(span for unit, kept in zip(spans, mask, strict=True) if not kept for span in unit)
            )
            text, at = "", 0
            for start, end in gone:
                text, at = text + self.context[at:start], end
            return text + self.context[at:]

    citer = ContextCiter(
        question.model.network,
        question.model.tokenizer,
        question.text,
        "",
        prompt_template="{context}{query}",
        partitioner=Units(question.text),
    )
    citer._cache["output"] = question.rendered + question.answers[0]  # the answer is given, not generated
    if citer._get_prompt_ids() != question.base.prompt.tolist() or citer._response_ids != question.base.answer.tolist():
        raise SystemExit("ContextCite would tokenise the prompt or the answer differently")
    with redirect_stderr(StringIO()):  # a bar of its progress
        return [Map(tuple(citer.get_attributions(verbose=False).tolist()))]


# -- ours -------------------------------------------------------------------------------------------------------------


def ours(question: Question, reach: Reach = "total", operator: Operator = Operator()) -> Sequence[Map]:  # noqa: B008
    """The package's sweep."""
    return [Map(_swept(question, question.pieces, reach, operator))]


def screened(question: Question) -> Sequence[Map]:
    """The package's screening: the promising units are measured, the others follow in the order of their promise."""
    look = gradient(question.model, question.bases, question.pieces, question.max_memory)
    if look is None:
        raise SystemExit("the gradient does not fit the memory")
    order, share = promising(question.units, look), share_of(question.units)
    found = _swept(question, [question.pieces[unit] for unit in order[:share]], "total", Operator())
    values: list[float | None] = [None] * len(question.units)
    for unit, value in zip(order[:share], found, strict=True):
        values[unit] = value
    return [Map(tuple(values), order[share:])]


def _swept(question: Question, pieces: Sequence[Runs], reach: Reach, operator: Operator) -> tuple[float, ...]:
    tables: list[Table] = []
    for base in question.bases:
        fitting = room(question.model, base, question.max_memory, reach)
        tables.append(sweep(question.model, base, pieces, fitting, silent, operator, reach).scores)
    recorded = [rounded(base.log_probabilities) for base in question.bases]
    contrast = (recorded[1], tables[1]) if len(tables) > 1 else (None, None)
    return relevance_of_all(recorded[0], tables[0], *contrast)


METHODS: dict[str, Method] = {
    "random": Method("random order", f"seeded, mean of {ORDERS}", random),
    "attention": Method(
        "attention weights", "of the rows that predict the answer to each unit, mean over layers and heads", attention
    ),
    "gradient-input": Method("gradient x input", "at the embeddings, of log p", gradient_input),
    "deletion": Method(
        "deletion", "each unit's tokens taken out of the prompt, nothing tokenised again", deletion, reads_base=True
    ),
    "attnlrp": Method("AttnLRP", "lxt, at the embeddings, of the answer's logits", None, SQUAD),
    "inseq-saliency": Method(
        "Inseq saliency", "length of the gradient at the embeddings, of log p", partial(inseq, name="saliency"),
        SQUAD, "inseq",
    ),
    "contextcite": Method(
        "ContextCite", "default settings (64 ablations), sources are the units", contextcite, SQUAD, "context_cite"
    ),
    "captum": Method(
        "Captum FeatureAblation",
        "`forward_in_tokens=False`: each unit deleted from the text, which is tokenised again", captum, SQUAD, "captum",
    ),
    "inseq-occlusion": Method(
        "Inseq occlusion", "the embedding of each token becomes that of <unk>, size of the change of log p",
        partial(inseq, name="occlusion"), SQUAD, "inseq",
    ),
    "total": Method("ours: knockout, total effect", "the default", ours, reads_base=True),
    "direct": Method(
        "ours: knockout, direct effect", "only the rows that predict the answer", partial(ours, reach="direct"),
        reads_base=True,
    ),
    "soft": Method(
        "ours: soft 0.1, total effect", "attention weakened to a tenth", partial(ours, operator=Operator("soft", 0.1)),
        TEXTS, reads_base=True,
    ),
    "screened": Method(
        "ours: screened", "knockout, total effect, of the promising quarter; the others follow by their promise",
        screened, TEXTS, reads_base=True,
    ),
}  # fmt: skip
