"""Every causal architecture of the installed transformers is equal, run plainly, or refused."""

import json
import runpy
from pathlib import Path

import pytest
import torch
import transformers
from test_transformers_engine import ROWS as SHORT
from test_transformers_engine import answers, plain_generate
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.engines import prefix_attention
from alignlab.engines.config import DecodingConfig
from alignlab.engines.equality import context_window, examine, outcome_of, record
from alignlab.engines.small import reduced
from alignlab.engines.transformers_engine import load

PREFIX = [1, *range(20, 60)]
PAGE = runpy.run_path(str(Path(__file__).parents[2] / "docs/list_models.py"))
config_of = PAGE["config_of"]
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 32}
LONGROPE |= {"short_factor": [1.0] * 48, "long_factor": [4.0] * 48, "factor": 2.0}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
WINDOWED = {"use_sliding_window": True, "sliding_window": 512, "max_window_layers": 20}


@pytest.fixture(scope="module")
def made(tmp_path_factory, repository_root):
    """Make the folder of a small model, of the shipped tokenizer."""

    def make(kind, **keys):
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
        config = reduced(config_of(kind, **keys))
        text = config.get_text_config(decoder=True)
        text.vocab_size, text.eos_token_id = 1024, tokenizer.eos_token_id
        if hasattr(text, "vocab_size_per_layer_input"):
            text.vocab_size_per_layer_input = 1024
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
        *(("smollm3", "fast"), ("qwen2", "fast"), ("phimoe", "plain")),
        *(("gemma4_text", "fast"), ("dots1", "fast")),
        *(("falcon", "plain"), ("gptj", "plain"), ("gpt_neo", "plain"), ("stablelm", "plain")),
        *(
            ("codegen", "plain"),
            ("gpt_neox_japanese", "plain"),
            ("diffllama", "plain"),
        ),
        *(("openai-gpt", "plain"), ("bloom", "plain"), ("mpt", "plain"), ("rwkv", "plain")),
        *(("deepseek_v2", "plain"), ("deepseek_v3", "plain"), ("gemma3n_text", "plain")),
        *(("bert", "refused"), ("bart", "refused")),
    ],
)
def test_an_architecture_is_run_the_way_that_is_equal(kind, way):
    assert examine(config_of(kind)).way == way


@pytest.mark.parametrize("kind", ["nemotron", "jetmoe"])
def test_no_architecture_ends_in_a_traceback(kind):
    assert examine(config_of(kind)).way in {"fast", "plain"}


def test_a_rope_that_depends_on_the_longest_row_is_run_plainly():
    assert "longrope" in examine(config_of("phi3", rope_parameters=LONGROPE)).reason


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        *((kind, {}) for kind in ("gemma3", "gpt_oss", "gptj", "stablelm", "bloom", "gpt_neo")),
        *((kind, {}) for kind in ("deepseek_v2", "deepseek_v3", "nemotron", "mpt", "xglm")),
        *(("falcon", {}), ("falcon", {"alibi": True}), ("gemma3n_text", {}), ("gemma4_text", {})),
        ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 8}),
        *(("qwen2", WINDOWED), ("qwen2", WINDOWED | {"use_sliding_window": False})),
        *(("phi3", {"rope_parameters": LONGROPE}), ("llama", {"rope_parameters": DYNAMIC})),
    ],
)
def test_answers_are_those_of_plain_generate(made, kind, keys):
    """In a batch, after a prefix, over a window's edge, and asked again after a longer row."""
    folder = made(kind, **keys)
    prompts = [PREFIX[:12] + SHORT[at] for at in (0, 1, 0, 2)]
    found = answers(
        load(folder, "float32", 3), prompts, DecodingConfig(max_new_tokens=8), prefix=PREFIX[:12]
    )
    expected = [plain_generate(folder, [prompt], 8)[0] for prompt in prompts]
    assert [c.token_ids for c in found] == expected


@pytest.mark.parametrize(
    ("kind", "key", "values"),
    [
        ("smollm3", "no_rope_layers", {0, 1}),
        ("gemma3", "layer_types", {"sliding_attention", "full_attention"}),
        ("gemma3n_text", "kv_sharing_modes", {"reuse", "store", None}),
    ],
)
def test_a_small_model_has_every_kind_of_layer(kind, key, values):
    small = reduced(config_of(kind)).get_text_config(decoder=True)
    assert set(getattr(small, key)) == values
    assert small.num_hidden_layers <= 8


def test_the_outcome_stands_beside_the_model(made):
    folder = made("codegen")
    record(folder)
    noted = json.loads((folder / "alignlab.json").read_text())["engine"]
    assert noted["way"] == "plain"
    assert outcome_of(folder).reason == noted["reason"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_that_differ_once_they_are_loaded_are_run_plainly(made, monkeypatch, dtype):
    """A fault of attention that no small model showed: prefixes are not seen."""
    folder, prompts = made("llama"), [PREFIX + row for row in SHORT]
    assert load(folder, dtype, 4).plain == ""
    seen = prefix_attention._allowed

    def blind(positions, context, window):
        allowed = seen(positions, context, window).clone()
        allowed[..., : context.prefix.length] = False
        return allowed

    record(folder)
    monkeypatch.setattr(prefix_attention, "_allowed", blind)
    engine = load(folder, dtype, 4)
    assert "differ with a shared prefix" in engine.plain
    if dtype == "float32":
        found = answers(engine, prompts, DecodingConfig(max_new_tokens=4), prefix=PREFIX)
        assert [c.token_ids for c in found] == plain_generate(folder, prompts, 4)


def test_a_note_of_another_model_makes_no_answer_wrong(made):
    """`fast` stands beside weights whose class ignores our attention."""
    folder, prompts = made("codegen"), [PREFIX[:12] + row for row in SHORT[:3]]
    note = {"engine": {"way": "fast", "reason": "", "transformers": transformers.__version__}}
    (folder / "alignlab.json").write_text(json.dumps(note))
    found = answers(
        load(folder, "float32", 3), prompts, DecodingConfig(max_new_tokens=4), prefix=PREFIX[:12]
    )
    assert [c.token_ids for c in found] == plain_generate(folder, prompts, 4)


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


def test_the_page_of_models_is_of_this_code_and_this_transformers():
    """It is a function of both, and the sweep that makes it takes minutes."""
    page = PAGE["PAGE"].read_text(encoding="utf-8")
    assert PAGE["versions"]() in page, "write it again: python docs/list_models.py"
    assert "DIFFERENT" not in page
