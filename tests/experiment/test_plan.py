from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.experiment.results import Results
from alignlab.operations.store_locks import unnamed
from alignlab.planning.artefact import STORE, aside_of, lineage
from alignlab.prompting import prompt_files

SMOKE = Path("config/experiments/smoke.yaml")
SMOKE_LFM = Path("config/experiments/smoke-lfm.yaml")
TUNED = {
    *(("adapters", "tiny-tuned"), ("responses", "tuned-chat"), ("metrics", "tuned-chat")),
    *(("shift", "tuned-vs-base"), ("shift", "tuned-vs-urial")),
    *(("judgements", "fake.tuned-chat"), ("preferences", "fake.tuned-chat-vs-zero-shot")),
}
TRIED = {("controls", "zero-shot"), ("judgements", "fake.zero-shot.controls")}
ASKED_OF_ZERO_SHOT = {
    *(("responses", "zero-shot"), ("metrics", "zero-shot"), ("judgements", "fake.zero-shot")),
    *(("preferences", f"fake.{duel}-vs-zero-shot") for duel in ("tuned-chat", "zero-shot")),
    *TRIED,
}
pytestmark = pytest.mark.usefixtures("repository")


@pytest.fixture
def plan(tmp_path):
    """Plan the smoke experiment after a change to its YAML."""

    def planned(change=lambda experiment: None, file=SMOKE):
        experiment = yaml.safe_load(file.read_text())
        change(experiment)
        path = tmp_path / "smoke.yaml"
        path.write_text(yaml.safe_dump(experiment, sort_keys=False))
        return Plan(load_experiment(str(path)))

    return planned


def keys(plan):
    return {(artefact.stage, artefact.name): artefact.key for artefact in plan}


def changed(before, after):
    old, new = keys(before), keys(after)
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def test_one_arms_decoding_changes_that_arm_and_what_hangs_from_it(plan):
    def change(experiment):
        experiment["arms"][0]["decoding"] = {"max_new_tokens": 5}

    assert changed(plan(), plan(change)) == ASKED_OF_ZERO_SHOT


def test_runtime_wandb_titles_and_key_order_change_nothing(plan):
    def change(experiment):
        experiment["runtime"] = {"batch_size": 99, "jobs_per_arm": 7}
        experiment["wandb"] = {"mode": "disabled"}
        experiment["title"] = "Another"
        experiment["arms"] = [dict(reversed(arm.items())) for arm in experiment["arms"]]

    assert not changed(plan(), plan(change))


def test_the_seed_counts_only_where_something_is_sampled(plan):
    after = plan(lambda experiment: experiment.update(seed=7))
    assert changed(plan(), after) == {
        *(("responses", "chat-sampled"), ("metrics", "chat-sampled")),
        *TUNED,
        *TRIED,  # which answers are shuffled, and how
    }


def test_tuning_changes_what_the_tuned_model_made(plan):
    def change(experiment):
        experiment["tuned"][0]["lora"]["rank"] = 2

    assert changed(plan(), plan(change)) == TUNED


def test_a_lesson_changes_what_is_learnt_from_it_and_nothing_else(plan):
    def longer(experiment):
        experiment["analyses"][0]["decoding"] = {"max_new_tokens": 9}

    before, after = plan(file=SMOKE_LFM), plan(longer, file=SMOKE_LFM)
    learnt = {"lfm", "lfm-guided", "lfm-shuffled", "critique-revise"}
    assert changed(before, after) == {
        *(("responses", "why"), ("questions", "better"), ("responses", "better")),
        *(("trainsets", name) for name in learnt),
        *(("adapters", f"tiny-{name}") for name in learnt),
        *(("responses", "lfm.guided"), ("metrics", "lfm.guided")),
    }


def test_every_artefact_comes_after_what_it_is_made_from(plan):
    seen = set()
    for artefact in lineage(plan(file=SMOKE_LFM).metrics.values()):
        parents = [parent for role in artefact.parents for parent in artefact.parent(role)]
        assert {(parent.stage, parent.key) for parent in parents} <= seen
        seen.add((artefact.stage, artefact.key))


def test_a_model_that_learns_from_its_own_analyses_is_refused(plan):
    def circle(experiment):
        experiment["analyses"][0]["model"] = "tiny-lfm"

    with pytest.raises(AlignlabError, match=r"^\S+: \w+: \S+ is made from itself$"):
        list(plan(circle, file=SMOKE_LFM))


def test_a_dataset_that_an_arm_is_not_asked_changes_nothing_of_it(plan):
    def chosen(experiment):
        experiment["arms"][0]["datasets"] = ["smoke-questions"]

    def chosen_and_more(experiment):
        chosen(experiment)
        experiment["prompts"].append({"dataset": "look-alikes", "take": 1})

    found = changed(plan(chosen), plan(chosen_and_more))
    assert ("responses", "zero-shot") not in found
    assert ("responses", "chat-sampled") in found


def test_a_pair_reads_its_base_arms_prompt_and_not_its_answers(plan):
    def shorter(experiment):
        experiment["arms"][1]["decoding"] = {"max_new_tokens": 5}

    def asked_otherwise(experiment):
        experiment["arms"][1]["method"]["k"] = 1

    assert ("shift", "tuned-vs-urial") not in changed(plan(), plan(shorter))
    assert ("shift", "tuned-vs-urial") in changed(plan(), plan(asked_otherwise))


def test_a_tuned_model_keeps_its_bases_weights_and_its_own_tokenizer(plan):
    planned = plan()
    assert planned.base_of("tiny-tuned") == "tiny-gemma"
    assert {a.name for a in planned if a.stage == "models"} == {"tiny-gemma", "tiny-aligned"}
    assert planned.tokenizer_of("tiny-tuned") == planned.adapters["tiny-tuned"].path


