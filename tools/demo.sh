#!/usr/bin/env bash
# The first run: a test key, an audit of the sample lending cases, its verification. The last line is a report's path.
# Everything is made under .demo/ and the audit is made anew each time; the key is kept.
set -euo pipefail

attn_audit=.venv/bin/attn-audit
key=.demo/key
out=.demo/audit

step() { echo "== $*" >&2; }

# Pango, and fonts-noto-core for what a case says in other scripts than Latin, Greek and Cyrillic. Only Pango must be.
if ! PYTHON=.venv/bin/python tools/system-packages.sh report && ! .venv/bin/python -c 'import weasyprint' >/dev/null 2>&1; then
    step "No PDF without these packages: the report is made as HTML only"
    formats=html
else
    formats=html,pdf
fi

mkdir -p .demo
if [[ ! -f $key ]]; then
    step "Making a TEST ONLY key: $key"
    rm -f "$key.pub.pem" "$key.allowed_signers"
    "$attn_audit" keygen "$key" --identity "TEST-ONLY@demo.invalid" --no-passphrase >&2
fi

step "Auditing sample_cases/lending.yaml with the small model SmolLM2-135M-Instruct"
rm -rf "$out" "$out.salts"
code=0
"$attn_audit" run sample_cases/lending.yaml --model smollm2 --key "$key" --out "$out" --format "$formats" \
    --junit .demo/junit.xml --sarif .demo/results.sarif --summary .demo/summary.md --fail-on policy || code=$?
case $code in
    0) step "Every policy of the case file holds" ;;
    10)
        step "Exit code 10: a policy of the case file is broken. A CI job would fail here, and reads in .demo/junit.xml"
        grep '<failure' .demo/junit.xml >&2
        ;;
    *) exit "$code" ;;
esac

step "Verifying the audit as a stranger would, with the public key only"
"$attn_audit" verify "$out" --trust "$key.allowed_signers"

step "Done. A signed, verified report; $out/index.html has the batch at a glance:"
echo "$out/cases/driver-8010/report.html"
