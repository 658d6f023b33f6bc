"""Attacks on the batch: cases dropped, added, exchanged; and on what a run is given and where it writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import audits
from attacks.scene import Command, Scene, Table
from attn_audit.evidence.sums import write_sums
from attn_audit.redact import redact

REPEATED = '{"id": "a1", "prompt": "x"}\n{"id": "A1", "prompt": "y"}\n'
ATTACKS = Table()
attack = ATTACKS.row


@attack(16, 22, "its folder is missing")
def case_dropped(scene: Scene) -> None:
    shutil.rmtree(scene.audit.case("second"))


@attack(16, 22, "every planned case once")
def case_dropped_and_sealed_again(scene: Scene) -> None:
    shutil.rmtree(scene.audit.case("second"))
    cases = tuple(case for case in audits.seal_of(scene.audit.out).cases if case.id != "second")
    audits.reseal(scene.audit.out, scene.audit.private, cases=cases, ok=2)


@attack(17, 22, "is not one of the sealed cases")
def case_added(scene: Scene) -> None:
    shutil.copytree(scene.first, scene.audit.case("fourth"))


@attack(18, 22, "in the planned order")
def cases_reordered(scene: Scene) -> None:
    audits.reseal(scene.audit.out, scene.audit.private, cases=audits.seal_of(scene.audit.out).cases[::-1])


@attack(18, 22, "measured in another run")
def case_exchanged_for_that_of_another_run(scene: Scene) -> None:
    shutil.rmtree(scene.audit.case("second"))
    shutil.copytree(scene.other.case("second"), scene.audit.case("second"))


@attack(19, 0, "self-declared")
def run_twice(scene: Scene) -> Command:
    return scene.verify(scene.other.out)


@attack(21, 22, "closes another plan")
def seal_of_another_audit(scene: Scene) -> None:
    shutil.copyfile(scene.other.out / "seal.sigstore.json", scene.seal)


@attack(20, 3, "WITHHELD since")
def content_withheld_in_plain_sight(scene: Scene) -> None:
    redact(scene.audit.out, "second", "why", scene.audit.private, scene.later)


@attack(20, 20, "content.json is missing")
def content_withheld_in_silence(scene: Scene) -> None:
    (scene.first / "content.json").unlink()
    write_sums(scene.audit.out, scene.audit.private)


@attack(22, 22, "not byte for byte the planned file")
def case_file_changed_after_the_run(scene: Scene) -> Command:
    return scene.expecting(audits.THREE_CASES + "# afterwards\n")


@attack(22, 22, "is another question")
def question_changed_after_the_run(scene: Scene) -> Command:
    return scene.expecting(audits.THREE_CASES.replace("is low", "is very low"))


@attack(23, 2, "repeats")
def ids_equal_after_case_folding(scene: Scene) -> Command:
    (scene.folder / "cases.jsonl").write_text(REPEATED)
    return ("run", scene.folder / "cases.jsonl", "--model", scene.model, "--out", scene.folder / "new")


# -- input and host ---------------------------------------------------------------------------------------------------


@attack(50, 20, "is a link")
def link_planted(scene: Scene) -> None:
    (scene.first / "extra").symlink_to("/etc/hostname")


@attack(50, 20, "extra file 'copy.json'")
def hard_link_planted(scene: Scene) -> None:
    (scene.first / "copy.json").hardlink_to(scene.first / "content.json")


@attack(50, 2, "neither an audit folder")
def zipped(scene: Scene) -> Command:
    return scene.verify(Path(shutil.make_archive(str(scene.folder / "audit"), "zip", scene.audit.out)))


@attack(51, 2, "can be read by others")
def key_that_others_can_read(scene: Scene) -> Command:
    key = scene.folder / "key"
    shutil.copyfile(scene.audit.key, key)
    key.chmod(0o644)
    return ("run", "--prompt", "x", "--model", scene.model, "--key", key, "--out", scene.folder / "new")


@attack(51, 2, "--passphrase")
def passphrase_as_an_argument(scene: Scene) -> Command:
    return ("keygen", scene.folder / "new", "--identity", audits.PRINCIPAL, "--passphrase", "secret")


@attack(53, 2, "exists already")
def second_run_on_one_folder(scene: Scene) -> Command:
    return ("run", "--prompt", "x", "--model", scene.model, "--out", scene.audit.out)
