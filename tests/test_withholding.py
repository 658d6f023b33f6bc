"""The content of a case withheld, and one case handed over alone: what is left verifies, and says what it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import audits
import make_records
from attn_audit.evidence.digest import canonical, sha256
from attn_audit.evidence.envelope import Statement, sign
from attn_audit.evidence.errors import EvidenceError, UsageError
from attn_audit.evidence.keys import SigningKey
from attn_audit.evidence.measured import Evidence
from attn_audit.evidence.records import Content
from attn_audit.evidence.statements import Redaction, redaction_subjects
from attn_audit.evidence.sums import write_sums
from attn_audit.evidence.trust import TrustedKey, read_allowed_signers
from attn_audit.redact import redact
from attn_audit.reports import html, pdf
from attn_audit.verify import verify
from audits import Audit
from command_line import completed as command

LATER = audits.host("later", audits.START.replace(hour=20))
WITHHELD = ("evidence.json", "attestation.sigstore.json", "redaction.sigstore.json")


@pytest.fixture(scope="module")
def redacted(made_audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The signed audit with the content of its second case withheld, by the command: do not change it."""
    copy = made_audit.copied_to(tmp_path_factory.mktemp("redacted") / "audit")
    done = command("redact", copy.out, "--case", "second", "--key", copy.key, "--reason", "erasure asked for, ticket 7")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(copy.out)
    return copy


@pytest.fixture
def victim(redacted: Audit, tmp_path: Path) -> Audit:
    return redacted.copied_to(tmp_path / "redacted")


def test_attack_20_withheld_content_is_signed_and_counted(redacted: Audit) -> None:
    done = command("verify", redacted.out, "--trust", redacted.signers)
    assert done.returncode == 3, done.stdout
    assert "VERIFIED, CONTENT WITHHELD" in done.stdout
    assert "1 of 3 cases hold no content any more" in " ".join(done.stdout.split())
    found = audits.report(redacted)
    assert audits.failures(found) == {}
    assert set(found.cases) == {"first", "third"}
    assert set(found.withheld) == {"second"}
    [said] = [check.detail for check in found.checks if check.name == "content"]
    assert "WITHHELD since 2026" in said
    assert said.endswith(f"by {audits.PRINCIPAL}: erasure asked for, ticket 7")
    alone = verify(redacted.case("second"), read_allowed_signers(redacted.signers))
    assert alone.exit_code == 3


def test_no_text_of_the_case_is_left_anywhere(redacted: Audit, made_audit: Audit) -> None:
    assert {path.name for path in redacted.case("second").iterdir()} == set(WITHHELD)
    content = audits.content_of(made_audit.case("second"))
    texts = [content.case.messages[0].content, content.prompt.rendered, content.answer.text, content.salt]
    own = {audits.content_of(made_audit.case(name)).answer.text for name in ("first", "third")}
    for path in (path for path in redacted.out.rglob("*") if path.is_file()):
        data = path.read_bytes().decode("utf-8", "replace")
        assert not any(text in data for text in texts if text.strip() and text not in own), path


def test_the_pages_say_so(redacted: Audit) -> None:
    index = " ".join((redacted.out / "index.html").read_text().split())
    assert "The content of 1 case is withheld." in index
    assert "Content withheld" in index
    assert "erasure asked for, ticket 7" in index
    assert "cases/second/report" not in index
    page = " ".join((redacted.out / "VERIFY.md").read_text().split())
    assert "ticket 7" not in page, "a page of commands is no place for what somebody wrote"
    assert "The content of `second` is withheld by `audit@bank.example` since" in page
    assert "`evidence.json` must appear, and content.json, report.html" in page


def test_show_and_replay_speak_of_the_others(redacted: Audit) -> None:
    done = command("show", redacted.out, "--top", "3")
    assert done.returncode == 0
    assert "second: content withheld" in " ".join((done.stdout + done.stderr).split())
    assert command("show", redacted.out, "--case", "second").returncode == 2


def test_what_is_withheld_cannot_be_withheld_again(redacted: Audit) -> None:
    done = command("redact", redacted.out, "--case", "second", "--key", redacted.key)
    assert done.returncode == 2
    assert "is withheld already" in done.stderr


