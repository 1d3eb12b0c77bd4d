"""Every job of the shipped experiments is one that its function takes."""

import pytest
import shipped
from pydantic import ValidationError

from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.judging import stages as judging
from alignlab.judging.config import JudgeConfig, PublishedJudgeConfig
from alignlab.planning.forecast import RuntimeConfig
from alignlab.sources.config import HubConfig, LocalConfig
from alignlab.sources.datasets import FetchPromptsJob
from alignlab.sources.models import FetchModelJob
from alignlab.sources.published import FetchJudgementsJob, FetchPublishedJob
from alignlab.sources.stages import MODELS, PROMPTS, PUBLISHED_RESPONSES

JOBS = {
    MODELS: FetchModelJob,
    PROMPTS: FetchPromptsJob,
    PUBLISHED_RESPONSES: FetchPublishedJob,
}
pytestmark = pytest.mark.usefixtures("repository")


@pytest.fixture(scope="module")
def given(repository_root):
    """Artefacts of this room with their jobs, of all shipped experiments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository_root)
        plans = [Plan(load_experiment(name)) for name in shipped.EXPERIMENTS]
        found = {(a.stage, a.key): a for plan in plans for a in plan if a.kind in JOBS}
        return [(a, JOBS[a.kind].model_validate_json(a.job())) for a in found.values()]


def test_every_kind_is_there(given):
    assert {artefact.kind for artefact, _ in given} == JOBS.keys()


def test_what_the_plan_gives_is_valid_and_is_what_tables_say(given):
    for artefact, job in given:
        assert job.spec.signed == artefact.signed_spec
        assert job.metadata == {**artefact.signed_spec, **artefact.place}
        assert job.output == artefact.path


def test_published_judgements_that_no_shipped_experiment_has(given, tmp_path):
    path = tmp_path / "judged.json"
    path.write_text("[]", encoding="utf-8")
    local = LocalConfig(kind="local", path=str(path))
    hub = HubConfig(kind="hub", repo="a/b", revision="0" * 40, file="judged.json")
    answers = next(a for a, _ in given if a.kind is PUBLISHED_RESPONSES)
    config = JudgeConfig(name="theirs", judge="j", rubrics=["judge/quality", "judge/safety"])
    entry = PublishedJudgeConfig(kind="published", model="m", judgements={"a": [local, hub]})
    judge = judging.UsedJudge(config, entry, None, "float32", 0)
    prompts = answers.parent("prompts")
    artefact = judging.published(judge, answers.name, [local, hub], answers, prompts)
    job = FetchJudgementsJob.model_validate_json(artefact.job())
    assert job.spec.signed == artefact.signed_spec
    assert job.metadata == {**artefact.signed_spec, **artefact.place}
    assert job.place.sources == (local, hub)
    assert [aspect.name for aspect in job.spec.rubrics[1].aspects] == ["safety"]


def test_a_gguf_file_is_unpacked_in_float32_beside_itself(given):
    """1.54 billion weights peaked at 7,977 MB; safetensors are copied file by file."""
    models = {artefact.name: artefact for artefact, _ in given if artefact.kind is MODELS}
    asked = {name: models[name].needs(RuntimeConfig()).mem_mb for name in models}
    assert 9_000 < asked["qwen2.5-coder-1.5b-instruct"] < 12_000
    assert {asked[name] for name in asked if name.startswith(("tiny", "llama-2"))} == {8_000}


def test_a_source_is_pinned_or_lies_somewhere():
    spec = {"id": "m", "role": "base", "content": "0" * 64}
    with pytest.raises(ValidationError, match="neither pinned by `spec` nor local by `place`"):
        FetchModelJob(spec=spec, output="m")


def test_an_unknown_key_is_refused():
    local = {"source": {"kind": "local", "path": "m"}}
    assert FetchModelJob(spec={"id": "m", "role": "base"}, place=local, output="m")
    for spec, place in (({"revision": "1"}, {}), ({}, {"path": "m"})):
        with pytest.raises(ValidationError, match="Extra inputs"):
            FetchModelJob(
                spec={"id": "m", "role": "base", **spec}, place={**local, **place}, output="m"
            )
