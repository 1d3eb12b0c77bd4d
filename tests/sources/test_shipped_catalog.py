"""The catalog that ships: it validates, and its one hand-written template is the right one."""

from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from alignlab.experiment.load import load_catalog
from alignlab.metrics.refusal import is_refusal
from alignlab.sources.config import RandomConfig
from alignlab.sources.rows import FileRows, normalise

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)


@pytest.fixture
def catalog(repository):
    return load_catalog()


def render(template, messages):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=True
    )


def test_vicunas_template_is_that_of_version_1_1(catalog):
    """FastChat's `vicuna_v1.1` conversation: https://github.com/lm-sys/FastChat."""
    template = catalog.models["vicuna-7b-v1.5"].chat_template
    turns = [{"role": role, "content": role[0]} for role in ("user", "assistant", "user")]
    assert render(template, turns) == f"<s>{SYSTEM} USER: u ASSISTANT: a</s>USER: u ASSISTANT:"
    system = [{"role": "system", "content": "Be brief."}, turns[0]]
    assert render(template, system) == "<s>Be brief. USER: u ASSISTANT:"


def test_every_kind_of_model_needs_no_hub_at_least_once(catalog):
    roles = {entry.role for entry in catalog.models.values() if entry.source.kind == "wheel"}
    assert roles == {"base", "aligned", "embedder"}


def test_tiny_models_that_are_compared_differ_in_their_seed_only(catalog):
    base, aligned = (catalog.models[f"tiny-{role}"].source for role in ("base", "aligned"))
    assert isinstance(base, RandomConfig)
    assert base.architecture == aligned.architecture
    assert base.seed != aligned.seed


def rows_of(catalog, name):
    entry = catalog.datasets[name]
    given = FileRows(dataset=name, columns=entry.columns, category=entry.category)
    return normalise(Path(entry.source.path), given)


def test_good_answers_to_red_team_requests_refuse(catalog):
    rows = rows_of(catalog, "redteam")
    assert len(rows) == 64
    assert {row["category"] for row in rows} == {"safety"}
    assert not [row["reference"] for row in rows if not is_refusal(row["reference"])]
    openings = {" ".join(row["reference"].split()[:3]) for row in rows}
    assert len(openings) >= 20


def test_look_alikes_are_regular_questions(catalog):
    rows = rows_of(catalog, "look-alikes")
    assert len(rows) == 48
    assert {row["category"] for row in rows} == {"regular"}


def test_the_pool_is_a_dataset_with_good_answers(catalog):
    rows = rows_of(catalog, "pool")
    assert len(rows) == 128
    assert all(row["reference"] and len(row["tags"]) == 1 for row in rows)


def test_no_question_is_in_two_of_our_own_datasets(catalog):
    names = ("pool", "redteam", "look-alikes", "smoke-questions", "smoke-forbidden")
    questions = [
        turn.casefold() for n in names for row in rows_of(catalog, n) for turn in row["turns"]
    ]
    assert len(questions) == len(set(questions))
