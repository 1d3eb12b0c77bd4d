"""Rule judge_responses: a judge scores an arm's answers, or controls."""

import json
from pathlib import Path

from alignlab.judging.score_answers import judge_responses
from alignlab.judging.stages import JUDGEMENTS
from alignlab.operations.job import job, optional
from alignlab.planning.artefact import aside_of, note_of, replies_of

with job(snakemake, timed=JUDGEMENTS):
    given = json.loads(snakemake.params.job)
    key = given["key"]
    judge_responses(
        {**given["spec"], **given["place"], "attempt": given.get("attempt", 1)},
        Path(given["responses"]),
        list(map(Path, given["prompts"])),
        optional(given.get("model")),
        Path(given["output"]),
        replies=replies_of(JUDGEMENTS.name, key.rpartition("-")[0]),
        note=note_of(key),
        aside=aside_of(key),
        batch_size=given["batch_size"],
    )
