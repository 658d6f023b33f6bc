"""Fuzzing guided by coverage, with atheris, of every parser that reads what somebody else wrote.

    python tests/fuzz/parsers.py TARGET -runs=100000 [more of libFuzzer's options] [CORPUS]

A target takes any bytes and ends without an exception: what is refused is refused with an AuditError, and what is
accepted is held to what the parser promises. docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import base64
import functools
import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # run as a script
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]


def _instrumented() -> None:
    """Import what is fuzzed in a way that reports coverage."""
    import atheris  # noqa: PLC0415

    with atheris.instrument_imports(include=["attn_audit", "ruamel", "rfc8785"]):
        import attn_audit.cases  # noqa: PLC0415
        import attn_audit.evidence.envelope  # noqa: F401, PLC0415


if __name__ == "__main__":
    _instrumented()

from cryptography.hazmat.primitives import serialization as ser  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

from attn_audit.cases import read_cases  # noqa: E402
from attn_audit.evidence.digest import canonical, parse_canonical  # noqa: E402
from attn_audit.evidence.envelope import Statement, decode, encode, open_bundle, sign  # noqa: E402
from attn_audit.evidence.errors import AuditError  # noqa: E402
from attn_audit.evidence.keys import SigningKey  # noqa: E402
from attn_audit.evidence.measured import Evidence  # noqa: E402
from attn_audit.evidence.records import Content, Record  # noqa: E402
from attn_audit.evidence.statements import Plan, Replay, Seal, Summary, summary  # noqa: E402
from attn_audit.evidence.trust import TrustedKey, read_allowed_signers, read_public_key  # noqa: E402

SAMPLES = TESTS.parent / "sample_cases"
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "audit@bank.example")
TRUSTED = (TrustedKey(KEY.private.public_key(), ()),)
STATEMENTS: tuple[type[Record], ...] = (Plan, Summary, Seal, Replay)
_PLACE = tempfile.TemporaryDirectory(prefix="attn-audit-fuzz-")


class Broken(Exception):
    """A parser accepted something and did not keep its promise."""


# -- targets ----------------------------------------------------------------------------------------------------------


def fuzz_bundle(data: bytes) -> None:
    """Only what the key signed opens, and only in its one spelling."""
    try:
        payload, _ = open_bundle(data, TRUSTED, "x")
    except AuditError:
        return
    if sign(payload, KEY) != data:
        raise Broken("a bundle opened that is not the one encoding of its payload")


def fuzz_statement(data: bytes) -> None:
    """The payload of a statement, which the trusted key signed whatever it is."""
    for kind in STATEMENTS:
        try:
            statement = decode(data, kind, "x")
        except AuditError:
            continue
        if encode(statement) != data:
            raise Broken("a statement was read from bytes that are not its one encoding")


def _fuzz_record(kind: type[Record], data: bytes) -> None:
    try:
        record = parse_canonical(data, kind, "x")
    except AuditError:
        return
    if canonical(record) != data:
        raise Broken("a record was read from bytes that are not its one encoding")


def fuzz_allowed_signers(data: bytes) -> None:
    _fuzz_keys(data, read_allowed_signers)


def fuzz_public_key(data: bytes) -> None:
    _fuzz_keys(data, read_public_key)


def _fuzz_keys(data: bytes, read: Callable[[Path], tuple[TrustedKey, ...]]) -> None:
    path = _file("keys", data)
    try:
        keys = read(path)
    except AuditError as error:
        _one_sentence(error)
        return
    for key in keys:
        key.may_sign_as("audit@bank.example")
        if len(key.key_id) != 64:
            raise Broken("a key without a key id")


def fuzz_yaml(data: bytes) -> None:
    _fuzz_cases(_file("cases.yaml", data))


def fuzz_jsonl(data: bytes) -> None:
    _fuzz_cases(_file("cases.jsonl", data))


def fuzz_csv(data: bytes) -> None:
    """The rows beside a case file that is in order."""
    _file("rows.csv", data)
    _fuzz_cases(_file("with_rows.jsonl", b'{"template": "Income {income}, {job}", "rows": "rows.csv"}'))


def _fuzz_cases(path: Path) -> None:
    try:
        file = read_cases(path)
    except AuditError as error:
        _one_sentence(error)
        return
    for case in file.cases:
        canonical(case)
        for span in (span for named in case.named for span in named.spans):
            if not 0 <= span.start < span.end <= len(case.messages[span.message].content):
                raise Broken("a named piece outside of its message")


def _one_sentence(error: AuditError) -> None:
    if not str(error).isprintable():
        raise Broken(f"a sentence that a terminal would obey: {str(error)!r}")


def _file(name: str, data: bytes) -> Path:
    path = Path(_PLACE.name) / name
    path.write_bytes(data)
    return path


TARGETS: dict[str, Callable[[bytes], None]] = {
    "bundle": fuzz_bundle,
    "statement": fuzz_statement,
    "content": functools.partial(_fuzz_record, Content),
    "evidence": functools.partial(_fuzz_record, Evidence),
    "plan": functools.partial(_fuzz_record, Plan),
    "seal": functools.partial(_fuzz_record, Seal),
    "allowed_signers": fuzz_allowed_signers,
    "public_key": fuzz_public_key,
    "yaml": fuzz_yaml,
    "jsonl": fuzz_jsonl,
    "csv": fuzz_csv,
}
JSON_TARGETS = frozenset({"bundle", "statement", "content", "evidence", "plan", "seal"})


# -- what fuzzing begins with -----------------------------------------------------------------------------------------


def seeds(target: str) -> list[bytes]:
    """Inputs that the target accepts."""
    import make_records  # noqa: PLC0415

    if target in JSON_TARGETS:
        said, measured = make_records.rich_case()
        plan, seal = make_records.batch({measured.case_id: (said, measured)})
        records = {"content": said, "evidence": measured, "plan": plan, "seal": seal}
        if target in records:
            return [canonical(records[target])]
        statements = [Statement((("x", "00" * 32),), record) for record in (plan, seal, summary(said, measured))]
        payloads = [encode(statement) for statement in statements]
        return payloads if target == "statement" else [sign(payload, KEY) for payload in payloads]
    return _TEXTS[target]()


def _signers() -> list[bytes]:
    options = ("", 'namespaces="attn-audit@v1" ', 'valid-after="20260101Z",valid-before="20270101000000Z" ')
    return [f"audit@bank.example,*@x.example {option}{_public()} note\n# end\n".encode() for option in options]


def _public() -> str:
    key = KEY.private.public_key()
    return key.public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).decode()


def _pem() -> bytes:
    return KEY.private.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


_LINES = b"""\
{"batch": {"title": "T", "settings": {"threads": 2}}}
{"id": "a1", "template": "Income {income}.", "fields": {"income": "12"}, "max_new_tokens": 5}
{"id": "a2", "prompt": "Hi there", "units": [{"name": "u", "pattern": "H."}], "decision": "yes"}
"""
_TEXTS: dict[str, Callable[[], list[bytes]]] = {
    "allowed_signers": _signers,
    "public_key": lambda: [_pem(), _public().encode()],
    "yaml": lambda: [path.read_bytes() for path in sorted(SAMPLES.glob("*.yaml"))],
    "jsonl": lambda: [_LINES],
    "csv": lambda: [b'id,income,job\nx1,4200,"nurse, ""senior"""\r\n\r\nx2,900,"two\nlines"\n'],
}