def test_all_of_them_one_after_the_other(audit: Audit) -> None:
    for count, case_id in enumerate(("third", "first", "second"), start=1):
        redact(audit.out, case_id, None, audit.private, LATER)
        found = audits.report(audit)
        assert (found.exit_code, audits.failures(found), len(found.withheld)) == (3, {}, count)
    assert "no reason is stated" in (audit.out / "index.html").read_text()


def test_somebody_else_may_withhold(audit: Audit, tmp_path: Path) -> None:
    """A data protection officer, whom the reader trusts too; a reader who does not trusts the whole no more."""
    officer = Audit(tmp_path, audits.key(tmp_path, "officer", "privacy@bank.example")).private
    redact(audit.out, "first", None, officer, LATER)
    assert audits.report(audit).exit_code == 21
    both = (*read_allowed_signers(audit.signers), TrustedKey(officer.private.public_key(), ("privacy@bank.example",)))
    found = verify(audit.out, both)
    assert (found.exit_code, audits.failures(found)) == (3, {})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--case", "fourth"), "has no finished, signed case 'fourth'"),
        (("--case", "../second"), "has no finished, signed case"),
        (("--case", "second"), "this must be signed"),
    ],
)
def test_redactions_that_are_refused(made_audit: Audit, arguments: tuple[str, ...], sentence: str) -> None:
    key = () if arguments == ("--case", "second") else ("--key", made_audit.key)
    done = command("redact", made_audit.out, *arguments, *key)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_withheld_from_an_audit_that_was_changed(audit: Audit) -> None:
    audits.flipped(audit.case("first") / "report.html", 1000, 1)
    before = audit.case("second") / "content.json"
    done = command("redact", audit.out, "--case", "second", "--key", audit.key)
    assert done.returncode == 20
    assert "nothing was withheld" in done.stderr
    assert before.exists()


def test_attack_52_a_redaction_that_was_killed_while_it_wrote(audit: Audit) -> None:
    (audit.case("second") / ".pending-redaction.sigstore.json").write_bytes(b"half")
    redact(audit.out, "second", None, audit.private, LATER)
    assert (audits.report(audit).exit_code, audits.failures(audits.report(audit))) == (3, {})


def test_attack_56_a_redaction_by_a_clock_that_lags_behind(audit: Audit) -> None:
    early = audits.host("early", audits.START.replace(year=2020))
    for case_id in ("second", "first"):
        redact(audit.out, case_id, None, audit.private, early)
        assert (audits.report(audit).exit_code, audits.failures(audits.report(audit))) == (3, {})


def test_a_redaction_by_another_key_is_finished_or_taken_over(audit: Audit, made_audit: Audit, tmp_path: Path) -> None:
    officer = Audit(tmp_path, audits.key(tmp_path, "officer", "privacy@bank.example")).private
    redact(audit.out, "second", "erasure", officer, LATER)
    shutil.copyfile(made_audit.case("second") / "content.json", audit.case("second") / "content.json")
    redact(audit.out, "second", None, officer, LATER)
    assert not (audit.case("second") / "content.json").exists()
    with pytest.raises(UsageError, match="is withheld already"):
        redact(audit.out, "second", None, officer, LATER)
    said = redact(audit.out, "second", None, audit.private, LATER)
    assert (said.signer.principal, said.reason) == (audits.PRINCIPAL, "erasure")
    assert (audits.report(audit).exit_code, audits.failures(audits.report(audit))) == (3, {})


def test_no_salts_are_left_beside_an_audit_whose_run_was_stopped(audit: Audit) -> None:
    salts = audit.out.with_name(audit.out.name + ".salts")
    salts.write_bytes(b"{}")
    redact(audit.out, "second", None, audit.private, LATER)
    assert not salts.exists()


def test_a_key_that_is_not_valid_any_more_signs_nothing(audit: Audit, tmp_path: Path) -> None:
    old = audits.key(tmp_path, "old")
    signers = old.with_name("old.allowed_signers")
    signers.write_text(signers.read_text().replace("namespaces=", 'valid-before="20200101Z",namespaces='))
    done = command("redact", audit.out, "--case", "second", "--key", old)
    assert done.returncode == 2
    assert "says that the key is not valid now" in done.stderr
    assert (audit.case("second") / "content.json").exists()


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 501, "\x1b[2J"])
def test_reasons_that_are_refused(audit: Audit, reason: str) -> None:
    done = command("redact", audit.out, "--case", "second", "--key", audit.key, "--reason", reason)
    assert done.returncode == 2
    assert "the reason is refused" in done.stderr
    assert (audit.case("second") / "content.json").exists()


