"""From a study to its artefacts: what exists once, under which name, made from what.

    alignlab check demo                         # print the plan and its job counts

An artefact's name ends in a digest of its semantic slice and of its parents' digests, so a changed
value gives a new name and an unchanged one is never computed again, in whichever experiment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from alignlab.errors import AlignlabError
from alignlab.experiment import texts
from alignlab.experiment.catalog import LocalSource, RandomSource, Source
from alignlab.experiment.digest import code_digest, config_digest, file_digest
from alignlab.experiment.load import CONFIG, Study
from alignlab.experiment.methods import InContext, Method, Retrieval
from alignlab.experiment.schema import Arm, PromptSet

RESULTS = Path("results")
STORE = RESULTS / "store"
PAGE = Path(__file__).parents[1] / "reporting"
TINY_TOKENIZER = CONFIG / "catalog" / "tiny-tokenizer"


@dataclass(frozen=True, eq=False)
class Artefact:
    """One file or folder of the store.

    `spec` is its semantic slice, parents' digests included; `place` is what a job needs besides,
    such as the path of a local file, which may differ between machines.
    """

    stage: str
    name: str
    spec: dict[str, Any]
    place: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change when, and only when, the content may."""
        return config_digest(self.spec)

    @property
    def key(self) -> str:
        """File name without suffix: readable name and digest."""
        return f"{self.name}-{self.digest}"

    @property
    def path(self) -> Path:
        """Where it lies, relative to the working directory. Models are folders."""
        suffix = "" if self.stage == "models" else ".parquet"
        return STORE / self.stage / f"{self.key}{suffix}"

    @property
    def signed_spec(self) -> dict[str, Any]:
        """The spec with its digest, as table metadata and Snakemake's params get it."""
        return {**self.spec, "digest": self.digest}

    @property
    def job_spec(self) -> dict[str, Any]:
        """The signed spec with places, as the job that makes the artefact gets it."""
        return {**self.signed_spec, **self.place}


class Jobs(NamedTuple):
    """How many jobs a stage has, and how many of their results the store holds."""

    total: int
    done: int


