"""A verified audit, measured again: are these the numbers of this model? Units are chosen by the verifier's randomness,
so that a signer cannot know which ones will be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from attn_audit import __version__
from attn_audit.evidence import bundle
from attn_audit.evidence.digest import sha256
from attn_audit.evidence.errors import CaseError, EvidenceError, NotReplayed
from attn_audit.evidence.host import Host
from attn_audit.evidence.measured import Evidence, Signer, Tool
from attn_audit.evidence.records import Content, Prompt, Scores
from attn_audit.evidence.settings import Settings
from attn_audit.evidence.statements import Outcome, Replay, ReplayedCase
from attn_audit.judge.belonging import recorded_settings
from attn_audit.judge.relevance import ranking, relevance_of_all
from attn_audit.measure.answer import generate, score
from attn_audit.measure.explain import Sweeps, check
from attn_audit.measure.memory import as_memory_error
from attn_audit.measure.model import LocatedModel, Model, load, load_tokenizer
from attn_audit.measure.prompt import decode_answer, render, tokenise_answer
from attn_audit.measure.spread import Progress
from attn_audit.measure.units import cut
from attn_audit.verify.report import OtherModel, Report, VerifiedCase

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5, "float16": 0.05}  # nats an answer token (docs/evidence.md, "Replay")


def choose(items: Sequence[int], count: int | None, entropy: bytes) -> tuple[int, ...]:
    """``count`` of the items, in order, by the digest of ``entropy`` and each; all of them where it is None."""
    drawn = sorted(items, key=lambda item: sha256(entropy + str(item).encode()))
    return tuple(sorted(drawn[:count]))


def replay(
    cases: dict[str, VerifiedCase], model: LocatedModel, host: Host, units: int | None, progress: Progress
) -> Iterator[ReplayedCase]:
    """Each case measured again with its recorded settings, in order. ``units``: how many of each are looked at, None:
    all. Raises NotReplayed before anything is measured where the model is another one, UsageError as loading does."""
    for case_id, case in cases.items():
        if case.evidence.model.root != model.root:
            roots = f"{case.evidence.model.root[:16]}… and not {model.root[:16]}…"
            raise NotReplayed(f"case {case_id} was measured on another model, of root {roots}; nothing was measured")
    loaded: dict[tuple[str, str, int], Model] = {}
    for case_id, case in cases.items():
        settings = recorded_settings(case.evidence.settings)
        wanted = (settings.dtype, settings.device, settings.seed)
        if wanted not in loaded:
            loaded = {wanted: load(model, settings.seed, settings.dtype, settings.device)}
        check(loaded[wanted], settings)
        yield _Again(loaded[wanted], case, settings, progress).measured(case_id, units, host.entropy(32))


def retold(tokenizer: Any, content: Content, evidence: Evidence) -> Outcome | None:
    """Whether text and token ids belong together, by the model's own tokenizer: which of prompt, answer, contrast and
    units differs from the record; None: none does. Raises CaseError where the case cannot be rendered."""
    case = content.case
    prompt = render(tokenizer, case.messages, _date(content.prompt))
    if prompt != content.prompt:
        return "other prompt"
    written = (
        decode_answer(tokenizer, content.answer.ids) if case.answer is None else tokenise_answer(tokenizer, case.answer)
    )
    contrast = None if case.contrast is None else tokenise_answer(tokenizer, case.contrast)
    if (written, contrast) != (content.answer, content.contrast):
        return "other answer"
    return None if cut(case, prompt, evidence.method.units) == evidence.units else "other pieces"


def check_retold(report: Report, model: LocatedModel, subject: str) -> None:
    """``attn-audit verify --model``: the model's files are the recorded ones, and each case's text and token ids belong
    together. Each is a check in the report; of another model nothing is read. Raises UsageError as loading does."""
    with report.check(subject, "model files"):
        if not report.evidence:
            raise OtherModel("there is no evidence here to compare the model with")
        for case_id, evidence in report.evidence.items():
            if (evidence.model.root, evidence.model.files) != (model.root, model.files):
                raise OtherModel(f"case {case_id} was measured on other files than {model.name} has")
    if not report.passed(subject, "model files"):
        return
    tokenizer = load_tokenizer(model)
    for case_id, case in report.cases.items():
        with report.check(case_id, "text and tokens"):
            try:
                different = retold(tokenizer, case.content, case.evidence)
            except CaseError as error:
                raise EvidenceError(f"the case cannot be rendered by this model: {error}") from None
            if different is not None:
                raise EvidenceError(f"the text is not that of the token ids: {different}, by the model's own tokenizer")


def agrees(cases: Sequence[ReplayedCase]) -> bool:
    """Whether all of them came out as recorded, within the tolerance."""
    return all(case.outcome in {"identical", "within tolerance"} for case in cases)


def result(cases: tuple[ReplayedCase, ...], model: LocatedModel, signer: Signer | None, host: Host) -> Replay:
    """What is signed."""
    return Replay(tool=Tool(version=__version__), created=host.now(), signer=signer, model_root=model.root, cases=cases)


class _Again:
    """One case, measured again."""

    def __init__(self, model: Model, case: VerifiedCase, settings: Settings, progress: Progress) -> None:
        self._model, self._settings, self._progress = model, settings, progress
        self._content, self._evidence = case.content, case.evidence
        self._tolerance = TOLERANCE[settings.dtype]

    def measured(self, case_id: str, count: int | None, entropy: bytes) -> ReplayedCase:
        """From the text to the numbers; ends with the first that is not as recorded."""
        evidence = self._evidence
        recorded = [index for index, row in enumerate(evidence.scores) if row is not None]
        chosen = choose(recorded, count, entropy)
        found = ReplayedCase(id=case_id, outcome="identical", units=chosen, tolerance=self._tolerance, largest=None)
        try:
            with as_memory_error():
                if (different := self._text()) is not None:
                    return found.model_copy(update={"outcome": different})
                largest, same_order = self._numbers(chosen)
        except CaseError as error:
            return found.model_copy(update={"outcome": "not measured", "reason": str(error)})
        except MemoryError:
            return found.model_copy(update={"outcome": "not measured", "reason": "out of memory"})
        return found.model_copy(update={"outcome": self._outcome(largest, same_order=same_order), "largest": largest})

    def _outcome(self, largest: float, *, same_order: bool) -> Outcome:
        if largest == 0:
            return "identical"
        if largest <= self._tolerance:
            return "within tolerance"
        return "same ranking" if same_order else "mismatch"

    def _text(self) -> Outcome | None:
        """Prompt, answer and units made again from the case; which of them differs from the record."""
        different = retold(self._model.tokenizer, self._content, self._evidence)
        if different is None and self._content.case.answer is None:
            prompt, most = self._content.prompt.ids, self._content.case.max_new_tokens
            different = None if generate(self._model, prompt, most)[0] == self._content.answer.ids else "other answer"
        return different

    def _numbers(self, chosen: Sequence[int]) -> tuple[float, bool]:
        """The largest difference of a token's log-probability, nats, and whether the chosen units rank alike."""
        content, evidence = self._content, self._evidence
        answers = [content.answer] + ([content.contrast] if content.contrast else [])
        bases = tuple(score(self._model, content.prompt.ids, answer.ids) for answer in answers)
        sweeps = Sweeps(self._model, bases, self._settings, self._progress)
        table, other = sweeps.of([evidence.units[index].runs for index in chosen], sweeps.reach)
        base, *rest = sweeps.recorded
        pairs = [((evidence.answer.base,), (base,)), (_rows(evidence.scores, chosen), table)]
        if evidence.contrast is not None and other is not None:
            pairs += [((evidence.contrast.base,), (rest[0],)), (_rows(evidence.contrast.scores, chosen), other)]
        largest = max(_largest(before, after) for before, after in pairs)
        again = relevance_of_all(base, table, rest[0] if rest else None, other)
        return largest, ranking(again) == ranking([evidence.relevance[index] for index in chosen])


def subjects(cases: Sequence[ReplayedCase], attestations: dict[str, bytes]) -> tuple[tuple[str, str], ...]:
    """The attestation of each case that was replayed: what the signed result speaks of."""
    name = bundle.statement_name(bundle.ATTESTATION, signed=True)
    return tuple((f"{bundle.CASES}/{case.id}/{name}", sha256(attestations[case.id])) for case in cases)


def _date(prompt: Prompt) -> datetime:
    """The time that the chat template was given; any, where it did not ask."""
    return datetime.fromisoformat(prompt.date or "2000-01-01T00:00:00+00:00")


def _rows(scores: Scores, chosen: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    return tuple(row for index in chosen if (row := scores[index]) is not None)


def _largest(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> float:
    differences = (
        abs(one - other)
        for row, again in zip(before, after, strict=True)
        for one, other in zip(row, again, strict=True)
    )
    return round(max(differences, default=0.0), 6)
