"""The base of every config model, in a module of its own to keep code digests small."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Names become file names and Snakemake wildcards.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._]*(-[a-z0-9._]+)*$", max_length=60)]


class Strict(BaseModel):
    """Unknown keys are refused and instances are frozen: a typo never becomes a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)