def test_what_is_no_whole_audit_is_not_redacted(made_audit: Audit, tmp_path: Path) -> None:
    assert command("extract", made_audit.out, tmp_path / "alone", "--case", "first").returncode == 0
    done = command("redact", tmp_path / "alone", "--case", "first", "--key", made_audit.key)
    assert done.returncode == 2
    assert "is not a whole, signed and sealed audit" in done.stderr
    assert command("extract", made_audit.out, made_audit.out / "sub", "--case", "first").returncode == 2
    assert audits.report(made_audit).exit_code == 0


@pytest.mark.parametrize("done", ["the statement", "some of the files", "all but the list"])
def test_attack_52_a_redaction_that_was_cut_off_is_finished_by_the_next(
    audit: Audit, made_audit: Audit, done: str
) -> None:
    redact(audit.out, "second", "why", audit.private, LATER)
    for name in ("content.json", "report.html", "report.pdf") if done == "the statement" else ("report.html",):
        if done != "all but the list" and (made_audit.case("second") / name).exists():
            shutil.copyfile(made_audit.case("second") / name, audit.case("second") / name)
    (audit.out / "SHA256SUMS").unlink()
    assert audits.report(audit).exit_code == 20
    said = redact(audit.out, "second", None, audit.private, LATER)
    assert said.reason == "why", "what was signed stands"
    found = audits.report(audit)
    assert (found.exit_code, audits.failures(found)) == (3, {})


# -- forged -----------------------------------------------------------------------------------------------------------


def restate(audit: Audit, private: SigningKey, **changes: Any) -> None:
    """The redaction again with these changes, signed, and a fresh list."""
    folder = audit.case("second")
    said = audits.changed(audits.opened(folder / WITHHELD[2], Redaction).predicate, **changes)
    subjects = redaction_subjects("second", (folder / WITHHELD[1]).read_bytes())
    audits.put(folder / WITHHELD[2], Statement(subjects, said), private)
    write_sums(audit.out, private)


FORGED: dict[str, Callable[[Audit], object]] = {
    "no statement": lambda audit: (audit.case("second") / WITHHELD[2]).unlink(),
    "no evidence": lambda audit: (audit.case("second") / "evidence.json").unlink(),
    "no attestation": lambda audit: (audit.case("second") / WITHHELD[1]).unlink(),
    "the statement of another case": lambda audit: shutil.copyfile(
        audit.case("second") / WITHHELD[2], audit.case("first") / WITHHELD[2]
    ),
    "another case's name": lambda audit: restate(audit, audit.private, case_id="first"),
    "files that were not withheld": lambda audit: restate(audit, audit.private, withheld=("content.json",)),
    "before the seal": lambda audit: restate(audit, audit.private, created="2026-11-22T09:00:01Z"),
    "a time that is none": lambda audit: restate(audit, audit.private, created="yesterday"),
    "a content that is still there": lambda audit: (audit.case("second") / "content.json").write_bytes(b"{}"),
    "evidence changed": lambda audit: audits.flipped(audit.case("second") / "evidence.json", 300, 1),
    "another reason on the page": lambda audit: (
        (audit.out / "index.html").write_text((audit.out / "index.html").read_text().replace("ticket 7", "ticket 8")),
        write_sums(audit.out, audit.private),
    ),
    "an unsigned statement": lambda audit: (audit.case("second") / "redaction.unsigned.json").write_bytes(b"{}"),
}


@pytest.mark.parametrize("name", FORGED)
def test_attack_20_redactions_that_do_not_hold(victim: Audit, name: str) -> None:
    FORGED[name](victim)
    found = audits.report(victim)
    assert found.exit_code in {20, 22}, audits.failures(found)


def test_attack_20_content_removed_without_a_word(audit: Audit) -> None:
    for name in ("content.json", "report.html"):
        (audit.case("first") / name).unlink()
    write_sums(audit.out, audit.private)
    assert audits.report(audit).exit_code == 20


def test_attack_05_a_redaction_by_somebody_unknown(audit: Audit, tmp_path: Path) -> None:
    forger = Audit(tmp_path, audits.key(tmp_path, principal="forger@elsewhere.example")).private
    redact(audit.out, "second", None, forger, LATER)
    found = audits.report(audit)
    assert found.exit_code == 21
    assert ("second", "signature of redaction.sigstore.json") in audits.failures(found)


