"""Verify and show on audits that were altered at random: never a traceback, never accepted.

How many examples are tried: ATTN_AUDIT_EXAMPLES (tests/conftest.py). tests/fuzz holds the fuzzing that takes hours.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import audits
from attn_audit.evidence.digest import canonical, parse_canonical, sha256
from attn_audit.evidence.envelope import Statement, decode, open_bundle, payload_of, sign
from attn_audit.evidence.errors import AuditError
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content, Record
from attn_audit.evidence.statements import Summary, summary
from attn_audit.evidence.trust import read_allowed_signers
from attn_audit.reports import pdf
from attn_audit.verify import pdf as reading
from attn_audit.verify import verify
from audits import Audit
from command_line import CODES, call
from fuzz import signed_case

ATTESTATION = "attestation.sigstore.json"
TWO_CASES = """\
settings: {max_new_tokens: 2}
cases:
  - {id: first, prompt: "Is the loan approved?", contrast: "no"}
  - {id: second, prompt: "Is it?", answer: "Yes, it is."}
"""
WAYS = ("byte", "byte", "cut", "stretch", "spelling", "value", "exchange", "rename", "forge", "sign")
_read_once = functools.cache(reading.check_pdf)
Draw = Callable[[st.SearchStrategy[Any]], Any]


@pytest.fixture(autouse=True)
def _each_pdf_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same PDF beside the same records is not read again: it takes a second, and most examples leave it alone."""
    monkeypatch.setattr(reading, "check_pdf", _read_once)


