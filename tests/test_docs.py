"""README and docs say what the code does: flags, exit codes, settings, warnings, record fields, links and examples.
Their commands are run by tests/test_doc_commands.py."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import docs_tables
import jsonschema
import pytest
from schemas import schemas

import audits
from attn_audit.batch.work import WORKER_MODEL
from attn_audit.cases import SETTINGS, read_cases
from attn_audit.cli.executor import DEFAULT_SPLIT, RAY_PREFIX, SPLIT
from attn_audit.cli.main import BROKEN_PIPE, INTERRUPTED
from attn_audit.cli.run_options import Options
from attn_audit.cli.signing import IDENTITY_VARIABLE, KEY_VARIABLE, MODEL_KEY_VARIABLE, PASSPHRASE_VARIABLE
from attn_audit.evidence.digest import canonical
from attn_audit.evidence.envelope import MEDIA_TYPE, PAYLOAD_TYPE, PREDICATE_TYPES, payload_of
from attn_audit.evidence.errors import AuditError
from attn_audit.evidence.findings import Finding, FindingOutcome, Rule
from attn_audit.evidence.identity import IGNORED, MANIFEST_TYPE
from attn_audit.evidence.measured import (
    Evidence,
    ModelSignature,
)
from attn_audit.evidence.records import (
    Content,
    Limits,
    Policy,
    Record,
)
from attn_audit.evidence.settings import ENVIRONMENT_PREFIX, Settings
from attn_audit.evidence.statements import ExportName
from attn_audit.executors.options import RayOptions
from attn_audit.host import WITH_VALUE, WITHOUT_VALUE
from attn_audit.judge.warnings import WARNINGS
from attn_audit.verify.report import CHANGED, NOT_AS_PLANNED, OTHER_MODEL, UNTRUSTED

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EVIDENCE = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
PREDICATES = (ROOT / "docs/predicates.md").read_text(encoding="utf-8")
METHOD = (ROOT / "docs/method.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = tuple(sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))))
COMMANDS = docs_tables.COMMANDS
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_FOREIGN = re.compile(r"pip install|benchmarks/|ray (job|start|stop)")  # lines with options of other programs
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {heading!r}"
    return found[1]


def first_column(text: str) -> list[str]:
    """The first cell of each row of the tables in ``text``, without back-ticks; headings of tables are left out."""
    cells = re.findall(r"^\| *([^|]*?) *\|", text, re.MULTILINE)
    rules = [index for index, cell in enumerate(cells) if re.fullmatch("-+", cell)]
    skipped = {*rules, *(index - 1 for index in rules)}
    return [cell.strip("`") for index, cell in enumerate(cells) if index not in skipped]


def options(command: Any) -> set[str]:
    return {name for option in command.params for name in option.opts if name.startswith("--")}


def command_lines(text: str) -> Iterator[list[str]]:
    """The words after ``attn-audit`` of each line in a fenced block that begins with it."""
    for block in blocks(text, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["attn-audit"]:
                yield words[1:]


def anchors(page: Path) -> set[str]:
    """What links may name in it, as GitHub makes them of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def subclasses(kind: type[AuditError]) -> Iterator[type[AuditError]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


# -- the command line -------------------------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_code() -> None:
    made = docs_tables.pages()
    assert {path.name for path in made} == {"case-file.md", "commands.md", "settings.md", "threat-model.md"}
    assert {path: path.read_text(encoding="utf-8") for path in made} == made, "run make golden"


def test_every_option_says_what_it_is() -> None:
    """What --help prints, and docs/commands.md with it."""
    for name, command in COMMANDS.items():
        assert command.help, name
        for option in command.params:
            assert (option.help or "").endswith((".", "evidence.json")), (name, option.opts)


def test_every_option_of_run_goes_somewhere() -> None:
    """A flag that is misspelt in run_options.py would be taken, and set nothing."""
    fields = {field.name for field in dataclasses.fields(Options)} - {"settings", "exports"}
    found = {option.name for option in COMMANDS["run"].params}
    assert {*fields, *get_args(ExportName)} <= found <= {*fields, *get_args(ExportName), *Settings.model_fields}


def test_every_option_that_is_mentioned_exists() -> None:
    known = {"--help", "--version"}.union(*map(options, COMMANDS.values()))
    for path in PAGES:
        ours = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not _FOREIGN.search(line))
        assert set(_FLAG.findall(ours)) <= known, path.name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_commands_that_are_shown_parse(page: Path) -> None:
    for words in command_lines(page.read_text(encoding="utf-8")):
        COMMANDS[words[0]].make_context(words[0], words[1:])


