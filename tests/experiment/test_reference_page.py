"""What is made from the models of the config: its reference, and the schemas that editors read."""

import json
import re

import jsonschema
import pytest
import yaml

from alignlab.experiment.reference_page import SECTIONS, made

CATALOG = ("datasets", "judges", "models", "published")


@pytest.fixture
def refused(repository):
    """A function from a schema's name and a document to what the schema refuses in it."""

    def messages(name, document):
        schema = json.loads((repository / "config" / f"{name}.schema.json").read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        return [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(document)]

    return messages


@pytest.fixture
def smoke(repository):
    """The smoke experiment, as its file says it."""
    return yaml.safe_load((repository / "config/experiments/smoke.yaml").read_text("utf-8"))


def test_files_are_what_the_models_say(repository):
    """If this fails: python -m alignlab.experiment.reference_page"""
    for name, text in made().items():
        assert (repository / "config" / name).read_text(encoding="utf-8") == text, name


def test_every_key_is_described():
    for _, _, models in SECTIONS:
        for model in models:
            bare = {name for name, field in model.model_fields.items() if not field.description}
            assert not bare, model.__name__


def test_schemas_describe_every_key(repository):
    for name in (name for name in made() if name.endswith(".json")):
        schema = json.loads((repository / "config" / name).read_text("utf-8"))
        models = [*schema["$defs"].values(), schema]
        keys = {k: v for model in models for k, v in model.get("properties", {}).items()}
        assert [key for key, said in keys.items() if not said.get("description")] == [], name


def test_every_file_names_its_schema_and_keeps_to_it(repository, refused):
    experiments = sorted((repository / "config" / "experiments").glob("*.yaml"))
    schemas = dict.fromkeys(experiments, "experiment")
    schemas |= {
        repository / "config/catalog" / f"{kind}.yaml": f"catalog/{kind}" for kind in CATALOG
    }
    for path, name in schemas.items():
        text = path.read_text(encoding="utf-8")
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
        assert named, path
        wanted = repository / "config" / f"{name}.schema.json"
        assert (path.parent / named[1]).resolve() == wanted.resolve()
        assert refused(name, yaml.safe_load(text)) == [], path


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sead", 1, "'sead' was unexpected"),
        ("seed", "one", "'one' is not of type 'integer'"),
        ("seed", -1, "-1 is less than the minimum of 0"),
        ("name", "Two words", "'Two words' does not match"),
        ("runtime", {"batchsize": 8}, "'batchsize' was unexpected"),
    ],
)
def test_a_wrong_key_or_value_is_refused(refused, smoke, key, value, message):
    (found,) = refused("experiment", {**smoke, key: value})
    assert message in found


@pytest.mark.parametrize(
    "method",
    [
        {"kind": "telepathy"},
        {"prompt": "urial/constant"},  # no kind
        {"kind": "zero-shot", "prompt": "urial/constant"},  # a key of another kind
        {"kind": "urial"},  # without its prompt
    ],
)
def test_each_kind_of_method_has_its_own_keys(refused, smoke, method):
    arm = {"name": "one", "model": "tiny-gemma"}
    right = {**arm, "method": {"kind": "urial", "prompt": "urial/constant", "k": 3}}
    assert refused("experiment", {**smoke, "arms": [right]}) == []
    assert len(refused("experiment", {**smoke, "arms": [{**arm, "method": method}]})) == 1


def test_a_catalog_entry_is_checked_by_the_kind_of_its_source(refused):
    entry = {"role": "base", "license": "MIT", "source": {"kind": "local", "path": "m"}}
    assert refused("catalog/models", {"mine": entry}) == []
    assert refused("catalog/models", {"Mine!": entry})
    assert refused("catalog/models", {"mine": {**entry, "source": {"kind": "hub", "path": "m"}}})
