"""python statement.py STATEMENT...: hold each to the in-toto schema with in-toto's own library and nothing of ours.

Prints each file's predicate type and name; ends with an exception at the first that is no valid statement.
"""

import json
import sys
from pathlib import Path

from google.protobuf.json_format import MessageToDict, Parse
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message

for file in map(Path, sys.argv[1:]):
    data = file.read_bytes()
    message = Parse(data, Message())  # refuses what the schema does not know
    Statement.copy_from_pb(message).validate()
    if MessageToDict(message) != json.loads(data):
        sys.exit(f"{file}: the schema has no place for all that it says")
    print(f"{message.predicate_type}  {file}")