def test_attack_15_withheld_numbers_are_computed_again_as_far_as_they_go(audit: Audit) -> None:
    evidence = audits.evidence_of(audit.case("second"))
    audits.recase(audit.case("second"), audit.private, evidence={"relevance": evidence.relevance[::-1]})
    audits.reseal(audit.out, audit.private)
    with pytest.raises(EvidenceError, match="relevance does not follow"):
        redact(audit.out, "second", None, audit.private, LATER)
    attestation = (audit.case("second") / WITHHELD[1]).read_bytes()
    said = Redaction(
        tool=evidence.tool,
        created=LATER.now(),
        signer=audit.private.signer,
        case_id="second",
        withheld=tuple(
            name for name in ("content.json", "report.html", "report.pdf") if (audit.case("second") / name).exists()
        ),
        reason=None,
    )
    audits.put(
        audit.case("second") / WITHHELD[2], Statement(redaction_subjects("second", attestation), said), audit.private
    )
    for name in said.withheld:
        (audit.case("second") / name).unlink()
    found = audits.report(audit)
    assert "the relevance does not follow" in audits.failures(found)["second", "numbers"]
    assert found.exit_code == 20


# -- one case alone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case_id", ["first", "second"])
def test_one_case_is_handed_over_with_plan_and_seal(redacted: Audit, tmp_path: Path, case_id: str) -> None:
    done = command("extract", redacted.out, tmp_path / "alone", "--case", case_id)
    assert done.returncode == 0, done.stderr
    alone = Audit(tmp_path / "alone", redacted.key)
    assert not (alone.out / "index.html").exists(), "it quotes the other cases"
    found = audits.report(alone)
    assert audits.failures(found) == {}
    assert found.exit_code == (3 if case_id == "second" else 0)
    assert any(check.name == "one case" and "1 of 3" in check.detail for check in found.checks)
    verified = command("verify", alone.out, "--trust", alone.signers)
    assert ("VERIFIED, ONE CASE" in verified.stdout) == (case_id == "first")
    again = command("extract", redacted.out, tmp_path / "alone", "--case", case_id)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_no_digest_is_left_that_a_text_could_be_tried_against(audit_with_pdf: Audit, tmp_path: Path) -> None:
    """Whoever guesses the text can draw the same pages, but for the salt: its digest must not tell that he is right."""
    audit = audit_with_pdf
    case_id = sorted(path.name for path in (audit.out / "cases").iterdir())[0]
    content, evidence = audits.content_of(audit.case(case_id)), audits.evidence_of(audit.case(case_id))
    stored = {name: (audit.case(case_id) / name).read_bytes() for name in ("report.html", "report.pdf")}
    index = (audit.out / "index.html").read_bytes()
    redact(audit.out, case_id, None, audit.private, LATER)
    guessed = audits.changed(content, salt="00" * 32)
    assert html.report(content, evidence) == stored["report.html"]
    assert html.report(guessed, evidence) != stored["report.html"]
    assert pdf.report(content, evidence) == stored["report.pdf"]
    assert pdf.report(guessed, evidence) != stored["report.pdf"]
    assert content.salt.encode() not in b"".join(p.read_bytes() for p in audit.out.rglob("*") if p.is_file())
    plan, seal = audits.plan_of(audit.out), audits.seal_of(audit.out)
    others = {case.id: (guessed, evidence) if case.id == case_id else measured(audit, case.id) for case in seal.cases}
    assert make_records.index_page(make_records.sealed(plan, seal, others)) != index


def measured(audit: Audit, case_id: str) -> tuple[Content, Evidence]:
    return audits.content_of(audit.case(case_id)), audits.evidence_of(audit.case(case_id))


def test_no_text_of_the_other_cases_is_handed_over(made_audit: Audit, tmp_path: Path) -> None:
    assert command("extract", made_audit.out, tmp_path / "alone", "--case", "first").returncode == 0
    texts = [audits.content_of(made_audit.case(name)).case.messages[0].content for name in ("second", "third")]
    for path in (path for path in (tmp_path / "alone").rglob("*") if path.is_file()):
        assert not any(text in path.read_bytes().decode("utf-8", "replace") for text in texts), path


