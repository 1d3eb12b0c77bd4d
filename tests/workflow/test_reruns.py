"""What a change costs: asked of the real Snakemake after a real run."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

REPORT = {"summarise_metrics": 1, "write_manifest": 1, "build_report": 1, "publish_wandb": 1}
SHIFT = {"summarise_shift": 1, "build_shift_page": 1}
JUDGED = {"judge_responses": 1, "compare_responses": 1, "qualify_judges": 1}
ONE_ARM = {"generate_responses": 1, "gather_responses": 1, "measure_responses": 1, **REPORT}
SMOKE = "config/experiments/smoke.yaml"


def test_a_second_run_does_nothing_and_is_quick(checkout):
    before = _seconds_of_children()
    assert "Nothing to be done" in checkout.snakemake("--config", "experiment=smoke")
    assert _seconds_of_children() - before < 10


def _seconds_of_children():
    """Processor time: the other tests that run beside this one do not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_one_arms_decoding_reruns_that_arm_and_back_again_only_the_report(checkout):
    original = (checkout.folder / SMOKE).read_text()
    checkout.edit(SMOKE, lambda e: e["arms"][0].update(decoding={"max_new_tokens": 5}))
    # Its controls are judged too, and it is compared with another arm and with itself.
    tried = {"make_controls": 1, "judge_responses": 2, "compare_responses": 2, "qualify_judges": 1}
    assert checkout.planned() == {**ONE_ARM, **tried}
    checkout.snakemake("--config", "experiment=smoke")
    (checkout.folder / SMOKE).write_text(original)
    assert checkout.planned() == {**REPORT, "qualify_judges": 1}


def test_key_order_runtime_and_comments_run_nothing(checkout):
    file = checkout.folder / SMOKE
    experiment = yaml.safe_load(file.read_text())
    experiment["runtime"] = {"batch_size": 2, "jobs_per_arm": 3}
    experiment["arms"] = [dict(reversed(arm.items())) for arm in experiment["arms"]]
    checkout.edit("config/catalog/models.yaml", _with_reversed_architectures)
    file.write_text("# A comment\n" + yaml.safe_dump(dict(reversed(experiment.items()))))
    assert checkout.planned() == {}


def _with_reversed_architectures(models):
    for entry in models.values():
        if entry["source"]["kind"] == "random":
            entry["source"]["architecture"] = dict(
                reversed(entry["source"]["architecture"].items())
            )


def test_code_of_one_stage_reruns_that_stage(checkout):
    file = checkout.folder / "workflow" / "alignlab" / "metrics" / "style.py"
    file.write_text(file.read_text() + "\nADDED = 1\n")
    assert checkout.planned() == {"measure_responses": 5, **REPORT}


def test_a_line_of_a_prompt_text_reruns_the_arms_that_use_it(checkout):
    file = "config/prompts/urial/constant.yaml"
    checkout.edit(file, lambda prompt: prompt.update(system=prompt["system"] + "\nBe brief."))
    # Of the two arms with this prompt, one leaves the system text out; a pair has the other.
    assert checkout.planned() == {**ONE_ARM, "score_shift": 1, **SHIFT}


def test_a_pair_costs_its_scoring(checkout):
    def add(experiment):
        experiment["pairs"].append({**experiment["pairs"][0], "name": "new", "template": "shared"})

    checkout.edit(SMOKE, add)
    report = {rule: jobs for rule, jobs in REPORT.items() if rule != "summarise_metrics"}
    assert checkout.planned() == {"score_shift": 1, **SHIFT, **report}


def test_another_tuning_reruns_what_the_tuned_model_made(checkout):
    checkout.edit(SMOKE, lambda e: e["tuned"][0].update(learning_rate=1e-4))
    assert checkout.planned() == {"tune_model": 1, **ONE_ARM, "score_shift": 2, **SHIFT, **JUDGED}


