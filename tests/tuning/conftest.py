"""A tiny model with the shipped tokenizer, training sets, and the spec of a short tuning."""

from contextlib import chdir

import pytest
import torch
import yaml
from lessons import CHAT, SHAPE, SHAPES, WHERE, example

from alignlab.core import tables
from alignlab.sources.models import from_seed
from alignlab.tuning.config import TunedConfig
from alignlab.tuning.examples import AdapterSpec
from alignlab.tuning.fit import TuneJob, finetune


@pytest.fixture(autouse=True)
def one_thread():
    """Sums over threads come in no fixed order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, repository_root):
    """Make the folder of a tiny model of some architecture."""
    tokenizer = repository_root / "config/catalog/tiny-tokenizer"
    folders = {}

    def make(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            shape = {**SHAPE, **SHAPES.get(kind, {}), "model_type": kind}
            from_seed(shape, 0, tokenizer, folders[kind])
        return folders[kind]

    return make


@pytest.fixture(scope="session")
def pairs(repository_root):
    """The first question-answer pairs of the shipped pool."""
    text = (repository_root / "config/prompts/icl/pool.yaml").read_text(encoding="utf-8")
    examples = yaml.safe_load(text)["examples"][:12]
    return [(example["query"], example["answer"]) for example in examples]


@pytest.fixture(scope="session")
def answers(pairs):
    """Ordinary answers."""
    return [example("answer", number, q, [a]) for number, (q, a) in enumerate(pairs)]


@pytest.fixture(scope="session")
def preferred(pairs):
    """Preferences: the answer against the first words of another question's."""
    others = [answer.split(".")[0] for _, answer in pairs[1:] + pairs[:1]]
    return [
        example("preference", number, question, [answer.split(".")[0] + "."], rejected=other)
        for number, ((question, answer), other) in enumerate(zip(pairs, others, strict=True))
    ]


@pytest.fixture
def make_spec():
    """A resolved spec, as the plan gives it; keywords change keys."""

    def make(trainer="sft", **changes):
        keys = {"name": "tiny-tuned", "base": "tiny", "trainset": "tiny-set", "trainer": trainer}
        given = {
            **TunedConfig(**keys, learning_rate=5e-4).model_dump(mode="json", exclude_none=True),
            "method": CHAT,
            "engine": {"dtype": "float32"},
            "seed": 0,
            "digest": "0123456789ab",
            "lora": {"rank": 4, "alpha": 8, "dropout": 0.1, "targets": "all-linear"},
            **changes,
        }
        return AdapterSpec.model_validate(given)

    return make


@pytest.fixture
def tune(model_folder, tmp_path):
    """Tune a tiny model on rows; gives the folder of the adapter."""

    def tune(spec, rows, kind="llama", folder=tmp_path):
        path = folder / "trainset.parquet"
        tables.write("trainset", path, rows, {"digest": "fedcba987654"})
        adapter = folder / "adapter"
        job = TuneJob(spec=spec, **WHERE, model=model_folder(kind), trainset=path, output=adapter)
        with chdir(folder):
            finetune(job)
        return adapter

    return tune
