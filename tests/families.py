"""Each family loaded as a user loads it, its sweep held to the slow reference: for the tests and for docs/models.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import reference
import tiny
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.records import OperatorName
from attn_audit.measure.answer import Base, score
from attn_audit.measure.attention import Operator
from attn_audit.measure.model import Model, load, locate
from attn_audit.measure.sweep import Reach, Room, sweep

BOUND = 1e-4  # nats per answer token, float32
PROMPT = tuple(range(5, 33))
ANSWER = (40, 41, 42, 43)
ROOMS = (Room(1), Room(5, 2))  # one unit in a pass; five, and two passes at once
UNITS: tuple[tuple[tuple[int, int], ...], ...] = (
    *(((start, start + 1),) for start in range(0, len(PROMPT), 5)),  # single tokens, the first and one near the end
    ((0, 3),),
    ((12, 20),),  # as long as a window
    ((6, 10),),  # across the border of two chunks
    ((20, 28),),  # up to the end of the prompt
    ((0, 28),),  # all of it
    ((2, 4), (11, 14), (25, 26)),  # several runs
    ((0, 1), (27, 28)),  # the last token, whose row predicts the answer, among them
)
# Fewer for the other operators, reaches and bands, since those are many; between them much of the above, and tokens of
# the answer as sources. Not any will do: with ((2, 4), (11, 14), (25, 26)) one score of Gemma 4's tiny model hangs on
# the last bits of its weights, so that float32 itself is 4e-4 off, in the reference as in the package.
FEW_UNITS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((3, 5), (10, 13), (25, 26)),
    ((12, 20),),
    ((0, 1), (27, 28), (29, 30)),
)
FIRST_OF_ANSWER = len(PROMPT) - 1  # the row that predicts the first token of the answer
OPERATORS: tuple[tuple[OperatorName, float | None], ...] = (
    ("knockout", None),
    ("soft", 0.1),
    ("soft", 0.5),
    ("shifted", 0.1),
    ("shifted", 0.5),
)

# What is refused, family by family: any other refusal is a fault, and so is one of these that no longer happens.
_YES_OR_NO = "which turns it into all or nothing"
_NO_INTERFACE = "whose attention does not go through the library's interface"
_NOT_BY_ITSELF = "layer bands cannot be applied to this model: a layer did not take its mask by itself"
NO_SOFT = {"mpt": _YES_OR_NO, "falcon_alibi": _YES_OR_NO}
NO_SHIFTED = {
    "gemma2": r"shifted cannot be applied to this model \(softcap\)",
    "gpt_oss": r"shifted cannot be applied to this model \(s_aux\)",  # its sinks
    **dict.fromkeys(("bloom", "mpt", "falcon", "falcon_alibi", "gptj", "gpt_neo"), _NO_INTERFACE),
}
NO_BANDS = {"falcon_alibi": _NOT_BY_ITSELF}  # its mask is folded into another before the layers get it


@contextmanager
def one_thread() -> Iterator[None]:
    """Models this small only lose time when threads wait for each other, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def loaded(folder: Path, family: str) -> Model:
    """Written to disk, located, loaded and probed."""
    return load(locate(str(tiny.folder(folder / family, family))), seed=0)


def base(model: Model) -> Base:
    """The untouched run that a sweep starts from."""
    return score(model, PROMPT, ANSWER)


def swept(model: Model, room: Room) -> torch.Tensor:
    """(units, answer tokens), nats: by the package."""
    return torch.tensor(sweep(model, base(model), UNITS, room, lambda *_: None).scores, dtype=torch.float64)


def expected(model: Model) -> torch.Tensor:
    """(units, answer tokens), nats: by the reference."""
    return torch.stack([reference.log_probabilities(model.network, PROMPT, ANSWER, runs) for runs in UNITS])


def bands(model: Model) -> tuple[tuple[int, int], ...]:
    """The first layer, all but the first, and those in the middle."""
    count = model.network.config.get_text_config().num_hidden_layers
    return (0, 1), (1, count), (1, count - 1)


def why_refused(model: Model, family: str, operator: Operator) -> str | None:
    """Part of the sentence with which the operator is refused, as a pattern; None where it must be accepted."""
    if operator.name == "shifted" and family in NO_SHIFTED:
        return NO_SHIFTED[family]
    if operator.layers is not None and family in NO_BANDS:
        return NO_BANDS[family]
    return NO_SOFT.get(family) if operator.name == "soft" else None


def swept_with(model: Model, scored: Base, operator: Operator, reach: Reach) -> torch.Tensor:
    """(few units, answer tokens), nats: by the package, two units in a pass."""
    found = sweep(model, scored, FEW_UNITS, Room(2), lambda *_: None, operator, reach)
    return torch.tensor(found.scores, dtype=torch.float64)


def expected_with(model: Model, operator: Operator, reach: Reach) -> torch.Tensor:
    """(few units, answer tokens), nats: by the reference."""
    first_reader = FIRST_OF_ANSWER if reach == "direct" else 0
    weakening = reference.Weakening(operator.name, operator.factor or 0.0, operator.layers, first_reader)
    return torch.stack([reference.weakened(model.network, PROMPT, ANSWER, runs, weakening) for runs in FEW_UNITS])


def largest_difference(model: Model) -> float:
    """Of all units, answer tokens and batch shapes, nats."""
    formula = expected(model)
    return max((swept(model, room) - formula).abs().max().item() for room in ROOMS)


def refusal(folder: Path, family: str) -> str:
    """The sentence with which a family is refused, without the place of its folder."""
    try:
        loaded(folder, family)
    except UsageError as error:
        return str(error).replace(f"{folder}/", "")
    raise LookupError(f"{family} is not refused")