# -- mutations that stay JSON -----------------------------------------------------------------------------------------

_SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**53 - 1, 2**53, -(2**63), 10**400, 0.0, -0.5, 1e-300, 1e308, 1e16),
    *("", "x", "0" * 64, "html", "\u202e", "\ud800", "a/../b", "word", "attn-audit.plan/2", [], {}, [[]], {"a": None}),
)


def mutated(value: Any, chance: random.Random) -> Any:
    """The JSON value with one place exchanged, removed, doubled or moved."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.02:
        return _other(value, chance)
    copy = dict(value) if isinstance(value, dict) else list(value)
    at = chance.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
    if chance.random() < 0.8:
        copy[at] = mutated(copy[at], chance)
    elif chance.random() < 0.5:
        del copy[at]
    elif isinstance(copy, dict):
        copy[f"{at}x"[chance.randrange(2) :]] = copy[at]
    else:
        copy.insert(at, copy[chance.randrange(len(copy))])
    return copy


def _other(value: Any, chance: random.Random) -> Any:
    if isinstance(value, str) and value and chance.random() < 0.5:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice('0aZ .,/"\\\u0301\U0001f600') + value[at + 1 :]
    if isinstance(value, int | float) and abs(value) < 2**60 and chance.random() < 0.5:
        return value + chance.choice([1, -1, 0.5, 1e-9])
    return chance.choice(_SCALARS)


def mutate_json(target: str, data: bytes, seed: int) -> bytes | None:
    """The same JSON with a change and in its canonical encoding; None where it is none, or has none."""
    chance = random.Random(seed)
    try:
        value = mutated(json.loads(data), chance)
        if target == "bundle" and chance.random() < 0.5:
            value["dsseEnvelope"]["payload"] = base64.b64encode(chance.randbytes(chance.randrange(9))).decode()
        return canonical(value)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def main() -> None:
    import atheris  # noqa: PLC0415

    target = sys.argv.pop(1)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        if target in JSON_TARGETS and seed % 4 and (changed := mutate_json(target, data, seed)) is not None:
            return changed[:size]
        return bytes(atheris.Mutate(data, size))

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(target)):
            (Path(corpus) / f"seed{number}").write_bytes(seed)
        defaults = ("-max_len=65536", "-len_control=0", "-print_final_stats=1")
        arguments = [sys.argv[0], *defaults, *sys.argv[1:], corpus]
        atheris.Setup(arguments, TARGETS[target], custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
