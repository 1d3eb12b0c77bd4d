"""An experiment that vLLM answers from a plain environment, checked against transformers."""

import json
import shutil

import pytest
import yaml

from alignlab.core import tables
from alignlab.planning.artefact import STORE

TINY = {
    "role": "aligned",
    "license": "none",
    "parameters": 600000,
    # vLLM has kernels for heads of 32 and more.
    "source": {
        "kind": "random",
        "architecture": {
            **{"model_type": "llama", "hidden_size": 128, "intermediate_size": 96},
            "vocab_size": 1024,
            **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
            **{"max_position_embeddings": 2048, "tie_word_embeddings": False},
        },
    },
}
EXPERIMENT = {
    **{"name": "by-vllm", "title": "Answered by vLLM", "baseline": "k1", "embedder": None},
    "prompts": [{"dataset": "smoke-questions"}],
    "engine": {"name": "vllm", "dtype": "float32"},
    "decoding": {"max_new_tokens": 12},
    "arms": [
        {
            **{"name": "k1", "model": "tiny-vllm"},
            "method": {"kind": "urial", "prompt": "urial/constant", "k": 1},
        }
    ],
}


@pytest.fixture(scope="module")
def planned(copied):
    """A checkout with an experiment for vLLM, and none of vLLM's environment."""
    checkout = copied()
    checkout.edit("config/catalog/models.yaml", lambda models: models.update({"tiny-vllm": TINY}))
    (checkout.folder / "by-vllm.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return checkout


def test_without_vllm_nothing_starts(planned):
    printed = planned.snakemake("--config", "experiment=by-vllm.yaml", check=False)
    assert "k1 (tiny-vllm): vLLM is not installed" in printed
    assert "make vllm" in printed
    assert not (planned.folder / STORE).exists()


@pytest.fixture(scope="module")
def answered(planned, repository_root, monkeypatch_module, tmp_path_factory):
    environment = repository_root / ".venv-vllm"
    if not environment.exists():
        pytest.skip("no .venv-vllm: run `make vllm`")
    folder = tmp_path_factory.mktemp("vllm") / "alignlab"
    shutil.copytree(planned.folder, folder, symlinks=True)
    (folder / ".venv-vllm").symlink_to(environment)
    monkeypatch_module.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    checkout = type(planned)(folder)
    checkout.snakemake("--config", "experiment=by-vllm.yaml")
    return checkout


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_vllm_answers_and_is_checked_against_transformers(answered):
    (responses,) = (answered.folder / STORE / "responses").glob("k1-*.parquet")
    rows = list(tables.rows("responses", responses))
    rows = [row for row in rows if row["turn"] == 0]
    assert len(rows) == 5
    assert all(0 < row["num_tokens"] <= 12 for row in rows)
    (check,) = (answered.folder / STORE / "engine_checks").glob("tiny-vllm-*.parquet")
    found = {row["prompt_id"]: row for row in tables.rows("engine_checks", check)}
    for row in rows:
        assert found[row["prompt_id"]]["vllm_ids"][:12] == row["token_ids"]


def test_the_report_and_the_manifest_show_the_check(answered):
    folder = answered.folder / "results" / "by-vllm"
    (row,) = json.loads((folder / "manifest.json").read_text())["engine_checks"]
    assert (row["model"], row["prompts"], row["passed"]) == ("tiny-vllm", 5, True)
    page = (folder / "report" / "index.html").read_text()
    assert "vLLM against transformers" in page
    assert "tiny-vllm" in page
