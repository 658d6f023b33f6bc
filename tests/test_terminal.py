"""What the terminal shows: the same as kept, within its width, in any language, and nobody else's commands."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

import make_records as make
import terminal_views as views
import test_index
from attn_audit.batch.order import Finished
from attn_audit.cli import ending
from attn_audit.cli.console import stdout
from attn_audit.evidence.measured import Warn
from attn_audit.evidence.records import Message
from attn_audit.reports.terminal_ending import ROWS, ended_rows, ending_table, most_in_need
from attn_audit.reports.text import LOG_COMMANDS

GOLDEN = Path(__file__).parent / "golden" / "terminal"
OWN = re.compile(r"\x1b\[[0-9;]*m")  # what Rich writes for colours, and no more
SEQUENCES = (
    "\x1b[2J\x1b[H \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x1b]52;c;aGk=\x07 \x1bP1q\x1b\\ "
    "\x9b31m \x9d0;t\x9c \r\x08\x7f [red]bold[/red] [link=http://evil.example]here[/link] :warning: {~x~} {… 9 …}"
)
MARKUP = ("[red]bold[/red]", "[link=http://evil.example]here[/link]", ":warning:")


@pytest.mark.parametrize("name", sorted(views.VIEWS))
def test_the_view_is_as_kept(name: str) -> None:
    """`make golden` writes them anew; read the diff before you keep it."""
    assert views.VIEWS[name]() == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_no_kept_view_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(views.VIEWS)


@pytest.mark.parametrize("colour", [None, "truecolor"])
@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", sorted(views.CASES))
def test_no_line_is_wider_than_the_terminal(name: str, width: int, colour: Any) -> None:
    drawn = OWN.sub("", views.shown(views.CASES[name](), width, colour=colour))
    assert max(cell_len(line) for line in drawn.splitlines()) <= width


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_ending_is_not_wider_than_the_terminal(width: int) -> None:
    assert max(cell_len(line) for line in views.ended(width).splitlines()) <= width


@pytest.mark.parametrize("name", sorted(views.CASES))
def test_colours_add_nothing_that_cannot_be_read_without(name: str) -> None:
    case = views.CASES[name]()
    assert OWN.sub("", views.shown(case, colour="truecolor")) == views.shown(case)


def test_every_colour_of_a_background_states_that_of_its_text() -> None:
    """So that it reads the same on dark and on light terminals."""
    drawn = views.shown(make.rich_case(), colour="truecolor")
    found = [codes for codes in re.findall(r"\x1b\[([0-9;]*)m", drawn) if "48;2" in codes]
    assert found
    assert all("38;2;0;0;0" in codes for codes in found)


def test_the_order_is_that_of_page_one() -> None:
    content, evidence = make.rich_case()
    drawn = views.shown((content, evidence))
    said = (
        "SUPPLIED answer",
        "What drove it most",
        "Can this be relied on?",
        "near-certain",
        "NOT COMPARABLE",
        "Who vouches for it",
        "TEST KEY",
        "Heat-map.",
        "Ranking",
    )
    places = [drawn.index(words) for words in said]
    assert places == sorted(places)


def test_a_policy_that_fails_stands_above_one_that_holds() -> None:
    drawn = views.shown(make.rich_case())
    assert (
        drawn.index("BROKEN") < drawn.index("NOT COMPARABLE") < drawn.index("names nothing") < drawn.index("income d")
    )


def test_figures_stand_left_of_every_text() -> None:
    """A terminal that draws a text wider than expected moves nothing but the end of the line."""
    for name, case in views.CASES.items():
        for line in views.shown(case()).splitlines():
            assert not re.search(r"‹.*›.* {2,}[+−]\d+\.\d{3}", line), (name, line)
            assert not re.search("[│┐┘]", line[1:]), (name, line)


def test_the_middle_of_a_long_text_is_left_out_and_counted() -> None:
    content, evidence = views.long()
    drawn = " ".join(views.shown((content, evidence)).split())
    assert "without a bracket are left out" in drawn
    short = test_index.of_text(test_index.long_text(300), make.STEPS)
    assert "are left out" not in views.shown(short)
    body = drawn.split("Heat-map.")[1]
    assert re.findall(r"\[(word\d+)", body) == ["word5", "word300", "word301", "word900"]
    left_out = sum(int(count.replace(",", "")) for count in re.findall(r"\{… ([\d,]+) characters …\}", body)[1:])
    kept = sum(len(word) + 1 for word in re.findall(r"\bword\d+\b", body.split("Ranking")[0]))
    assert abs(left_out + kept - len(content.case.messages[0].content)) < 100


@pytest.mark.parametrize("colour", [None, "truecolor"])
@pytest.mark.parametrize("draw", ["show", "run"])
def test_attack_39_no_sequence_of_the_case_reaches_the_terminal(draw: str, colour: Any) -> None:
    content = make.content(
        [Message(role="user", content=f"Pay {SEQUENCES} now.")],
        f"Yes {SEQUENCES}.",
        case={"id": "loan-1", "notes": SEQUENCES},
        own_answer=SEQUENCES,
    )
    evidence = make.evidence(
        content,
        model=make.model(f"model {SEQUENCES}"),
        signer=make.SIGNER.model_copy(update={"principal": SEQUENCES}),
        warnings=(Warn(code="near-certain", sentence=SEQUENCES, advice=SEQUENCES),),
        findings=(make.FINDINGS[0].model_copy(update={"policy": SEQUENCES}),),
    )
    _, seal = make.batch({"loan-1": (content, evidence)}, failed={f"bad {SEQUENCES}": f"no {SEQUENCES}"})
    table = ending_table(ended_rows(seal, {"loan-1": evidence}), {"loan-1": (content, evidence)})
    drawn = (
        views.shown((content, evidence), 200, colour=colour) if draw == "show" else views.printed(table, 200, colour)
    )
    plain = OWN.sub("", drawn)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain)
    assert "⟨U+001B⟩" in plain
    if draw == "show":
        joined = " ".join(plain.replace("│", " ").split())
        assert all(words in joined for words in MARKUP)


def test_attack_41_no_line_of_a_log_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    content = make.content(
        [Message(role="user", content="::error::x ##[group]y ##vso[task.x]")], "::set-output name=a::b"
    )
    stdout().print(views.case_view(content, make.evidence(content), top=5, verified="x"))
    assert not LOG_COMMANDS.search(capsys.readouterr().out)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_asks_for_no_colour_gets_none(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sink = _Terminal()
    Console(file=sink, width=80).print(views.case_view(*make.rich_case(), top=5, verified="x"))  # type: ignore[arg-type]
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", sink.text) for code in found.split(";")}
    assert codes <= {"0", "1", "2", "3", "4"}, "bold, faint, italic and underlined are no colours"
    assert "[two +1.80]" in OWN.sub("", sink.text)


class _Terminal:
    """A stream that says that it is one."""

    text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


# -- the end of a run -------------------------------------------------------------------------------------------------


def test_the_case_that_needs_a_look_most_is_a_finished_one() -> None:
    sealed = test_index.varied()
    assert most_in_need(ended_rows(sealed.seal, sealed.evidence)) == "rich"
    clean = test_index.clean()
    assert most_in_need(ended_rows(clean.seal, clean.evidence)) == "loan-1"
    empty = test_index.empty()
    assert most_in_need(ended_rows(empty.seal, empty.evidence)) is None


def test_a_log_holds_no_text_of_a_case() -> None:
    assert "Refer the application" in " ".join(views.ended().split())
    assert "Refer" not in views.ended(quoting=False)


def test_of_many_cases_those_that_need_a_look_are_listed() -> None:
    cases = {f"c-{n:03}": test_index.case(f"c-{n:03}", "supported") for n in range(ROWS + 20)}
    cases["c-050"] = test_index.case("c-050", "not supported")
    _, seal = make.batch(cases, failed={"bad": "out of memory"})
    evidence = {case_id: evidence for case_id, (_, evidence) in cases.items()}
    drawn = views.printed(ending_table(ended_rows(seal, evidence), cases), 80)
    assert all(words in drawn for words in ("c-050", "bad", "out of memory", "index.html leads to the other 21"))
    assert drawn.count("“Refer") == ROWS - 1
    assert drawn.index("c-000") < drawn.index("c-050") < drawn.index("bad"), "in the order of the batch"


def test_the_next_commands_are_such_as_a_shell_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = test_index.varied()
    monkeypatch.setattr(ending, "stored_evidence", lambda *_: sealed.evidence)
    finished = Finished(Path("my audit/$x"), sealed.seal)
    monkeypatch.setattr(sys, "platform", "linux")
    ending.conclude(finished, True, Path("a key"))
    said = capsys.readouterr().err
    assert [shlex.split(line) for line in re.findall("next: (.*)", said)] == [
        ["attn-audit", "verify", "my audit/$x", "--trust", "a key.allowed_signers"],
        ["attn-audit", "show", "my audit/$x", "--case", "rich"],
        ["xdg-open", "my audit/$x/index.html"],
    ]
    ending.conclude(finished, False, None)
    said = capsys.readouterr().err
    assert "UNSIGNED" in said
    assert "next: attn-audit verify" not in said
