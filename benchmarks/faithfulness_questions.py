"""Four data sets as questions whose pieces are labelled: which of them should a map of the answer point at?

SQuAD 2.0 (Rajpurkar et al. 2018): through the model's chat template, the gold answer teacher-forced, units are words;
labelled are those that share a character with the answer's span. BLiMP (Warstadt et al. 2020) and indirect object
identification (Wang et al. 2023), with the deciding words marked by Ferrando et al. 2023: a text that the model would
continue with the good word, against the bad one; units are tokens. LAMBADA passages (Paperno et al. 2016) with spans
that readers marked (Zhao and Aletras 2023): the last word is the answer, units are words.

The last three are plain text. The package renders a text to complete where a tokenizer has no chat template, so they
are rendered with a copy of the tokenizer that has none; every method gets the ids that come out.
"""

from __future__ import annotations

import copy
import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from speed_methods import Setup
from squad import LEAST_LOSS, NOW, Item, case_of, items, loss_without_paragraph

from attn_audit.evidence.measured import Unit
from attn_audit.evidence.records import Case, Prompt, UnitKind
from attn_audit.measure.answer import Base, score
from attn_audit.measure.model import Model
from attn_audit.measure.prompt import render, tokenise_answer
from attn_audit.measure.units import cut

MAX_MEMORY = 8.0  # GB
FILES = {"squad": "squad_sample.json", "blimp": "blimp", "ioi": "ioi.csv", "lambada": "lambada_rationales.jsonl"}
Longer = Literal["cut", "skip"]
Spans = Sequence[tuple[int, int]]  # characters of the text


@dataclass(frozen=True)
class Question(Setup):
    """``bases``: the untouched run of the answer, and that of the answer it is held against, where there is one.
    ``labels``: which of the units are to be found. ``group``: the part of the data set."""

    name: str
    group: str
    text: str
    at: int  # where the text begins in ``rendered``
    answers: tuple[str, ...]
    bases: tuple[Base, ...]
    units: tuple[Unit, ...]
    labels: tuple[bool, ...]

    @property
    def passes(self) -> int:
        """Tokens of one full pass over prompt and answer."""
        return int(self.base.inputs.shape[1])

    def words(self, unit: int) -> str:
        """The text of a unit."""
        return " ... ".join(self.text[span.start : span.end] for span in self.units[unit].spans)


@dataclass(frozen=True)
class Excerpts:
    """Paragraphs of ``least`` to ``most`` words; of a longer one, the sentences around the answer that make as many, or
    nothing."""

    least: int
    most: int
    longer: Longer

    def of(self, model: Model, item: Item) -> Item | None:
        """None where the item has no paragraph of such a length."""
        words = len(item.context.split())
        if words > self.most and self.longer == "cut":
            item = _excerpt(model, item, self.most)
            words = len(item.context.split())
        return item if self.least <= words <= self.most else None


def _excerpt(model: Model, item: Item, most: int) -> Item:
    """The sentence with the answer, then as many as fit of those behind and before it, in turn."""
    case = case_of(item.context)
    units = cut(case, render(model.tokenizer, case.messages, NOW), "sentence")
    spans = [(unit.spans[0].start, unit.spans[-1].end) for unit in units]
    first = last = next(index for index, (start, end) in enumerate(spans) if start <= item.span[0] < end)
    growing = True
    while growing:
        growing = False
        for before, after in ((first, last + 1), (first - 1, last)):
            fits = before >= 0 and after < len(spans)
            if fits and len(item.context[spans[before][0] : spans[after][1]].split()) <= most:
                first, last, growing = before, after, True
    start, end = spans[first][0], spans[last][1]
    text = item.context[start:end].rstrip()
    return replace(item, context=text, span=(item.span[0] - start, item.span[1] - start))


def squad(model: Model, data: Path, excerpts: Excerpts) -> Iterator[Question]:
    """Items in file order whose answer loses more than 2 nats without the paragraph."""
    for number, whole in enumerate(items(data)):
        item = excerpts.of(model, whole)
        if item is None:
            continue
        case = case_of(item.context + item.asked)
        found = _question(model, (f"squad {number}", ""), case, "word", (item.answer,), (item.span,))
        if loss_without_paragraph(model, item, found.base) > LEAST_LOSS and any(found.labels):
            yield found


def blimp(model: Model, data: Path, begin: str, each: int) -> Iterator[Question]:
    """The first ``each`` items of every subset, a file each."""
    for file in sorted(data.glob("*.csv")):
        yield from islice(pairs(model, file, begin), each)


def pairs(model: Model, file: Path, begin: str) -> Iterator[Question]:
    """A prefix, the good and the bad word that follow, and the word of the prefix that decides. Left out, as in the
    published evaluation: prefixes of one token, equal words, and deciding words that do not stand in the prefix.
    ``begin`` is put before the text; a special token in it belongs to no unit."""
    plain, group = without_template(model), file.stem
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            prefix, cue = begin + row["one_prefix_prefix"], row["target"]
            words = (row["one_prefix_word_good"], row["one_prefix_word_bad"])
            spans = [found.span() for found in re.finditer(rf"(?<!\w){re.escape(cue)}(?!\w)", prefix)] if cue else []
            if words[0] == words[1] or not spans:
                continue
            name = f"{group} {row['']}"
            found = _question(plain, (name, group), case_of(prefix), "token", tuple(f" {one}" for one in words), spans)
            if len(found.units) > 1:
                yield found


def lambada(model: Model, data: Path, begin: str) -> Iterator[Question]:
    """Passages in file order, ``begin`` before each."""
    plain = without_template(model)
    with data.open(encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            before = re.match(r".*(?=\s\S+$)", raw["text"].rstrip(), re.DOTALL)
            if before is None:
                continue
            answer = raw["text"].rstrip()[before.end() :]
            text, at = begin + before.group(), len(begin)
            spans = [(start + at, end + at) for start, end in raw["rationale"] if end <= before.end()]
            found = _question(plain, (f"lambada {raw['lambadaIndex']}", ""), case_of(text), "word", (answer,), spans)
            if any(found.labels):
                yield found


def without_template(model: Model) -> Model:
    """The same network, whose tokenizer has no chat template."""
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.chat_template = None
    return replace(model, tokenizer=tokenizer)


def _question(
    model: Model, names: tuple[str, str], case: Case, kind: UnitKind, answers: tuple[str, ...], marked: Spans
) -> Question:
    prompt: Prompt = render(model.tokenizer, case.messages, NOW)
    bases = tuple(score(model, prompt.ids, tokenise_answer(model.tokenizer, answer).ids) for answer in answers)
    units = cut(case, prompt, kind)
    (segment,) = prompt.segments
    return Question(
        model=model,
        base=bases[0],
        pieces=tuple(unit.runs for unit in units),
        rendered=prompt.rendered,
        ends=tuple(end for _, end in prompt.offsets),
        max_memory=MAX_MEMORY,
        name=names[0],
        group=names[1],
        text=case.messages[0].content,
        at=segment.rendered - segment.start,
        answers=answers,
        bases=bases,
        units=units,
        labels=tuple(
            any(span.start < end and start < span.end for span in unit.spans for start, end in marked) for unit in units
        ),
    )
