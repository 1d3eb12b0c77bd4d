"""Rule gather_responses: the parts of an arm become one table."""

import json
from pathlib import Path

from alignlab.answering.generate import gather
from alignlab.operations.job import job
from alignlab.planning.artefact import aside_of, note_of

with job(snakemake):
    given = json.loads(snakemake.params.job)
    gather(
        {**given["spec"], **given["place"]},
        list(map(Path, given["parts"])),
        Path(given["output"]),
        aside=aside_of(given["key"]),
        note=note_of(given["key"]),
        attempt=given.get("attempt", 1),
    )
