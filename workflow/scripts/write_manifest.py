"""Rule write_manifest: what was made, from what, by which versions, on which machine."""

from alignlab.operations.job import job
from alignlab.operations.manifest import ManifestJob, write_manifest

with job(snakemake, ManifestJob, verified=False) as given:
    write_manifest(given)
