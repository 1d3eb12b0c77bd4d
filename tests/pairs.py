"""Cards of pairs, as statistics get them, for tests."""

from alignlab.shift.config import PairCard
from alignlab.shift.summarise import ShiftStatisticsJob


def card(name, aligned="chat", template="own"):
    """A pair as statistics get it."""
    models = {"base_model": "b", "aligned_model": "a", "decoding": None}
    return PairCard(name=name, aligned=aligned, base="zero-shot", template=template, **models)


def statistics_job(folder, *cards, output=None, seed=0):
    """Of tables `<pair>.parquet` and `prompts.parquet` in a folder."""
    spec = {
        "experiment": "e",
        "pairs": [each.model_dump() for each in cards],
        "seed": seed,
        "digest": "d",
    }
    return ShiftStatisticsJob(
        spec=spec,
        shifts={each.name: folder / f"{each.name}.parquet" for each in cards},
        prompts=[folder / "prompts.parquet"],
        output=output or folder,
    )
