"""Can a local judge be scored? Its tokenizer says so before anything is answered.

Answers wait for this check: `words.json`, the tokens of the words of every scale.
"""

from __future__ import annotations

import json
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.equality import context_window
from alignlab.judging.cases import Case, message
from alignlab.judging.config import PLACES, PLACES_OF_TWO, ResolvedRubric
from alignlab.judging.local_wording import LocalWording, Tokens
from alignlab.planning.artefact import Job, Spec


class JudgeCheckSpec(Spec):
    """What a check is made of.

    Attributes:
        judge: its name in the experiment.
        model: of the catalog.
        rubrics: by which it judges.
        reason_tokens: longest reason that it writes after a score; 0 for none.
    """

    judge: str
    model: str
    rubrics: tuple[ResolvedRubric, ...]
    reason_tokens: int


class CheckJudgeJob(Job):
    """What `check_judge` is given.

    Attributes:
        model: folder of a materialised model.
        output: the folder to make.
    """

    spec: JudgeCheckSpec
    model: Path


def check_judge(job: CheckJudgeJob) -> None:
    """Write down the tokens of every word that a judge may say.

    Raises:
        AlignlabError: its tokenizer cannot be loaded, its chat template does not do, it cannot tell
            words of a scale apart, or a rubric alone fills its context window.
    """
    spec = job.spec
    try:
        tokenizer = AutoTokenizer.from_pretrained(job.model, trust_remote_code=False)
        config = AutoConfig.from_pretrained(job.model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise AlignlabError(f"{job.model}: cannot be loaded: {error}") from error
    wording = LocalWording(tokenizer, spec.model)
    window = context_window(config, job.model)
    try:
        found = {rubric["name"]: _words(wording, rubric, window, spec) for rubric in spec.rubrics}
    except AlignlabError as error:
        raise AlignlabError(f"judge {spec.judge}: {error}") from error
    with tables.building(job.output) as folder:
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        (folder / "words.json").write_text(text, encoding="utf-8")


def _words(
    wording: LocalWording, rubric: ResolvedRubric, window: int, spec: JudgeCheckSpec
) -> dict[str, dict[str, Tokens]]:
    """Tokens of the words, by aspect."""
    nothing = Case("", 0, 0, dict.fromkeys(PLACES | PLACES_OF_TWO, ""))
    found = {}
    for aspect in rubric["aspects"]:
        words = wording.words(rubric, aspect)
        asked = message(rubric, nothing, aspect)
        if spec.reason_tokens:
            wording.ids(asked, aspect["says"][0])  # the template must take an answer of one word
        longest = len(wording.ids(asked)) + max(map(len, words))
        if longest > window:
            raise AlignlabError(
                f"rubric {rubric['name']}, aspect {aspect['name']}: without a question and an "
                f"answer it has {longest} tokens, and {spec.model} has a window of {window}; take "
                "another model or a shorter rubric"
            )
        found[aspect["name"]] = dict(zip(aspect["says"], words, strict=True))
    return found