def test_a_new_arm_costs_that_arm(checkout):
    def add(experiment):
        method = {"kind": "urial", "prompt": "urial/constant", "k": 0}
        experiment["arms"].append({"name": "new", "model": "tiny-gemma", "method": method})

    checkout.edit(SMOKE, add)
    assert checkout.planned() == ONE_ARM


def test_published_answers_are_fetched_and_not_generated(checkout):
    """Planned only: the published entries of the catalog need a hub."""
    published = [{"name": "gpt-4", "responses": "just-eval-gpt-4-0314"}]
    checkout.edit(SMOKE, lambda e: e.update(published=published))
    assert checkout.planned() == {"fetch_published": 1, "measure_responses": 1, **REPORT}


def test_another_experiment_shares_the_store(checkout, tmp_path):
    experiment = yaml.safe_load((checkout.folder / SMOKE).read_text())
    experiment |= {"name": "other", "arms": experiment["arms"][:2], "pairs": [], "tuned": []}
    experiment["contrasts"] = []
    experiment["judges"] = []
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(experiment))
    assert checkout.planned(path) == {"check_trainsets": 1, **REPORT}


def test_a_line_of_a_rubric_reruns_what_is_judged_by_it(checkout):
    file = "config/prompts/judge/pairwise.yaml"
    checkout.edit(file, lambda text: text.update(instructions=text["instructions"] + "\nBe brief."))
    report = {rule: jobs for rule, jobs in REPORT.items() if rule != "summarise_metrics"}
    assert checkout.planned() == {"compare_responses": 2, "qualify_judges": 1, **report}


def test_a_copied_store_is_accepted_whatever_its_times(checkout):
    """A fresh clone with a store from elsewhere: no metadata, no logs, shuffled file times."""
    for lost in (".snakemake", "results/logs", "results/benchmarks", "results/smoke"):
        shutil.rmtree(checkout.folder / lost)
    for i, file in enumerate(sorted((checkout.folder / "results").rglob("*"), reverse=True)):
        os.utime(file, (i * 1000, i * 1000))
    assert checkout.planned() == {"check_trainsets": 1, "qualify_judges": 1, **SHIFT, **REPORT}


def test_a_store_copied_to_a_fresh_clone_is_accepted(finished, repository_root, tmp_path):
    """What git takes of this repository, and a store as `cp -r` by somebody else leaves it."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    listed = _git(repository_root, "ls-files", "--cached", "--others", "--exclude-standard")
    for name in listed.splitlines():
        if (repository_root / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository_root / name, origin / name)
    _git(origin, "init", "--quiet")
    _git(origin, "add", "--all")
    author = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    _git(origin, *author, "commit", "--quiet", "--message", "All")
    _git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    shutil.copytree(finished.folder / "results/store", clone / "results/store", copy_function=_copy)
    expected = {"check_trainsets": 1, "qualify_judges": 1, **SHIFT, **REPORT}
    assert type(finished)(clone).planned() == expected


def _git(folder, *arguments):
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    if run.returncode and arguments[0] == "ls-files":
        pytest.skip("not a git checkout")
    assert not run.returncode, run.stderr
    return run.stdout


def _copy(source, target):
    """Content alone: the times of now, and nobody may write."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o444)


def test_a_damaged_model_is_made_again_alone(checkout):
    (model,) = (checkout.folder / "results/store/models").glob("tiny-gemma-*")
    shutil.rmtree(model)
    target = str(model.relative_to(checkout.folder))
    assert checkout.planned(targets=[target]) == {"fetch_model": 1}
    checkout.snakemake("--config", "experiment=smoke", "--", target)
    assert checkout.planned() == {}


def test_a_lost_file_is_made_again(checkout):
    file = min((checkout.folder / "results" / "store" / "responses").glob("*.parquet"))
    before = file.read_bytes()
    file.unlink()
    shutil.rmtree(checkout.folder / "results" / "smoke")
    checkout.snakemake("--config", "experiment=smoke")
    assert file.read_bytes() == before
