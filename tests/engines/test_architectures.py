"""Every causal architecture of the installed transformers is equal, run plainly, or refused."""

import json
import runpy

import pytest
import torch
from test_transformers_engine import ROWS as SHORT
from test_transformers_engine import answers, plain_generate
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.engines.config import DecodingConfig
from alignlab.engines.equality import context_window, examine, outcome_of, record, reduced
from alignlab.engines.transformers_engine import load

PREFIX = [1, *range(20, 60)]
# Defaults of some config classes belong to no model; these are what published ones say.
PUBLISHED = {
    "deepseek_v2": {"num_experts_per_tok": 6, "n_group": 1, "topk_group": 1},
    "nemotron": {"num_key_value_heads": 8},
    "phimoe": {"sliding_window": 8},
    "gemma2": {"sliding_window": 8},
}
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 32}
LONGROPE |= {"short_factor": [1.0] * 48, "long_factor": [4.0] * 48, "factor": 2.0}


def config_of(kind, **keys):
    return CONFIG_MAPPING[kind](**PUBLISHED.get(kind, {}), **keys)


@pytest.fixture(scope="module")
def made(tmp_path_factory, repository_root):
    """Make the folder of a small model, of the shipped tokenizer."""

    def make(kind, **keys):
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
        config = reduced(config_of(kind, **keys))
        text = config.get_text_config(decoder=True)
        text.vocab_size, text.eos_token_id = 1024, tokenizer.eos_token_id
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=0.2)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *(("llama", "fast"), ("gemma3", "fast"), ("gpt_oss", "fast"), ("gemma2", "fast")),
        *(("falcon", "plain"), ("gptj", "plain"), ("gpt_neo", "plain"), ("stablelm", "plain")),
        *(("codegen", "plain"), ("gpt_neox_japanese", "plain"), ("diffllama", "plain")),
        *(("openai-gpt", "plain"), ("bloom", "plain"), ("mpt", "plain"), ("rwkv", "plain")),
        *(("bert", "refused"), ("bart", "refused")),
    ],
)
def test_an_architecture_is_run_the_way_that_is_equal(kind, way):
    assert examine(config_of(kind)).way == way


@pytest.mark.parametrize("kind", ["deepseek_v2", "deepseek_v3", "nemotron", "phimoe", "jetmoe"])
def test_no_architecture_ends_in_a_traceback(kind):
    assert examine(config_of(kind)).way in {"fast", "plain"}


def test_a_rope_that_depends_on_the_longest_row_is_run_plainly():
    assert "longrope" in examine(config_of("phi3", rope_parameters=LONGROPE)).reason


@pytest.mark.parametrize("kind", ["gemma3", "gpt_oss", "falcon", "gptj", "stablelm", "bloom"])
def test_answers_are_those_of_plain_generate(made, kind):
    folder = made(kind)
    prompts = [PREFIX[:12] + row for row in SHORT[:3]]
    found = answers(
        load(folder, "float32", 3), prompts, DecodingConfig(max_new_tokens=8), prefix=PREFIX[:12]
    )
    assert [c.token_ids for c in found] == plain_generate(folder, prompts, 8)


def test_the_outcome_stands_beside_the_model(made):
    folder = made("codegen")
    record(folder)
    noted = json.loads((folder / "alignlab.json").read_text())["engine"]
    assert noted["way"] == "plain"
    assert outcome_of(folder).reason == noted["reason"]


def test_an_encoder_is_refused_by_name(tmp_path):
    config_of("bert").save_pretrained(tmp_path)
    with pytest.raises(AlignlabError, match="bert: its logits of a token depend on later"):
        record(tmp_path)


@pytest.mark.parametrize(
    ("kind", "window"),
    [("gemma3", 131072), ("bloom", 2048), ("mpt", 2048), ("gpt2", 1024), ("rwkv", 1024)],
)
def test_the_context_window_is_found_under_its_name(kind, window):
    assert context_window(CONFIG_MAPPING[kind](), "m") == window


def test_a_config_without_a_context_window_is_refused_by_name():
    with pytest.raises(AlignlabError, match="states no context window"):
        context_window(AutoConfig.for_model("mamba"), "m")


def test_layers_with_a_state_are_run_plainly():
    config = CONFIG_MAPPING["lfm2"](layer_types=["conv", "full_attention"], num_hidden_layers=2)
    assert examine(config).way == "plain"


def test_what_generate_cannot_do_is_one_error_that_names_the_model(made, monkeypatch):
    engine = load(made("codegen"), "float32", 1)

    def broken(*_, **__):
        raise IndexError("list index out of range")

    monkeypatch.setattr(engine.model, "generate", broken)
    with pytest.raises(AlignlabError, match=r"codegen.*list index out of range"):
        answers(engine, [PREFIX], DecodingConfig(max_new_tokens=2))


def test_the_page_of_models_says_how_each_is_run(repository_root):
    """An architecture that a new transformers brings, or runs otherwise, shows here."""
    page = (repository_root / "docs/models.md").read_text(encoding="utf-8")
    script = runpy.run_path(str(repository_root / "docs/list_models.py"))
    missing = [n for n in script["names"]() if f"| {n} | {script['way'](n)} |\n" not in page]
    assert not missing
