"""SQuAD items as cases: the paragraph, the question under it, and the gold answer, which is teacher-forced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from attn_audit.evidence.records import Case, Message
from attn_audit.measure.answer import Base, score
from attn_audit.measure.model import Model
from attn_audit.measure.prompt import render

LEAST_LOSS = 2.0  # nats that an answer must lose without the paragraph, to be found in it
NOW = datetime(2026, 1, 31, tzinfo=UTC)  # no template of these asks for it


@dataclass(frozen=True)
class Item:
    """One question; ``answer`` stands at ``span`` of ``context``."""

    context: str
    question: str
    answer: str
    span: tuple[int, int]

    @property
    def asked(self) -> str:
        """What follows the paragraph in the prompt."""
        return f"\n\nQuestion: {self.question}\nAnswer with a few words."


def items(data: Path) -> Iterator[Item]:
    """All items, in file order."""
    for raw in json.loads(data.read_text(encoding="utf-8")):
        yield Item(raw["context"], raw["question"], raw["answer"], tuple(raw["answer_span"]))


def case_of(content: str) -> Case:
    """One message of the user."""
    return Case(id="item", messages=(Message(role="user", content=content),), max_new_tokens=1)


def loss_without_paragraph(model: Model, item: Item, base: Base) -> float:
    """What the gold answer's log-probability falls by when the question stands alone, nats. ``base``: of the item."""
    alone = render(model.tokenizer, case_of(item.asked.strip()).messages, NOW)
    without = score(model, alone.ids, tuple(base.answer.tolist()))
    return float(base.log_probabilities.sum() - without.log_probabilities.sum())
