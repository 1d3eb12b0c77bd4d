"""How jobs are cut and sized: what `runtime` may say. Keys in `config/README.md`."""

from __future__ import annotations

from pydantic import Field

from alignlab.core.config import StrictModel


class RuntimeConfig(StrictModel):
    """How jobs are cut and sized; never part of a digest."""

    batch_size: int = Field(
        32, gt=0, description="Prompts per forward pass; in bfloat16 near-ties may fall otherwise"
    )
    models_together: bool = Field(
        True, description="Hold both models of a pair in memory; else one after the other"
    )
    jobs_per_arm: int = Field(1, gt=0, le=1000, description="Batches of prompts, one job each")