def test_commands_are_shown() -> None:
    assert {"run", "verify", "show", "keygen"} <= {words[0] for words in command_lines(README)}


def test_the_exit_codes_are_those_of_the_code() -> None:
    codes = {error.exit_code for error in (AuditError, *subclasses(AuditError))}
    codes |= {0, 1, INTERRUPTED, BROKEN_PIPE, CHANGED, UNTRUSTED, NOT_AS_PLANNED}
    assert [int(cell) for cell in first_column(section(README, "Exit codes"))] == sorted(codes)


def test_the_codes_of_the_checks_are_those_of_verify() -> None:
    rows = re.findall(r"\| (\d+) \|$", section(EVIDENCE, "What verify checks, in order"), re.MULTILINE)
    assert {int(code) for code in rows} == {CHANGED, UNTRUSTED, NOT_AS_PLANNED, OTHER_MODEL}


def test_every_check_that_verify_lists_is_described(made_with_pdf: Any) -> None:
    rows = first_column(section(EVIDENCE, "What verify checks, in order"))
    described = {name for row in rows for name in row.partition(" (")[0].split(", ")}
    found = {check.name for check in audits.report(made_with_pdf).checks if check.outcome != "note"}
    assert {"signature" if name.startswith("signature of ") else name for name in found} <= described


