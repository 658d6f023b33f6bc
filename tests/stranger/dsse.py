"""python dsse.py KEY.pem BUNDLE...: verify the DSSE envelope in each bundle with securesystemslib and nothing of ours.

Prints each payload's sha256 and file; ends with an exception at the first that does not verify.
"""

import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

pem, *files = map(Path, sys.argv[1:])
public = load_pem_public_key(pem.read_bytes())
key_id = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
key = SSlibKey.from_crypto(public, keyid=key_id)
for file in files:
    # What is given to from_dict is used up.
    envelope = Envelope.from_dict(json.loads(file.read_bytes())["dsseEnvelope"])
    envelope.verify([key], 1)
    print(f"{hashlib.sha256(envelope.payload).hexdigest()}  {file}")
