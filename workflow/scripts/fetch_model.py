"""Rule fetch_model: one model, verified and materialised; and fit to be tuned, where it is."""

from alignlab.operations.job import job
from alignlab.sources.models import FetchModelJob, fetch_model

with job(snakemake, FetchModelJob) as given:
    fetch_model(given)
    if snakemake.params["tuned"]:
        from alignlab.tuning.step import require_tunable  # trainers take seconds to import

        for tuned in snakemake.params["tuned"]:
            require_tunable(folder=given.output, **tuned)
