"""Write tests/data/format-1/: an audit in the formats of version 1, as an earlier version of the program wrote it.

    .venv/bin/python tools/kept_audit.py

The test of it says whether old evidence still verifies. Once version 0.1.0 is released the folder stays as it is; until
then it is written anew when a format changes. The private key is thrown away.
"""

# ruff: noqa: E402  (the version must be set before anything is imported that takes it)

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import attn_audit

attn_audit.__version__ = "0.0.9"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import audits
import tiny
from attn_audit.redact import redact

TARGET = ROOT / "tests" / "data" / "format-1"
CASES = """\
title: Two loans
settings: {max_new_tokens: 3}
policies:
  - {name: no income, terms: [income], limits: {max_share: 0.05}}
cases:
  - {id: kept, prompt: "The income is high. Is the loan approved?", contrast: It is denied.}
  - id: withheld
    prompt: The income is low. Is the loan approved?
    policies: [{name: the income changes nothing, pair_with: kept, severity: warn}]
"""
EXPORTS = ("junit", "sarif", "csv", "summary")


def main() -> None:
    shutil.rmtree(TARGET, ignore_errors=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        key, model = audits.key(folder), tiny.folder(folder / "tiny")
        made = audits.Audit(audits.make(folder, model, key, cases=CASES, exports=EXPORTS).out, key)
        redact(
            made.out, "withheld", "retention ended", made.private, audits.host("later", audits.START.replace(hour=20))
        )
        made.copied_to(TARGET / "audit")
        shutil.copyfile(made.signers, TARGET / "allowed_signers")
        (TARGET / "cases.yaml").write_text(CASES, encoding="utf-8")


if __name__ == "__main__":
    main()
