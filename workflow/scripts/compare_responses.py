"""Rule compare_responses: a judge compares two arms' answers, each shown first once."""

import json
from pathlib import Path

from alignlab.judging.compare_answers import compare_responses
from alignlab.judging.stages import PREFERENCES
from alignlab.operations.job import job, optional
from alignlab.planning.artefact import aside_of, note_of, replies_of

with job(snakemake, timed=PREFERENCES):
    given = json.loads(snakemake.params.job)
    key = given["key"]
    compare_responses(
        {**given["spec"], **given["place"], "attempt": given.get("attempt", 1)},
        Path(given["a"]),
        Path(given["b"]),
        list(map(Path, given["prompts"])),
        optional(given.get("model")),
        Path(given["output"]),
        replies=replies_of(PREFERENCES.name, key.rpartition("-")[0]),
        note=note_of(key),
        aside=aside_of(key),
        batch_size=given["batch_size"],
    )
