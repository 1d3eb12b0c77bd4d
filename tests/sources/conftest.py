"""A tiny model for the tests of this room."""

import pytest

from alignlab.experiment.load import load_catalog
from alignlab.sources.models import FetchModelJob, fetch_model


@pytest.fixture
def tiny(repository, tmp_path):
    """The catalog's `tiny-base`, materialised."""
    source = load_catalog().models["tiny-base"].source.model_dump(mode="json")
    output = tmp_path / "store" / "tiny"
    spec = {"id": "tiny", "role": "base", "source": source, "digest": "0" * 12}
    fetch_model(FetchModelJob(spec=spec, output=output))
    return output
