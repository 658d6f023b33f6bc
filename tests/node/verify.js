// node verify.js KEY.pem HINT BUNDLE...
//
// Verifies Sigstore bundles against one public key that the reader has from elsewhere and knows by the hint. There is
// no certificate, no transparency log and no timestamp, and nothing else is trusted. Prints each payload's sha256 and
// file; ends with 1 at the first bundle that does not verify.

const { createHash, createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { bundleFromJSON } = require("@sigstore/bundle");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const [pem, hint, ...files] = process.argv.slice(2);
const rawBytes = createPublicKey(readFileSync(pem)).export({ format: "der", type: "spki" });
const nobody = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const verifier = new Verifier(toTrustMaterial(nobody, { [hint]: { rawBytes } }), {
  ctlogThreshold: 0,
  tlogThreshold: 0,
  timestampThreshold: 0,
});

for (const file of files) {
  try {
    const bundle = bundleFromJSON(JSON.parse(readFileSync(file, "utf8")));
    verifier.verify(toSignedEntity(bundle));
    const digest = createHash("sha256").update(bundle.content.dsseEnvelope.payload).digest("hex");
    console.log(`${digest}  ${file}`);
  } catch (error) {
    console.error(`${file}: ${error.code ?? error.name}: ${error.message}`);
    process.exit(1);
  }
}