def test_prompts_change_every_arm_but_no_model(plan):
    after = plan(lambda experiment: experiment["prompts"][0].update(take=3))
    stages = {stage for stage, _ in changed(plan(), after)}
    # `pool` is trained on, and stays.
    judged = {"controls", "judgements", "preferences"}
    assert stages == {"prompts", "responses", "metrics", "shift", *judged}


def test_a_line_of_a_prompt_text_changes_the_arms_that_read_it(plan, monkeypatch):
    before = plan()
    list(before)
    read = prompt_files.read_yaml

    def edited(path):
        text = read(path)
        if path.name == "constant.yaml":
            text["examples"][-2]["answer"] += " More."
        return text

    monkeypatch.setattr(prompt_files, "read_yaml", edited)
    prompt_files.read.cache_clear()
    # The last example but one is not part of the one-shot arm's prompt.
    after = plan()
    found = changed(before, after)
    prompt_files.read.cache_clear()
    assert found == {
        ("responses", "urial-k3-guided"),
        ("metrics", "urial-k3-guided"),
        ("shift", "tuned-vs-urial"),
    }


def test_a_line_of_a_rubric_changes_what_is_judged_by_it_and_nothing_else(plan, monkeypatch):
    before = plan()
    list(before)
    read = prompt_files.read_yaml

    def edited(path):
        text = read(path)
        if path.name == "pairwise.yaml":
            text["instructions"] += " Be brief."
        return text

    monkeypatch.setattr(prompt_files, "read_yaml", edited)
    prompt_files.read.cache_clear()
    found = changed(before, plan())
    prompt_files.read.cache_clear()
    duels = ("tuned-chat-vs-zero-shot", "zero-shot-vs-zero-shot")
    assert found == {("preferences", f"fake.{duel}") for duel in duels}


def test_a_local_file_is_its_content_wherever_it_lies(plan, tmp_path, monkeypatch):
    before = plan()
    moved = tmp_path / "moved.jsonl"
    source = before.catalog.datasets["smoke-questions"].source
    moved.write_bytes(Path(source.path).read_bytes())
    after = plan()
    entry = after.catalog.datasets["smoke-questions"]
    entry = entry.model_copy(update={"source": source.model_copy(update={"path": str(moved)})})
    after.catalog.datasets["smoke-questions"] = entry
    assert not changed(before, after)
    assert after.prompts[0].place["source"]["path"] == str(moved)
    moved.write_bytes(moved.read_bytes() + b"\n")
    edited = plan()
    edited.catalog.datasets["smoke-questions"] = entry
    assert ("prompts", "smoke-questions") in changed(before, edited)


def test_the_report_shows_methods_as_the_file_says_them(plan):
    cards = {card["name"]: card for card in Results(plan()).report.slice["arms"]}
    assert cards["urial-k3-guided"]["method"]["prompt"] == "urial/constant"
    assert "examples" not in cards["urial-k3-guided"]["method"]


def test_keys_are_unique_and_found_again(plan):
    planned = plan()
    assert len(keys(planned)) == len(list(planned))
    for artefact in planned:
        assert planned.find(artefact.stage, artefact.key) is artefact
    with pytest.raises(AlignlabError, match="plans no responses/zero-shot-000000000000"):
        planned.find("responses", "zero-shot-000000000000")


def test_more_examples_than_there_are(plan):
    def change(experiment):
        experiment["arms"][1]["method"]["k"] = 9

    with pytest.raises(AlignlabError, match=r"constant.yaml: k: 9 examples wanted, the file has 8"):
        list(plan(change))


def test_nothing_left_of_a_prompt(plan):
    def change(experiment):
        experiment["arms"][1]["method"] |= {"k": 0, "system": False}

    with pytest.raises(AlignlabError, match="leave nothing"):
        list(plan(change))


def test_a_missing_prompt_file(plan):
    def change(experiment):
        experiment["arms"][1]["method"]["prompt"] = "urial/none"

    with pytest.raises(AlignlabError, match=r"prompt 'urial/none': no such file"):
        list(plan(change))


def test_unnamed_lists_only_what_no_plan_names(plan, tmp_path, monkeypatch):
    planned = plan()
    named = [artefact.path for artefact in planned]
    monkeypatch.chdir(tmp_path)
    orphan = STORE / "responses" / "old-0123456789ab.parquet"
    running = aside_of(planned.responses["chat-sampled"].key)
    for path in [*named, orphan]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    running.mkdir(parents=True)
    assert unnamed([planned]) == [orphan]


@pytest.mark.parametrize("name", ["basic_icl", "inst_1k", "inst_1k_v4", "inst_help_v5-1k"])
@pytest.mark.external
def test_urial_files_keep_every_byte_and_k_cuts_whole_examples(shared, name):
    path = shared / "data" / "urial-prompts" / f"{name}.txt"
    prefixes = [prompt_files.constant_prompt(str(path), k, False)["prefix"] for k in range(4)]
    head = prompt_files.constant_prompt(str(path), 0, True)["prefix"]
    assert (head + prefixes[3]).encode() == path.read_bytes()
    assert all(longer.endswith(shorter) for shorter, longer in pairwise(prefixes))


@pytest.mark.external
def test_urials_one_shot_file_is_the_last_example_of_its_three_shot_file(shared):
    folder = shared / "data" / "urial-prompts"
    one = prompt_files.constant_prompt(str(folder / "inst_1k.txt"), 1, False)["prefix"]
    assert one == prompt_files.constant_prompt(str(folder / "inst_1shot.txt"), 1, False)["prefix"]
