"""The reference of every config key, and JSON schemas for editors, made from the models.

python -m alignlab.experiment.reference_page        # writes them; a test fails when they differ
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined

from alignlab.answering import config as answering
from alignlab.core.config import CONFIG
from alignlab.endpoints import config as endpoints
from alignlab.engines import config as engines
from alignlab.experiment import config as experiment
from alignlab.experiment.config import Catalog
from alignlab.judging import config as judging
from alignlab.learning import config as learning
from alignlab.planning.forecast import RuntimeConfig
from alignlab.prompting import config as prompting
from alignlab.prompting.prompt_files import Example, Hijacking, LfmTexts, PromptFile
from alignlab.reporting import config as reporting
from alignlab.shift import config as shift
from alignlab.sources import config as sources
from alignlab.tracking import config as tracking
from alignlab.tuning import config as tuning

INTRODUCTION = """\
# Configuration

`config.yaml` names the experiment to run; everything else about it stands in one file of
`experiments/`, or in a file of your own: `snakemake --cores 2 --config experiment=my.yaml`.
Experiments refer by name to `catalog/` (models, datasets, published responses, judges) and to
`prompts/` (the texts that models read). Unknown keys are refused. `alignlab check my.yaml`
validates a file and prints what it would run.

Names are lower-case letters, digits, `.`, `_` and single `-`, at most 60 characters. Keys marked
*runtime*, licences and sizes never change a result, so changing them makes no answer again;
changing any other key runs what depends on it and nothing else.

An entry of a list can stand for many: `for` names variables with their values, and the entry is
made once for every combination, with `{variable}` filled in, the last variable changing fastest.
Values may be maps (`{variable.key}`); a text that is nothing but a variable is its value, whatever
its type; `each` is the entry where it is a list or a text. Results have the names of entries that
are written out. It works in every list of an experiment, inside another one too.

    arms:
      - for: {model: [tiny-base, tiny-gemma], k: [1, 3]}
        name: "{model}.urial-k{k}"
        model: "{model}"
        method: {kind: urial, prompt: urial/constant, k: "{k}"}

An editor that runs the YAML language server completes and checks keys: it reads the schema that a
file's first line names. A file of your own, beside the Snakefile, begins with
`# yaml-language-server: $schema=config/experiment.schema.json`.

