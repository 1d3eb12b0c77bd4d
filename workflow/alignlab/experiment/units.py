"""Every code unit: the code behind stages, methods, engines, judges and trainers.

make stages                     # brings their versions in `workflow/stages.lock` up to date
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from alignlab.endpoints.config import ApiEngineConfig
from alignlab.engines.config import EngineConfig, engine_unit
from alignlab.experiment.plan import STAGES
from alignlab.experiment.results import RESULT_STAGES
from alignlab.judging.config import AnyJudge, judge_unit
from alignlab.planning.versions import LOCK, Unit, check_units, versions
from alignlab.prompting.config import METHODS
from alignlab.tuning.config import TRAINERS


def units() -> dict[str, Unit]:
    """Every unit with a version, by name."""
    return {unit.name: unit for unit in _declared() if unit.versioned}


def check_lock() -> None:
    """Check that the lock has a line for each unit, and for no other.

    Raises:
        AlignlabError: it has not; the message names them.
    """
    check_units(versions().recorded, units(), LOCK)


def _declared() -> Iterator[Unit]:
    for stage in (*STAGES, *RESULT_STAGES):
        yield from stage.units
    yield from (method.unit for method in METHODS.values())
    for engine in (EngineConfig, ApiEngineConfig):
        names = get_args(engine.model_fields["name"].annotation)
        yield from map(engine_unit, names)
    judges = get_args(get_args(AnyJudge)[0])
    asked = (judge for judge in judges if judge.can_be_asked)
    kinds = (get_args(judge.model_fields["kind"].annotation)[0] for judge in asked)
    yield from map(judge_unit, kinds)
    yield from (trainer.unit for trainer in TRAINERS.values())
