"""Read what a real offline W&B run wrote: the records of its transaction log.

The log is LevelDB's format: a 7-byte file header, then 32 KiB blocks of records, each with a 7-byte
header (checksum, length, kind); a record that spans blocks comes in first, middle and last pieces.
"""

import json
import struct
import time
from pathlib import Path

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7
WHOLE, LAST = 1, 4


def records(folder):
    """Protobuf records of the one run in a folder."""
    (log,) = Path(folder).glob("run-*.wandb")
    data, at, pieces = log.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if (room := BLOCK - at % BLOCK) < HEADER:
            at += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        pieces += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (WHOLE, LAST):
            yield wandb_internal_pb2.Record.FromString(pieces)
            pieces = b""


def read(folder, patience=30):
    """Run, config, summary and artifacts as plain values.

    The W&B service may still be writing when `finish` has returned: wait for the exit record.
    """
    until = time.monotonic() + patience
    while "exit" not in (found := _read(folder)) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _read(folder):
    found = {"config": {}, "summary": {}, "artifacts": [], "history": set()}
    for record in records(folder):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found |= {"id": record.run.run_id, "group": record.run.run_group}
            found |= {"project": record.run.project, "job_type": record.run.job_type}
            items = record.run.config.update
            found["config"] |= {i.key: json.loads(i.value_json) for i in items}
        elif kind == "summary":
            items = record.summary.update
            found["summary"] |= {
                i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items
            }
        elif kind == "history":
            found["history"] |= {i.key or i.nested_key[0] for i in record.history.item}
        elif kind == "artifact":
            paths = {entry.path for entry in record.artifact.manifest.contents}
            found["artifacts"].append((record.artifact.type, paths))
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found