This page and the schemas are made from the models: `python -m alignlab.experiment.reference_page`.
"""


GRID = {"type": "object", "required": ["for"], "properties": {"for": {"type": "object"}}}


def _kinds(*unions: Any) -> tuple[type[BaseModel], ...]:
    """The models among which `kind` chooses, each once."""
    return tuple(dict.fromkeys(model for union in unions for model in get_args(get_args(union)[0])))


SECTIONS: tuple[tuple[str, str, tuple[type[BaseModel], ...]], ...] = (
    (
        "An experiment (`experiments/*.yaml`)",
        "The whole file is one `Experiment`.",
        (
            experiment.Experiment,
            sources.PromptSetConfig,
            answering.ArmConfig,
            answering.PublishedArmConfig,
            shift.PairConfig,
            reporting.ContrastConfig,
            engines.DecodingConfig,
            engines.EngineConfig,
            RuntimeConfig,
            tracking.WandbConfig,
        ),
    ),
    (
        "Learning from mistakes (`mistakes`, `analyses`, `trainsets`, `tuned`)",
        "Each entry makes a table or a model out of the ones before it; arms then ask the model.",
        (
            learning.MistakesConfig,
            answering.AskedConfig,
            learning.AnalysisConfig,
            learning.TrainSetConfig,
            tuning.TunedConfig,
            tuning.LoraConfig,
            *(trainer.keys for trainer in tuning.TRAINERS.values() if trainer.keys),
            tuning.RewardModelConfig,
            learning.ScenarioConfig,
            learning.MeasureConfig,
            learning.StudyConfig,
        ),
    ),
    (
        "Prompting methods (`arms.*.method`)",
        "`kind` chooses one of these.",
        _kinds(prompting.AnyMethod),
    ),
    (
        "Judging (`judges`)",
        "A judge of the catalog, put to work; its scores become metrics named `<judge>:<aspect>`.",
        (judging.JudgeConfig, judging.ControlsConfig),
    ),
    (
        "The catalog (`catalog/*.yaml`)",
        "Each file maps names to entries; `source.kind` chooses where an entry comes from.",
        (
            sources.ModelConfig,
            sources.DatasetConfig,
            sources.ColumnsConfig,
            sources.PreferenceConfig,
            sources.PublishedAnswersConfig,
            *_kinds(judging.AnyJudge),
            endpoints.PriceConfig,
            *_kinds(sources.ModelSource, sources.DataSource),
            sources.WheelFileConfig,
        ),
    ),
    (
        "Prompt texts (`prompts/**/*.yaml`)",
        "URIAL's own `.txt` files can be named too; their bytes are kept.",
        (PromptFile, Example, LfmTexts, Hijacking, judging.Rubric, judging.Aspect, judging.Scale),
    ),
)


def made() -> dict[str, str]:
    """Every file of `config` that is made here, and its text."""
    schemas = {"experiment": _with_grids(experiment.Experiment.model_json_schema())}
    for kind, field in Catalog.model_fields.items():
        entries = TypeAdapter(field.rebuild_annotation()).json_schema()
        schemas[f"catalog/{kind}"] = {**entries, "additionalProperties": False}
    files = {f"{name}.schema.json": _json(found) for name, found in schemas.items()}
    return {"README.md": reference(), **files}


def _with_grids(found: dict[str, Any]) -> dict[str, Any]:
    """A schema in which every item of a list may be a grid, whose keys are checked when filled."""
    if "items" in found:
        return {**found, "items": {"anyOf": [_with_grids(found["items"]), GRID]}}
    return {
        key: _with_grids(part) if isinstance(part, dict) else part for key, part in found.items()
    }


def _json(found: dict[str, Any]) -> str:
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**dialect, **found}, indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """The whole page as Markdown."""
    parts = [INTRODUCTION]
    for title, lead, models in SECTIONS:
        parts += [f"## {title}\n\n{lead}\n", *(_section(model) for model in models)]
    return "\n".join(parts)


def _section(model: type[BaseModel]) -> str:
    summary = (model.__doc__ or "").strip()
    rows = "\n".join(_rows(model))
    head = "| key | type | default | what it is |\n|---|---|---|---|"
    return f"### {_named(model.__name__)}\n\n{summary}\n\n{head}\n{rows}\n"


def _named(model: str) -> str:
    """What a reader calls it: classes of the config end in `Config`."""
    return model.removesuffix("Config")


def _rows(model: type[BaseModel]) -> Iterator[str]:
    properties = model.model_json_schema()["properties"]
    fields = sorted(model.model_fields.items(), key=lambda item: item[0] != "name")
    for name, field in fields:
        default = "required" if field.is_required() else f"`{_plain(field.get_default())}`"
        what = (field.description or "").replace("|", "\\|")
        yield f"| `{name}` | {_type(properties[name])} | {default} | {what} |"


def _plain(value: Any) -> str:
    """A default as YAML would write it; a nested model shows no more than that it has defaults."""
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    return "[]" if value == () else str(value)


def _type(part: dict[str, Any]) -> str:
    """A short name for a JSON-schema type, with its choices and bounds."""
    if "$ref" in part:
        return _named(part["$ref"].rpartition("/")[2])
    if "enum" in part:
        return " \\| ".join(f"`{choice}`" for choice in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if choices := part.get("anyOf", part.get("oneOf")):
        return " \\| ".join(_type(choice) for choice in choices)
    if part.get("type") == "array":
        return f"list of {_type(part.get('items', {}))}"
    if part.get("type") == "object":
        inner = part.get("additionalProperties")
        return f"map to {_type(inner)}" if isinstance(inner, dict) else "map"
    return _bounded(part)


def _bounded(part: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {part[key]:g}" for key, sign in signs.items() if key in part]
    return " ".join([part.get("type", "any").replace("string", "text"), *bounds])


if __name__ == "__main__":
    for name, text in made().items():
        (CONFIG / name).write_text(text, encoding="utf-8")