class Plan:
    """Every artefact of a study, by stage and name."""

    def __init__(self, study: Study) -> None:
        self.study, self.experiment, self.catalog = study, study.experiment, study.catalog

    @cached_property
    def prompts(self) -> list[Artefact]:
        """Prompts tables, in the order of the experiment."""
        return [self._prompts(chosen) for chosen in self.experiment.prompts]

    @cached_property
    def models(self) -> dict[str, Artefact]:
        """Models of all arms, and the embedding models they or the metrics need."""
        names = [arm.model for arm in self.experiment.arms]
        names += [
            a.method.embedder for a in self.experiment.arms if isinstance(a.method, Retrieval)
        ]
        names += [self.experiment.embedder] if self.experiment.embedder else []
        return {name: self._model(name) for name in dict.fromkeys(names)}

    @cached_property
    def responses(self) -> dict[str, Artefact]:
        """Responses tables by arm; published arms last."""
        generated = {arm.name: self._responses(arm) for arm in self.experiment.arms}
        return generated | {p.name: self._published(p) for p in self.experiment.published}

    @cached_property
    def metrics(self) -> dict[str, Artefact]:
        """Metrics tables by arm."""
        return {name: self._metrics(name) for name in self.responses}

    def __iter__(self) -> Iterator[Artefact]:
        """Every artefact, in the order the data walks through them."""
        yield from self.models.values()
        yield from self.prompts
        yield from self.responses.values()
        yield from self.metrics.values()

    @cached_property
    def _by_key(self) -> dict[tuple[str, str], Artefact]:
        return {(artefact.stage, artefact.key): artefact for artefact in self}

    def find(self, stage: str, key: str) -> Artefact:
        """The artefact with this key.

        Raises:
            AlignlabError: the experiment has none, for example because it changed meanwhile.
        """
        try:
            return self._by_key[stage, key]
        except KeyError:
            raise AlignlabError(f"{self.study.path} plans no {stage}/{key}") from None

    def job_counts(self) -> dict[str, Jobs]:
        """Jobs by stage, and how many of them the store already answers."""
        per_arm = {a.name: self.experiment.runtime.jobs_per_arm for a in self.experiment.arms}
        counts = {}
        for stage in ("models", "prompts", "responses", "metrics"):
            found = [artefact for artefact in self if artefact.stage == stage]
            cut = stage == "responses"
            cost = [(per_arm.get(a.name, 1) if cut else 1, a.path.exists()) for a in found]
            counts[stage] = Jobs(sum(n for n, _ in cost), sum(n for n, done in cost if done))
        return counts

    @property
    def folder(self) -> Path:
        """Where the experiment's own tables, figures and report go."""
        return RESULTS / self.experiment.name

    @cached_property
    def summary_spec(self) -> dict[str, Any]:
        """Semantic slice of the experiment's statistics."""
        spec = {
            "experiment": self.experiment.name,
            "arms": list(self.experiment.arm_names),
            "baseline": self.experiment.baseline,
            "seed": self.experiment.seed,
            "parents": {name: artefact.digest for name, artefact in self.metrics.items()},
            "code": code_digest("alignlab.statistics.summarise"),
        }
        return {**spec, "digest": config_digest(spec)}

    @cached_property
    def report_spec(self) -> dict[str, Any]:
        """Semantic slice of the report."""
        spec = {
            "experiment": self.experiment.name,
            "title": self.experiment.title,
            "arms": [self._arm_card(name) for name in self.experiment.arm_names],
            "baseline": self.experiment.baseline,
            "parents": {"statistics": self.summary_spec["digest"]},
            "code": code_digest("alignlab.reporting.report", "alignlab.reporting.provenance"),
            "page": [
                file_digest(path) for path in sorted(PAGE.glob("*.*")) if path.suffix != ".py"
            ],
        }
        return {**spec, "digest": config_digest(spec)}

    def _arm_card(self, name: str) -> dict[str, Any]:
        """What the report says about an arm."""
        spec = self.responses[name].spec
        entry = self.catalog.models.get(spec["model"])
        methods = {arm.name: _dump(arm.method) for arm in self.experiment.arms}
        return {
            "name": name,
            "model": spec["model"],
            "method": methods.get(name, {"kind": "published"}),
            "decoding": spec.get("decoding", {}),
            "role": entry.role if entry else "aligned",
        }

    def _model(self, name: str) -> Artefact:
        entry = self.catalog.models[name]
        spec = {"id": name, **_dump(entry, {"role", "chat_template"}), **_content(entry.source)}
        coded = _coded(spec, "alignlab.sources.models")
        return Artefact("models", name, coded, _place(entry.source))

    def _prompts(self, chosen: PromptSet) -> Artefact:
        entry = self.catalog.datasets[chosen.dataset]
        spec = {
            "dataset": chosen.dataset,
            **_dump(entry, {"columns", "category"}),
            **_content(entry.source),
            "selection": _dump(chosen),
        }
        coded = _coded(spec, "alignlab.sources.datasets")
        return Artefact("prompts", chosen.dataset, coded, _place(entry.source))

    def _responses(self, arm: Arm) -> Artefact:
        decoding = arm.decoding or self.experiment.decoding
        parents: dict[str, Any] = {
            "model": self.models[arm.model].digest,
            "prompts": [prompts.digest for prompts in self.prompts],
        }
        if isinstance(arm.method, Retrieval):
            parents["embedder"] = self.models[arm.method.embedder].digest
        spec: dict[str, Any] = {
            "arm": arm.name,
            "model": arm.model,
            "method": resolved_method(arm.method),
            "decoding": _dump(decoding),
            "engine": _dump(self.experiment.engine),
            "parents": parents,
        }
        if decoding.temperature:
            spec["seed"] = self.experiment.seed
        modules = (arm.method.module, f"alignlab.engines.{self.experiment.engine.name}")
        return Artefact("responses", arm.name, _coded(spec, "alignlab.generate", *modules))

    def _published(self, published: Any) -> Artefact:
        entry = self.catalog.published[published.responses]
        spec = {
            "arm": published.name,
            **_dump(entry, {"model"}),
            **_content(entry.source),
            "parents": {"prompts": [prompts.digest for prompts in self.prompts]},
        }
        coded = _coded(spec, "alignlab.sources.published")
        return Artefact("responses", published.name, coded, _place(entry.source))

    def _metrics(self, arm: str) -> Artefact:
        parents: dict[str, Any] = {"responses": self.responses[arm].digest}
        if self.experiment.embedder:
            parents["embedder"] = self.models[self.experiment.embedder].digest
        spec = _coded({"arm": arm, "parents": parents}, "alignlab.metrics.measure")
        return Artefact("metrics", arm, spec)


def resolved_method(method: Method) -> dict[str, Any]:
    """A method with its texts in place of file names, so that a digest covers what is read."""
    resolved = {**_dump(method), "module": method.module}
    if isinstance(method, InContext):
        for key in ("prompt", "k", "system"):
            resolved.pop(key, None)
        resolved |= texts.constant_prompt(method.prompt, method.k, method.system)
    if isinstance(method, Retrieval):
        resolved["pool"] = texts.example_pool(method.pool, method.k)
    if method.guidance:
        resolved["guidance"] = texts.guidance(method.guidance)
    return resolved


def _dump(model: Any, include: set[str] | None = None) -> dict[str, Any]:
    """JSON of a config model. Absent optional keys stay absent, so that a new one changes nothing;
    defaults are written out, so that a changed one changes the digest.
    """
    return model.model_dump(mode="json", exclude_none=True, include=include)


def _coded(spec: dict[str, Any], *modules: str) -> dict[str, Any]:
    return {**spec, "code": code_digest(*modules)}


def _content(source: Source) -> dict[str, Any]:
    """What a source is. A local one is its content, wherever it lies; others are pinned."""
    if isinstance(source, LocalSource):
        return {"content": _local_digest(Path(source.path))}
    if isinstance(source, RandomSource):
        return {"source": _dump(source), "content": _local_digest(TINY_TOKENIZER)}
    return {"source": _dump(source)}


def _place(source: Source) -> dict[str, Any]:
    return {"source": _dump(source)} if isinstance(source, LocalSource) else {}


def _local_digest(path: Path) -> str:
    if not path.exists():
        raise AlignlabError(f"{path}: no such file or folder")
    return file_digest(path)
