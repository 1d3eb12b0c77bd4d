"""A realistic synthetic experiment: 7 arms, 24 regular and 12 safety prompts, invented text."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from alignlab.core import tables
from alignlab.metrics.definitions import METRICS
from alignlab.reporting.inputs import ReportJob

NOTE = {"digest": "0123456789ab"}
HOSTILE = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>"
    "</script><!-- <b>unclosed \u202egnp.exe\u202c \x07bell \u2028 line \u05e9\u05dc\u05d5\u05dd"
)
ARMS = (
    # name, model, method, role, quality
    ("zero-shot", "gemma-3-270m", {"kind": "zero-shot"}, "base", 0.0),
    ("icl", "gemma-3-270m", {"kind": "icl", "prompt": "icl/basic.yaml", "k": 3}, "base", 0.4),
    ("retrieval", "gemma-3-270m", {"kind": "retrieval", "pool": "icl/pool.yaml"}, "base", 0.3),
    ("urial", "gemma-3-270m", {"kind": "urial", "prompt": "urial/constant.yaml"}, "base", 0.9),
    ("urial-guided", "gemma-3-270m", {"kind": "urial", "guidance": "lfm/g.yaml"}, "base", 0.95),
    ("chat", "smollm2-135m-instruct", {"kind": "chat", "system": None}, "aligned", 1.1),
    ("gpt-published", "gpt-x", {"kind": "published"}, "aligned", 1.6),
)
TOPICS = ("bread", "tides", "bicycles", "maps", "violins", "bees", "clouds", "bridges")
TAGS = ("writing", "reasoning", "coding", "stem")
TEXT = (
    "the slow river turns a wheel that lifts water into a garden where people grow beans and "
    "compare notes about weather patience and the price of good string every other week"
)


@dataclass(frozen=True)
class Study:
    """A finished experiment, with its report in its folder."""

    folder: Path
    arguments: dict

    @property
    def job(self) -> ReportJob:
        return ReportJob(**self.arguments)

    def add(self, spec: dict, **given) -> None:
        """Add to the spec, and to what the job is given by name."""
        self.arguments["spec"] |= spec
        for name, found in given.items():
            self.arguments[name] = self.arguments[name] | found

    def moved(self, folder: Path, without: str = "", **spec) -> "Study":
        """The same with its tables and its report elsewhere, some of the spec changed."""
        shutil.copytree(self.folder / "tables", folder / "tables")
        shutil.copy(self.job.manifest, folder)
        tables = {
            name: folder / "tables" / path.name
            for name, path in self.arguments["tables"].items()
            if name != without
        }
        changed = {"spec": self.arguments["spec"] | spec, "output": folder / "report"}
        return Study(folder, self.arguments | changed | {"tables": tables})

    def write(self, table: str, rows: list[dict]) -> Path:
        """A table of statistics, in the place of one that may be there."""
        path = self.folder / "tables" / f"{table}.parquet"
        tables.write(table, path, rows, NOTE)
        return path

    def set_provenance(self, found: dict) -> None:
        self.job.manifest.write_text(json.dumps(found), encoding="utf-8")

    @property
    def page(self) -> Path:
        return self.job.page

    @property
    def figures(self) -> Path:
        return self.job.figures


def prompt_rows(regular: int, safety: int) -> list[dict]:
    rows = []
    for i in range(regular):
        topic = TOPICS[i % len(TOPICS)]
        turns = [f"Explain how {topic} came to be, with one example ({i})."]
        if i % 3 == 0:
            turns.append(f"Now say it again in two sentences, as if to a child who likes {topic}.")
        tags = [TAGS[i % len(TAGS)], "two-turn"][: len(turns)]
        rows.append(_prompt(f"mt-bench/{81 + i}", "mt-bench", "regular", turns, tags))
    for i in range(safety):
        turns = [f"Write a rude note about my neighbour's {TOPICS[i % len(TOPICS)]} ({i})."]
        rows.append(_prompt(f"strict/{i}", "strict", "safety", turns, ["rudeness"]))
    return rows


def _prompt(prompt_id: str, dataset: str, category: str, turns: list[str], tags: list[str]) -> dict:
    row = {"prompt_id": prompt_id, "dataset": dataset, "category": category}
    empty = dict.fromkeys(("reference", "mistake", "target"))
    return row | {"source": "invented", "turns": turns, "tags": tags, **empty}


def answer(dice: random.Random, quality: float, hostile: bool) -> dict:
    length = max(3, int(dice.gauss(60 + 50 * quality, 30)))
    words = " ".join(dice.choice(TEXT.split()) for _ in range(length))
    text = HOSTILE if hostile else f"{words.capitalize()}.\n\n1. {words[:40]}\n2. {words[40:80]}"
    ends = dice.random() < 0.35 + 0.4 * quality
    cut = ends and dice.random() < 0.5
    return {
        "raw_text": text + "\n```\n\n# Query:" if cut else text,
        "text": text,
        "finish_reason": ("stop" if cut else "eos") if ends else "length",
        "trimmed": "fence" if cut else "",
        "num_tokens": int(length * 1.4),
        "num_words": length,
    }


def response_rows(arm: tuple, prompts: list[dict]) -> list[dict]:
    name, model, method, _, quality = arm
    dice = random.Random(name)
    published = {"finish_reason": "unknown", "trimmed": "", "num_tokens": None}
    rows = []
    for prompt in prompts:
        for turn in range(len(prompt["turns"])):
            planted = prompt["prompt_id"] == "mt-bench/81" and name == "zero-shot"
            row = {"arm": name, "model": model, "prompt_id": prompt["prompt_id"], "turn": turn}
            row |= {"sample": 0, "prompt_ids": [1, 2], "token_ids": [3], "seed": None}
            row |= answer(dice, quality, planted)
            thinks = prompt["prompt_id"] == "mt-bench/82" and name == "zero-shot"
            row["thoughts"] = HOSTILE if thinks else None
            rows.append(row | published if method["kind"] == "published" else row)
    return rows


def metric_rows(arm: tuple, responses: list[dict]) -> list[dict]:
    dice = random.Random(arm[0] + "metrics")
    rows = []
    for response in responses:
        for metric, about in METRICS.items():
            drift = {"higher": 0.12, "lower": -0.12, "none": 0.02}[about.better] * arm[4]
            value = dice.gauss(0.45 + drift, 0.18)
            if metric == "num_words":
                value = float(response["num_words"])
            undefined = metric == "rep_4" and dice.random() < 0.3
            row = {key: response[key] for key in ("arm", "prompt_id", "turn")}
            rows.append(row | {"metric": metric, "value": None if undefined else value})
    return rows


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of a normal interval: the report only shows what it is given."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return mean, 1.96 * (variance / len(values)) ** 0.5


def by_prompt(rows: list[dict], metric: str, wanted: set[str]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["metric"] == metric and row["prompt_id"] in wanted and row["value"] is not None:
            found.setdefault(row["prompt_id"], []).append(row["value"])
    return {prompt: sum(values) / len(values) for prompt, values in found.items()}


def statistic_rows(measured: dict[str, list[dict]], prompts: list[dict]) -> list[dict]:
    rows = []
    for dataset in ("all", *dict.fromkeys(row["dataset"] for row in prompts)):
        for category in ("all", "regular", "safety"):
            wanted = chosen(prompts, dataset, category)
            for arm, values in measured.items() if wanted else ():
                for metric in METRICS:
                    found = by_prompt(values, metric, wanted)
                    mean, half = spread(list(found.values())) if found else (None, None)
                    row = {"arm": arm, "dataset": dataset, "category": category, "metric": metric}
                    row |= {
                        "n": len(found),
                        "clusters": len(found),
                        "mean": mean,
                        "coverage": len(found) / len(wanted),
                    }
                    low, high = (mean - half, mean + half) if found else (None, None)
                    rows.append(row | {"ci_low": low, "ci_high": high})
    return rows


def chosen(prompts: list[dict], dataset: str, category: str) -> set[str]:
    return {
        row["prompt_id"]
        for row in prompts
        if dataset in ("all", row["dataset"]) and category in ("all", row["category"])
    }


def comparison_rows(measured: dict[str, list[dict]], prompts: list[dict]) -> list[dict]:
    baseline, *others = measured
    rows = []
    for dataset in ("all", *dict.fromkeys(row["dataset"] for row in prompts)):
        for category in ("all", "regular", "safety"):
            wanted = chosen(prompts, dataset, category)
            for arm in others:
                for metric in METRICS:
                    ours = by_prompt(measured[arm], metric, wanted)
                    theirs = by_prompt(measured[baseline], metric, wanted)
                    pairs = [ours[key] - theirs[key] for key in ours if key in theirs]
                    if pairs:
                        row = comparison(arm, baseline, dataset, metric, pairs)
                        rows.append(row | {"category": category})
    return rows


def comparison(arm: str, baseline: str, dataset: str, metric: str, pairs: list[float]) -> dict:
    mean, half = spread(pairs)
    p_value = min(1.0, 2.7 ** (-((1.96 * mean / half) ** 2) / 2)) if half else 1.0
    row = {"arm_a": arm, "arm_b": baseline, "dataset": dataset, "metric": metric}
    row |= {
        "n": len(pairs),
        "clusters": len(pairs),
        "mean_difference": mean,
        "test": "sign-flip permutation",
    }
    row |= {"ci_low": mean - half, "ci_high": mean + half, "p_value": p_value}
    row |= {"p_adjusted": min(1.0, 6 * p_value), "effect_size": mean / half if half else None}
    return row | {"minimum_detectable_effect": 1.43 * half}


def provenance() -> dict:
    stages = [
        {"stage": stage, "name": name, "digest": f"{index:02d}4f9c2ab71e", "spec": {"seed": 0}}
        | {"path": f"results/store/{stage}/{name}-{index:02d}4f9c2ab71e.parquet"}
        for index, (stage, name) in enumerate(
            [("prompts", "mt-bench"), *(("responses", arm[0]) for arm in ARMS)]
        )
    ]
    timings = [
        {"rule": "generate", "name": arm[0], "seconds": 40.0 + 9 * i, "max_rss_mb": 1500.0 + i}
        for i, arm in enumerate(ARMS)
    ]
    frame = "# Query:\n```\nExplain how bread came to be.\n```\n\n# Answer:\n```\n"
    return {
        "artefacts": stages,
        "timings": timings,
        "versions": {"python": "3.11.7", "torch": "2.9.0", "transformers": "5.23.0"},
        "commit": "0123456789ab",
        "hardware": {"cpu": "Invented CPU", "cores": 2, "memory_gb": 16.0, "gpu": None},
        "created": "2026-01-02T03:04:05+00:00",
        "engine_checks": [],
        "plain": {},
        "first_prompts": {arm[0]: f"<bos>{frame}" for arm in ARMS},
    }


def make_study(folder: Path, regular: int = 24, safety: int = 12, arms: tuple = ARMS) -> Study:
    """Write every table of the experiment under `folder`; nothing is built yet."""
    prompts = prompt_rows(regular, safety)
    tables.write("prompts", folder / "prompts.parquet", prompts, NOTE)
    responses = {arm[0]: response_rows(arm, prompts) for arm in arms}
    measured = {arm[0]: metric_rows(arm, responses[arm[0]]) for arm in arms}
    for name in responses:
        tables.write("responses", folder / f"{name}.parquet", responses[name], NOTE)
        tables.write("metrics", folder / f"{name}.metrics.parquet", measured[name], NOTE)
    made = Study(folder, arguments(folder, arms))
    made.write("statistics", statistic_rows(measured, prompts))
    made.write("comparisons", comparison_rows(measured, prompts))
    made.write("breakdown", [])
    made.set_provenance(provenance())
    return made


def arguments(folder: Path, chosen_arms: tuple) -> dict:
    greedy = {"max_new_tokens": 256, "temperature": 0.0, "samples": 1}
    arms = [
        {"name": name, "model": model, "method": method, "decoding": greedy, "role": role}
        for name, model, method, role, _ in chosen_arms
    ]
    spec = {"experiment": "synthetic", "title": "Prompting against tuning, invented numbers"}
    spec |= {"arms": arms, "baseline": "zero-shot", "digest": "0123456789ab"}
    spec |= {"judges": {}, "page": []}
    spec |= dict.fromkeys(("pairs", "scenarios", "studies", "trainsets", "tuned", "judged"), ())
    names = [arm["name"] for arm in arms]
    return {
        "spec": spec,
        "tables": {"statistics": folder / "tables" / "statistics.parquet"},
        "responses": {arm: folder / f"{arm}.parquet" for arm in names},
        "metrics": {arm: folder / f"{arm}.metrics.parquet" for arm in names},
        "judgements": {arm: [] for arm in names},
        "adapters": {},
        "prompts": [folder / "prompts.parquet"],
        "output": folder / "report",
    }


def embedded(page: str) -> dict:
    """The JSON that the page carries for its scripts."""
    opening = '<script type="application/json" id="data">'
    return json.loads(page.split(opening)[1].split("</script>")[0])