def test_the_variables_are_described() -> None:
    described = set(re.findall(r"`(ATTN_AUDIT_\w+)`", (ROOT / "docs/settings.md").read_text(encoding="utf-8")))
    ours = {PASSPHRASE_VARIABLE, KEY_VARIABLE, IDENTITY_VARIABLE, MODEL_KEY_VARIABLE, ENVIRONMENT_PREFIX + "MODEL"}
    assert described == ours | {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    assert set(Settings.model_fields) <= set(SETTINGS)


def test_the_make_targets_are_those_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(first_column(section(CONTRIBUTING, "Commands"))) == {f"make {target}" for target in targets}


# -- method and evidence ----------------------------------------------------------------------------------------------


def test_the_warnings_are_those_of_the_judge() -> None:
    assert first_column(section(METHOD, "Warnings")) == [warning.code for warning in WARNINGS]


@pytest.mark.parametrize("record", [Content, Evidence, *PREDICATE_TYPES], ids=lambda record: record.__name__)
def test_every_field_of_a_file_is_described(record: type[Record]) -> None:
    described = set(re.findall(r"`(\w+)`", EVIDENCE + PREDICATES))
    assert set(record.model_fields) <= described
    assert record in PREDICATE_TYPES or record.model_fields["format"].default in EVIDENCE


def test_what_is_recorded_of_model_and_machine_is_described() -> None:
    signature = section(EVIDENCE, "The model")
    assert set(ModelSignature.model_fields) <= set(first_column(signature))
    assert set(re.findall(r"`([\w.]+)`", signature)) >= IGNORED
    named = set(re.findall(r"`([A-Z][A-Z0-9_]+[A-Z0-9])`", section(EVIDENCE, "The machine")))
    assert named == {*WITH_VALUE, *WITHOUT_VALUE}


def test_every_type_is_described() -> None:
    types = (*PREDICATE_TYPES.values(), MANIFEST_TYPE)
    assert set(re.findall(r"\| `(\S+:\S+)` \|", section(EVIDENCE, "The statements"))) == set(types)
    for name in (*types, MEDIA_TYPE, PAYLOAD_TYPE):
        assert name in EVIDENCE


def test_the_schemas_are_those_of_the_code() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/schemas").iterdir()}
    assert written == schemas(), "run make golden, and read what changed: a released format must not"


@pytest.mark.parametrize("record", PREDICATE_TYPES, ids=lambda record: record.__name__)
def test_every_predicate_is_described_as_in_toto_asks(record: type[Record]) -> None:
    uri = PREDICATE_TYPES[record]
    sections = re.split(r"^## ", PREDICATES, flags=re.MULTILINE)
    [described] = [text for text in sections if f"Type URI: `{uri}`" in text]
    for part in ("Purpose", "Use cases", "Prerequisites", "Model"):
        assert f"**{part}.**" in described
    fields = {name for cell in first_column(described) for name in re.findall(r"\w+", cell)}
    assert set(record.model_fields) - {"format"} == fields - {"field"}
    [example] = blocks(described, "json")
    assert canonical(record.model_validate_json(example)) == canonical(json.loads(example)), "nothing is left out"
    [schema] = re.findall(r"\(schemas/(\S+)\)", described)
    jsonschema.validate(json.loads(example), json.loads((ROOT / "docs/schemas" / schema).read_text(encoding="utf-8")))


def test_what_is_written_follows_the_schemas(made_audit: Any) -> None:
    def follows(path: Path, name: str) -> None:
        value = json.loads(path.read_bytes())
        if path.name.endswith(".sigstore.json"):
            value = json.loads(payload_of(path.read_bytes(), path.name))["predicate"]
        schema = json.loads((ROOT / "docs/schemas" / f"{name}-1.schema.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(schema).validate(value)

    folder = made_audit.case("first")
    for path, name in (
        (folder / "content.json", "content"),
        (folder / "evidence.json", "evidence"),
        (folder / "attestation.sigstore.json", "case"),
        (made_audit.out / "plan.sigstore.json", "plan"),
        (made_audit.out / "seal.sigstore.json", "seal"),
    ):
        follows(path, name)


# -- examples, links, pictures ----------------------------------------------------------------------------------------


def test_the_example_of_a_case_file_is_read(tmp_path: Path) -> None:
    (example,) = blocks(README, "yaml")
    path = tmp_path / "cases.yaml"
    path.write_text(example, encoding="utf-8")
    (case,) = read_cases(path).cases
    assert [named.name for named in case.named] == ["income", "postcode"]
    assert f"--case {case.id}" in README
    assert f"cases/{case.id}/report.html" in README


def test_the_example_of_policies_is_read(tmp_path: Path) -> None:
    page = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    (example,) = blocks(page, "yaml")
    (tmp_path / "cases.yaml").write_text(example, encoding="utf-8")
    first, second = read_cases(tmp_path / "cases.yaml").cases
    assert len(second.policies) == len(first.policies) + 1
    for record in (Policy, Limits, Finding, Rule):
        assert set(record.model_fields) <= set(re.findall(r"\w+", page)), record
    assert all(f"| {outcome} |" in page for outcome in get_args(FindingOutcome))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """Those to other sites are only looked at, not followed."""
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            assert re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/[\w./@#-]*)?", link), link
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_can_be_found() -> None:
    def links(page: str) -> set[str]:
        return {link.partition("#")[0] for link in _LINK.findall((ROOT / page).read_text("utf-8"))}

    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= links("docs/README.md")
    assert {"docs/README.md", "docs/tutorial.md", "CONTRIBUTING.md", "SECURITY.md"} <= links("README.md")


def test_the_picture_is_small() -> None:
    picture = ROOT / "docs/images/report.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size <= 300_000


# -- the cluster ------------------------------------------------------------------------------------------------------


def test_the_settings_of_the_cluster_are_those_of_the_code() -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    options = {RAY_PREFIX + name.upper() for name in RayOptions.model_fields}
    named = set(first_column(section(page, "Settings of the cluster")))
    assert named == {*options, ENVIRONMENT_PREFIX + "EXECUTOR", SPLIT, WORKER_MODEL}
    assert f"{DEFAULT_SPLIT:,}" in section(page, "Settings of the cluster")