@pytest.fixture(scope="module")
def victim(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """A small audit that is altered and mended again, example after example."""
    folder = tmp_path_factory.mktemp("victim")
    private = audits.key(folder)
    views = "html,pdf" if pdf.missing_libraries() is None else "html"
    return Audit(audits.make(folder, tiny_model, private, cases=TWO_CASES, format=views).out, private)


@pytest.fixture(scope="module")
def forger(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """The key of somebody the reader does not trust, in the name of the one whom he does."""
    folder = tmp_path_factory.mktemp("forger")
    return Audit(folder, audits.key(folder)).private


@contextlib.contextmanager
def mended(out: Path) -> Iterator[dict[Path, bytes]]:
    """The files of the audit and their bytes, as they will be again afterwards."""
    kept = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    try:
        yield kept
    finally:
        for path in {path for path in out.rglob("*") if path.is_file()} - set(kept):
            path.unlink()
        for path, before in kept.items():
            if not path.exists() or path.read_bytes() != before:
                path.write_bytes(before)


# -- ways to alter an audit -------------------------------------------------------------------------------------------


def one_byte(data: bytes, draw: Draw) -> bytes:
    at = draw(st.integers(0, len(data) - 1))
    return data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]


def cut_or_continued(data: bytes, draw: Draw) -> bytes:
    return data[: draw(st.integers(0, len(data)))] + draw(st.binary(max_size=3))


def other_stretch(data: bytes, draw: Draw) -> bytes:
    at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
    return data[:at] + draw(st.binary(max_size=40) | st.just(data[:at][-size:])) + data[at + size :]


def other_spelling(data: bytes, draw: Draw) -> bytes:
    """The same JSON, or the same text, in other bytes."""
    white = draw(st.sampled_from([b" ", b"\n", b"\t"]))
    at = draw(st.sampled_from([0, len(data), data.find(b":") + 1]))
    return draw(st.sampled_from([data[:at] + white + data[at:], data.replace(b"t", b"\\u0074", 1)]))


def other_value(data: bytes, draw: Draw) -> bytes:
    """The same JSON with one value exchanged, in its canonical encoding again where it has one."""
    try:
        value = json.loads(data)
    except ValueError:
        return one_byte(data, draw)
    changed = exchanged(value, draw)
    try:
        return canonical(changed)
    except ValueError:  # a number that has no canonical encoding
        return json.dumps(changed).encode()


def exchanged(value: Any, draw: Draw) -> Any:
    place = draw(st.sampled_from(_places(value)[1:]))
    return _replaced(value, place, draw(_neighbour(functools.reduce(lambda inner, step: inner[step], place, value))))


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in _places(part, (*path, key)))]


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def _neighbour(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same kind, so that the schema lets them pass and what is behind it is reached."""
    if isinstance(value, bool) or value is None:
        return st.sampled_from([None, True, False, "x", 0])
    if isinstance(value, int):
        return st.integers(0, 40) | st.sampled_from([-1, 2**31, 2**53 - 1])
    if isinstance(value, float):
        return st.sampled_from([0.0, -0.5, 1e-300, 1000.0, -1e30, 1e308, -1e308])
    if isinstance(value, str):
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
            ["", "0" * 64, "html", "\u202e\x1b[2J", "word", "a/../b", "9999-12-31T23:59:59Z", value + "\u0301"]
        )
    if isinstance(value, list):
        return st.sampled_from([[], value[1:], value[::-1], value + value, value[:1] * 3])
    return st.just({}) | st.sampled_from(sorted(value)).map(lambda name: {k: v for k, v in value.items() if k != name})


def alter(audit: Audit, forger: SigningKey, kept: dict[Path, bytes], draw: Draw) -> tuple[str, Path]:
    """Alter one file or exchange two, without the trusted key or with it; how, and the file or the first of the two."""
    path = draw(st.sampled_from(sorted(kept)))
    signed = sorted(one for one in kept if one.name.endswith(".sigstore.json"))
    sealed = [one for one in signed if one.name != "seal.sigstore.json"]
    match how := draw(st.sampled_from(WAYS)):
        case "byte":
            path.write_bytes(one_byte(kept[path], draw))
        case "cut":
            path.write_bytes(cut_or_continued(kept[path], draw))
        case "stretch":
            path.write_bytes(other_stretch(kept[path], draw))
        case "spelling":
            path.write_bytes(other_spelling(kept[path], draw))
        case "value":
            path.write_bytes(other_value(kept[path], draw))
        case "exchange":
            other = draw(st.sampled_from(sorted(kept)))
            path.write_bytes(kept[other])
            other.write_bytes(kept[path])
        case "rename":
            path.rename(path.with_name(draw(st.sampled_from(["x", f".{path.name}", path.name.upper()]))))
        case "forge":
            path = draw(st.sampled_from(signed))
            path.write_bytes(sign(payload_of(kept[path], "x"), forger))
        case "sign":  # the trusted key signs another plan or attestation; the seal covers their bytes
            path = draw(st.sampled_from(sealed))
            path.write_bytes(sign(other_value(payload_of(kept[path], "x"), draw), audit.private))
    return how, path


# -- what must hold ---------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_an_altered_audit_is_never_accepted(victim: Audit, forger: SigningKey, data: st.DataObject) -> None:
    trusted = read_allowed_signers(victim.signers)
    with mended(victim.out) as kept:
        how, path = alter(victim, forger, kept, data.draw)
        altered = kept != {one: one.read_bytes() for one in victim.out.rglob("*") if one.is_file()}
        code = verify(victim.out, trusted).exit_code
        assert (code != 0) == altered
        if altered and path.parent.parent.name == "cases":
            assert code == 20 or how not in {"byte", "cut", "stretch", "spelling"}
            with contextlib.suppress(AuditError):  # without its attestation it is no case
                assert verify(path.parent, trusted).exit_code in {20, 21}


@settings(max_examples=settings.default.max_examples // 2)
@given(data=st.data())
def test_whatever_is_signed_ends_in_a_verdict(victim: Audit, data: st.DataObject) -> None:
    """A record with one value exchanged, signed by the trusted key and sealed again, so that all else agrees."""
    folder, private = victim.case("first"), victim.private
    path = {
        "content": folder / "content.json",
        "evidence": folder / "evidence.json",
        "summary": folder / ATTESTATION,
        "seal": victim.out / "seal.sigstore.json",
        "plan": victim.out / "plan.sigstore.json",
    }[data.draw(st.sampled_from(["content", "evidence", "evidence", "summary", "seal", "plan"]))]
    with mended(victim.out) as kept:
        if path.name.endswith(".sigstore.json"):
            path.write_bytes(sign(other_value(payload_of(kept[path], "x"), data.draw), private))
        else:
            path.write_bytes(other_value(kept[path], data.draw))
            _attest(folder, private)
        if path.name != "seal.sigstore.json":
            audits.reseal(victim.out, private)
        assert audits.report(victim).exit_code in {0, 20, 21, 22}


def _attest(folder: Path, private: SigningKey) -> None:
    """The attestation again over the files as they are, with a content digest and a summary that follow if they can."""
    statement = audits.opened(folder / ATTESTATION, Summary)
    content = json.loads((folder / "content.json").read_bytes())
    evidence = json.loads((folder / "evidence.json").read_bytes())
    with contextlib.suppress(ValueError):
        evidence["content"] = sha256(canonical(content))
        (folder / "evidence.json").write_bytes(canonical(evidence))
    said: Record = statement.predicate
    with contextlib.suppress(ValueError):
        said = summary(audits.content_of(folder), audits.evidence_of(folder))
    subjects = tuple((name, sha256((folder / name).read_bytes())) for name, _ in statement.subjects)
    audits.put(folder / ATTESTATION, Statement(subjects, said), private)


def test_a_signed_case_with_any_numbers_is_judged_and_drawn(victim: Audit, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    outcomes = set()
    for number in range(settings.default.max_examples // 2):
        chance = random.Random(number)
        pair = signed_case.changed(signed_case.pair_of(victim.case(chance.choice(["first", "second"]))), chance)
        outcomes.add(signed_case.fuzz_case(pair, folder, chance))
    assert {"refused", "drawn", "numbers do not hold"} <= outcomes


@settings(max_examples=max(10, settings.default.max_examples // 20))
@given(data=st.data())
def test_the_command_line_says_it_in_one_way(victim: Audit, forger: SigningKey, data: st.DataObject) -> None:
    command = data.draw(st.sampled_from([("verify",), ("verify", "--json"), ("show",)]))
    whom = () if command == ("show",) else ("--trust", victim.signers)
    with mended(victim.out) as kept:
        alter(victim, forger, kept, data.draw)
        altered = kept != {one: one.read_bytes() for one in victim.out.rglob("*") if one.is_file()}
        ended = call(*command, victim.out, *whom)
    assert ended.code in CODES - {1}
    assert ended.code != 0 or not altered or command == ("show",)
    assert "Traceback" not in ended.out + ended.err
    assert len(ended.err.splitlines()) <= 1
    if ended.err:
        assert ended.sentence
    if command == ("verify", "--json") and not ended.err:
        assert json.loads(ended.out)["exit_code"] == ended.code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused_as_evidence(data: bytes) -> None:
    for read in (
        functools.partial(open_bundle, data, (), "x"),
        functools.partial(decode, data, Summary, "x"),
        functools.partial(parse_canonical, data, Evidence, "x"),
        functools.partial(parse_canonical, data, Content, "x"),
    ):
        with pytest.raises(AuditError):
            read()
