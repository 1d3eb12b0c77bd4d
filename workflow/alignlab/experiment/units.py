"""Code units: the code behind each stage, under words that stay when modules move.

    make stages                     # brings their versions in `workflow/stages.lock` up to date

A unit is an entry module with all that it imports; a stage names the units that it uses. Add one
here, use it where its artefact is described, then run `make stages`.
"""

from __future__ import annotations

from functools import cache

from alignlab.planning.fingerprint import PACKAGE
from alignlab.planning.versions import Versions

UNITS = {
    "controls": "alignlab.judging.controls",
    "engine check": "alignlab.engine_check",
    "engine fake": "alignlab.engines.fake",
    "engine openai": "alignlab.engines.openai",
    "engine transformers": "alignlab.engines.transformers",
    "engine vllm": "alignlab.engines.vllm",
    "judge fake": "alignlab.judging.fake",
    "judge local": "alignlab.judging.local",
    "judge openai": "alignlab.judging.openai",
    "judgements": "alignlab.judging.judge",
    "method chat": "alignlab.prompting.chat",
    "method in-context": "alignlab.prompting.in_context",
    "method retrieval": "alignlab.prompting.retrieval",
    "method zero-shot": "alignlab.prompting.frame",
    "metrics": "alignlab.metrics.measure",
    "mistakes": "alignlab.mistakes.collect",
    "models": "alignlab.sources.models",
    "preferences": "alignlab.judging.compare",
    "prompts": "alignlab.sources.datasets",
    "published judgements": "alignlab.sources.judgements",
    "published responses": "alignlab.sources.published",
    "qualification": "alignlab.statistics.qualification",
    "questions": "alignlab.mistakes.questions",
    "responses": "alignlab.generate",
    "shift": "alignlab.shift.score",
    "shift statistics": "alignlab.statistics.shift",
    "statistics": "alignlab.statistics.summarise",
    "studies": "alignlab.statistics.discrimination",
    "trainer dpo": "alignlab.tuning.dpo",
    "trainer rlhf": "alignlab.tuning.rlhf",
    "trainer sft": "alignlab.tuning.sft",
    "training sets checked": "alignlab.mistakes.overlap",
    "trainsets": "alignlab.mistakes.trainset",
    "tuning": "alignlab.tuning.finetune",
    "win rates": "alignlab.statistics.winrates",
}
"""Name → entry module. The names are in digests and in the lock; the modules are not."""

PAGES = {
    "provenance": "alignlab.reporting.provenance",
    "report": "alignlab.reporting.report",
    "shift figures": "alignlab.reporting.shift_figures",
    "shift page": "alignlab.reporting.shift_page",
}
"""Units that have no version: pages cost seconds, so they are made again whenever code moves."""

NEEDS = dict.fromkeys(("engine check", "engine vllm"), (".venv-vllm", "`make vllm`"))
"""Units that run in an environment of their own → its folder, and what makes it."""

LOCK = PACKAGE.parent / "stages.lock"


@cache
def versions() -> Versions:
    """The versions of this package's code.

    Raises:
        AlignlabError: the lock is missing, or does not fit the units.
    """
    return Versions.read(LOCK, UNITS, PAGES)


def code_of(*units: str) -> dict[str, int | str]:
    """What an artefact's slice says of the code behind it; see `Versions.code_of`."""
    return versions().code_of(*units)
