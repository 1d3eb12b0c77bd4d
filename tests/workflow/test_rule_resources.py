"""Every rule says what it needs; only those that run models ask for a GPU."""

import re

import pytest

RUNS_MODELS = {
    *("check_engine", "generate_responses", "score_shift", "tune_model"),
    *("judge_responses", "compare_responses"),
}


@pytest.fixture
def rules(repository_root):
    """Text of every rule by name."""
    text = "\n".join(p.read_text() for p in (repository_root / "workflow/rules").glob("*.smk"))
    parts = re.split(r"^ *rule (\w+):$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_rule_says_its_threads_memory_and_time(rules):
    assert len(rules) > 15
    for name, text in rules.items():
        for needed in (r"^ *threads: \d", r"^ *mem_mb=", r"^ *runtime="):
            assert re.search(needed, text, re.MULTILINE), (name, needed)


def test_only_rules_that_run_models_ask_for_gpus(rules):
    assert {name for name, text in rules.items() if re.search(r"\bgpu=", text)} == RUNS_MODELS


def test_no_rule_has_retries_of_its_own(rules):
    """Slurm's plugin would run each of them twice (its issue 284); the profile has them."""
    assert not [name for name, text in rules.items() if "retries:" in text]


def test_a_submitted_job_gets_more_memory_and_time_when_it_is_retried(rules):
    submitted = {n: t for n, t in rules.items() if "localrule: True" not in t}
    assert submitted.keys() > RUNS_MODELS
    for name, text in submitted.items():
        assert re.search(r"mem_mb=(needed|growing)\(", text), name
        assert re.search(r"runtime=growing\(", text), name