ALONE: dict[str, tuple[Callable[[Audit, Audit], object], set[int]]] = {
    "another case": (lambda alone, whole: alone.case("first").rename(alone.case("second")), {22}),
    "a case of no plan": (lambda alone, whole: alone.case("first").rename(alone.case("fourth")), {22}),
    "two cases": (lambda alone, whole: shutil.copytree(whole.case("second"), alone.case("second")), {22}),
    "none": (lambda alone, whole: shutil.rmtree(alone.case("first")), {22}),
    "no seal": (lambda alone, whole: (alone.out / "seal.sigstore.json").unlink(), {20}),
    "a file more": (lambda alone, whole: (alone.out / "note.txt").write_text("x"), {20}),
    "a changed file": (lambda alone, whole: audits.flipped(alone.case("first") / "report.html", 1000, 1), {20}),
    "a page of other commands": (lambda alone, whole: (alone.out / "VERIFY.md").write_text("curl x | sh"), {20}),
}


@pytest.mark.parametrize("name", ALONE)
def test_attack_18_a_case_alone_that_was_tampered_with(made_audit: Audit, tmp_path: Path, name: str) -> None:
    assert command("extract", made_audit.out, tmp_path / "alone", "--case", "first").returncode == 0
    alone = Audit(tmp_path / "alone", made_audit.key)
    change, codes = ALONE[name]
    change(alone, made_audit)
    assert audits.report(alone).exit_code in codes


def test_attack_16_a_batch_cut_down_to_one_case_is_told_from_the_whole(made_audit: Audit, tmp_path: Path) -> None:
    """What is left of a batch can be made to look like what extract hands over: it says so, and is not all cases."""
    assert command("extract", made_audit.out, tmp_path / "alone", "--case", "first").returncode == 0
    (tmp_path / "cases.yaml").write_text(audits.THREE_CASES)
    verifying = ("verify", tmp_path / "alone", "--trust", made_audit.signers)
    assert "VERIFIED, ONE CASE" in command(*verifying).stdout
    for path in (tmp_path / "alone", tmp_path / "alone/cases/first"):
        done = command("verify", path, "--trust", made_audit.signers, "--expect-cases", tmp_path / "cases.yaml")
        assert done.returncode == 22
        assert "one case is here, cases.yaml has 3" in " ".join(done.stdout.split())
    lone = command("verify", made_audit.case("first"), "--trust", made_audit.signers)
    assert "VERIFIED, ONE CASE" in lone.stdout


@pytest.mark.parametrize("case_id", ["fourth", "..", "../cases/first"])
def test_extracts_that_are_refused(made_audit: Audit, tmp_path: Path, case_id: str) -> None:
    done = command("extract", made_audit.out, tmp_path / "alone", "--case", case_id)
    assert done.returncode == 2
    assert "has no finished case" in done.stderr
    assert not (tmp_path / "alone").exists()


def test_signing_a_redaction_is_signing(redacted: Audit) -> None:
    with pytest.raises(UsageError):
        redact(redacted.out, "second", None, redacted.private, LATER)
    data = (redacted.case("second") / WITHHELD[2]).read_bytes()
    assert data == sign(
        audits.encode(audits.opened(redacted.case("second") / WITHHELD[2], Redaction)), redacted.private
    )


@pytest.mark.model
def test_a_real_case_is_handed_over_and_withheld(real_audit: Audit, tmp_path: Path) -> None:
    copy = real_audit.copied_to(tmp_path / "audit")
    case_id = sorted(path.name for path in (copy.out / "cases").iterdir())[0]
    salt = audits.content_of(copy.case(case_id)).salt
    assert command("extract", copy.out, tmp_path / "alone", "--case", case_id).returncode == 0
    assert command("redact", copy.out, "--case", case_id, "--key", copy.key).returncode == 0
    assert not any(salt.encode() in path.read_bytes() for path in copy.out.rglob("*") if path.is_file())
    assert command("verify", copy.out, "--trust", copy.signers).returncode == 3
    assert command("verify", tmp_path / "alone", "--trust", copy.signers).returncode == 0, (
        "an earlier copy is untouched"
    )


def test_who_guesses_the_question_cannot_tell_from_the_plan_that_he_is_right(made_audit: Audit) -> None:
    """The plan, which goes with every case that is handed over, knows all cases; by digests that take a salt."""
    plan = audits.plan_of(made_audit.out)
    for planned in plan.cases:
        content = audits.content_of(made_audit.case(planned.id))
        assert planned.digest == sha256(bytes.fromhex(content.salt) + canonical(content.case))
        assert planned.digest != sha256(canonical(content.case))
