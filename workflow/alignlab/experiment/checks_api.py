"""What a model behind an endpoint can be used for, and how it can be asked.

alignlab check config/experiments/demo.yaml
"""

from __future__ import annotations

from collections.abc import Iterable

from alignlab.answering.config import AskedConfig
from alignlab.core.errors import AlignlabError
from alignlab.experiment.catalog import Catalog
from alignlab.experiment.config import Experiment
from alignlab.experiment.names import loadable
from alignlab.sources.config import ApiModelConfig


def check_api(
    askers: Iterable[tuple[str, AskedConfig]], experiment: Experiment, catalog: Catalog
) -> None:
    """Check every entry that asks a model, and every pair.

    Args:
        askers: entries with their keys.
        experiment: which says the decoding of those that do not.
        catalog: which says what is behind an endpoint.

    Raises:
        AlignlabError: the message opens with the key.
    """
    for where, asked in askers:
        entry = catalog.models.get(asked.model)
        if entry and isinstance(entry.source, ApiModelConfig):
            _check_asked(where, asked, entry.source, experiment)
        elif asked.max_usd:
            raise AlignlabError(f"{where}.max_usd: {asked.model} runs here and costs nothing")
    models = {arm.name: arm.model for arm in experiment.arms}
    for index, pair in enumerate(experiment.pairs):
        for key in ("aligned", "base"):
            name = models.get(getattr(pair, key))
            if name in catalog.models:
                loadable(f"pairs.{index}.{key}: {getattr(pair, key)}", name, catalog)


def _check_asked(
    where: str, asked: AskedConfig, source: ApiModelConfig, experiment: Experiment
) -> None:
    """Form, method and decoding must fit."""
    if (asked.method.kind == "chat") != (source.form == "chat"):
        fits = "method `chat` alone" if source.form == "chat" else "every method but `chat`"
        raise AlignlabError(
            f"{where}.method: {asked.method.kind}: {asked.model} is asked in {source.form} form "
            f"(`source.form`), which is for {fits}"
        )
    if asked.method.hindsight and source.form == "chat":
        raise AlignlabError(
            f"{where}.method.hindsight: an answer of {asked.model} cannot be begun for it in "
            "chat form"
        )
    decoding = asked.decoding or experiment.decoding
    if decoding.repetition_penalty != 1:
        raise AlignlabError(
            f"{where}.decoding: OpenAI's protocol has no `repetition_penalty`; give "
            f"{asked.model} a `decoding` without one"
        )
    if asked.max_usd and not source.price:
        raise AlignlabError(f"{where}.max_usd: {asked.model} has no `price` to count with")
