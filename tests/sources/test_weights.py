"""Every tensor is accounted for, nothing is computed from packed weights, no code runs."""

import io
import json
import sys

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    dynamic_module_utils,
)

from alignlab.core.errors import AlignlabError
from alignlab.engines.packing import READ
from alignlab.sources.models import FetchModelJob, fetch_model

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 1024}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 1024}
KINDS = {
    "llama": {"model_type": "llama", **SIZES},
    "tied": {"model_type": "llama", "tie_word_embeddings": True, **SIZES},
    "gemma": {"model_type": "gemma", **SIZES},
    "gemma3": {"model_type": "gemma3_text", **SIZES},
    "qwen2": {"model_type": "qwen2", **SIZES},
    "mixtral": {"model_type": "mixtral", "num_local_experts": 2, **SIZES},
    "gpt2": {"model_type": "gpt2", **GPT2},
    "neox": {"model_type": "gpt_neox", **{k: v for k, v in SIZES.items() if "key" not in k}},
}


def job(source, output, **more):
    spec = {"id": "mine", "role": "base", "content": "0" * 64, "digest": "0" * 12, **more}
    place = {"source": {"kind": "local", "path": str(source)}}
    return FetchModelJob(spec=spec, place=place, output=output)


def refused(source, output, **more):
    with pytest.raises(AlignlabError) as caught:
        fetch_model(job(source, output, **more))
    assert not output.exists()
    return str(caught.value)


@pytest.fixture
def written(tiny, tmp_path):
    """Writes a model of an architecture in a folder, as transformers does."""

    def write(kind):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**KINDS[kind]))
        folder = tmp_path / kind
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
        return folder

    return write


def change(folder, edit):
    """Write the weights again after a function had its way with them."""
    tensors = load_file(folder / "model.safetensors")
    tensors = edit(tensors) or tensors
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder, name="config.json", **changes):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def logits(folder):
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder)(torch.arange(9)[None]).logits


@pytest.mark.parametrize("kind", KINDS)
def test_what_transformers_writes_is_complete(written, tmp_path, kind):
    source = written(kind)
    fetch_model(job(source, tmp_path / "out"))
    assert torch.equal(logits(source), logits(tmp_path / "out"))


@pytest.mark.parametrize(
    ("kind", "wrappers"),
    [
        ("llama", ["_orig_mod."]),
        ("llama", ["module."]),
        ("tied", ["module.", "_orig_mod."]),
        ("qwen2", ["base_model.model."]),
        ("gpt2", ["_orig_mod.", "module."]),
    ],
)
def test_wrappers_of_training_code_are_taken_off_names_and_noted(written, tmp_path, kind, wrappers):
    source = written(kind)
    expected = logits(source)
    change(source, lambda held: {"".join(wrappers) + n: t for n, t in held.items()})
    fetch_model(job(source, tmp_path / "out"))
    assert torch.equal(logits(tmp_path / "out"), expected)
    note = json.loads((tmp_path / "out" / "alignlab.json").read_text())
    assert note["removed_from_names"] == wrappers


def test_layers_compiled_one_by_one_are_unwrapped_in_every_shard(written, tmp_path):
    source = written("llama")
    expected = logits(source)
    model = AutoModelForCausalLM.from_pretrained(source)
    (source / "model.safetensors").unlink()
    model.save_pretrained(source, max_shard_size="50KB")
    index = source / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    assert len(set(content["weight_map"].values())) > 1
    compiled = lambda name: name.replace(".mlp", "._orig_mod.mlp")  # noqa: E731
    for shard in source.glob("*.safetensors"):
        held = {compiled(name): tensor for name, tensor in load_file(shard).items()}
        save_file(held, shard, metadata={"format": "pt"})
    content["weight_map"] = {compiled(n): shard for n, shard in content["weight_map"].items()}
    index.write_text(json.dumps(content))
    fetch_model(job(source, tmp_path / "out"))
    assert torch.equal(logits(tmp_path / "out"), expected)


def without(*ends):
    return lambda held: {name: t for name, t in held.items() if not name.endswith(ends)}


def renamed(old, new):
    return lambda held: {name.replace(old, new): tensor for name, tensor in held.items()}


@pytest.mark.parametrize(
    ("kind", "edit", "expected"),
    [
        ("llama", without("lm_head.weight"), "1 missing (lm_head.weight)"),
        ("llama", without("layers.1.mlp.up_proj.weight"), "1 missing (model.layers.1.mlp.up_proj"),
        ("gpt2", without("h.1.ln_1.bias"), "1 missing (transformer.h.1.ln_1.bias)"),
        ("qwen2", renamed("layers.1.", "layers.2."), "not part of the architecture (model.layers"),
        ("gemma", renamed("model.layers", "net.layers"), "18 missing (model.layers.0.input_layer"),
        (
            "llama",
            lambda held: {**held, "steps": torch.arange(3)},
            "1 not part of the architecture (steps)",
        ),
        (
            "llama",
            lambda held: {**held, "model.norm.weight": torch.ones(31)},
            "1 of another shape (model.norm.weight is [31], expected [32])",
        ),
        (
            "qwen2",
            lambda held: {
                **held,
                "model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(8, 32),
            },
            "q_proj.lora_A.weight",
        ),
    ],
)
def test_a_tensor_missing_left_over_or_of_another_shape_is_named(
    written, tmp_path, kind, edit, expected
):
    source = written(kind)
    change(source, edit)
    message = refused(source, tmp_path / "out")
    assert message.startswith("model mine: the weights: not those of the architecture")
    assert expected in message


@pytest.mark.parametrize("layers", [1, 3])
def test_a_config_of_another_depth_is_refused(written, tmp_path, layers):
    source = written("llama")
    configure(source, num_hidden_layers=layers)
    message = refused(source, tmp_path / "out")
    assert ("missing" if layers == 3 else "not part of the architecture") in message


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
        ("gpt2", "transformer.h.0.attn.bias"),
        ("gpt2", "transformer.h.0.attn.masked_bias"),
        ("neox", "gpt_neox.layers.0.attention.bias"),
        ("neox", "gpt_neox.layers.0.attention.masked_bias"),
    ],
)
def test_buffers_of_old_checkpoints_do_not_count(written, tmp_path, kind, name):
    source = written(kind)
    change(source, lambda held: {**held, name: torch.ones(4)})
    fetch_model(job(source, tmp_path / "out"))


PACKED = {
    "fp8": lambda held: {
        n: t.to(torch.float8_e4m3fn) if n.endswith("_proj.weight") else t for n, t in held.items()
    },
    "gptq": renamed("q_proj.weight", "q_proj.qweight"),
    "compressed-tensors": lambda held: {**held, "model.norm.weight_scale": torch.ones(1)},
    "bitsandbytes": lambda held: {**held, "model.norm.weight.absmax": torch.ones(1)},
    "int8": lambda held: {**held, "lm_head.weight": torch.ones(1024, 32, dtype=torch.int8)},
}


@pytest.mark.parametrize("method", PACKED)
def test_quantised_weights_are_refused_or_left_to_vllm(written, tmp_path, method):
    source = written("llama")
    change(source, PACKED[method])
    assert "no quantization_config" in refused(source, tmp_path / "out", engine="vllm")
    assert "the weights are quantised (" in refused(source, tmp_path / "out")
    configure(source, quantization_config={"bits": 4})
    assert "no `quant_method`" in refused(source, tmp_path / "out", engine="vllm")
    configure(source, quantization_config={"quant_method": method})
    message = refused(source, tmp_path / "out")
    assert f"the weights are {method} (" in message
    if method not in READ:
        assert "neither transformers nor vLLM reads" in message
        assert message == refused(source, tmp_path / "out", engine="vllm")
        return
    assert "`engine: vllm`" in message
    fetch_model(job(source, tmp_path / "out", engine="vllm"))
    copied = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert copied == (source / "model.safetensors").read_bytes()


STRANGER = "import pathlib, os\npathlib.Path(os.environ['MARK']).write_text('ran')\n"
STRANGER += "from transformers import LlamaConfig\nclass XConfig(LlamaConfig):\n"
STRANGER += "    model_type = 'strange'\n"


@pytest.fixture
def code_of_a_stranger(tmp_path, monkeypatch):
    """Code in the hub's cache that marks its run, with `y` on stdin for whoever asks to run it."""
    snapshot = tmp_path / "hub" / "models--someone--repo" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    (snapshot / "configuration_x.py").write_text(STRANGER)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "code"))
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    return {"AutoConfig": "someone/repo--configuration_x.XConfig"}


def test_code_of_a_stranger_is_not_run_when_somebody_says_yes(
    written, tmp_path, code_of_a_stranger
):
    source = written("llama")
    configure(source, model_type="strange", auto_map=code_of_a_stranger)
    message = refused(source, tmp_path / "out")
    assert not (tmp_path / "mark").exists(), "it ran"
    assert sys.stdin.tell() == 0, "somebody was asked"
    assert "auto_map names code (someone/repo--configuration_x.XConfig)" in message
    assert "no model type 'strange'" in message


def test_a_tokenizer_that_is_code_is_refused(written, tmp_path):
    source = written("llama")
    auto_map = {"AutoTokenizer": ["tokenization_x.XTokenizer", None]}
    configure(source, "tokenizer_config.json", tokenizer_class="XTokenizer", auto_map=auto_map)
    message = refused(source, tmp_path / "out")
    assert "tokenizer_config.json: auto_map names code (tokenization_x.XTokenizer)" in message


def test_code_beside_a_model_that_transformers_has_itself_is_left_out(written, tmp_path):
    source = written("qwen2")
    configure(source, auto_map={"AutoConfig": "configuration_x.XConfig"})
    (source / "configuration_x.py").write_text("raise SystemExit")
    fetch_model(job(source, tmp_path / "out"))
    assert "auto_map" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert not (tmp_path / "out" / "configuration_x.py").exists()


KERNELS = {"attn_implementation": "evil/kernel", "_attn_implementation": "flash_attention_2"}
KERNELS |= {"experts_implementation": "evil/kernel"}
DEEP = {
    "config.json": {"part": {"auto_map": {"AutoModel": "a/b--c.D"}, "kept": 1}, "kept": 2}
    | KERNELS,
    "tokenizer_config.json": {"extra": [{"auto_map": ["a/b--c.D", None]}], "kept": 3},
    "processor_config.json": {"auto_map": {"AutoProcessor": "a/b--c.D"}, "kept": 4},
    "preprocessor_config.json": {"auto_map": {}, "kept": 5},
    "generation_config.json": {"auto_map": "a/b--c.D", "eos_token_id": 2},
}


def test_nothing_that_is_materialised_names_code_at_any_depth(written, tmp_path):
    source = written("qwen2")
    (source / "vocab.json").write_text('{"auto_map": 7}')  # a token
    for name, changes in DEEP.items():
        if not (source / name).exists():
            (source / name).write_text("{}")
        configure(source, name, **changes)
    fetch_model(job(source, tmp_path / "out"))
    assert (tmp_path / "out" / "vocab.json").read_text() == '{"auto_map": 7}'
    for name, changes in DEEP.items():
        text = (tmp_path / "out" / name).read_text()
        assert "auto_map" not in text
        assert "_implementation" not in text
        assert json.loads(text).get("kept") == changes.get("kept")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["part"] == {"kept": 1}


def test_a_random_model_names_no_code(repository, tmp_path, code_of_a_stranger):
    architecture = {**KINDS["llama"], "auto_map": {"AutoModelForCausalLM": "a/b--c.D"}}
    spec = {"id": "mine", "role": "base", "digest": "0" * 12}
    spec |= {"source": {"kind": "random", "architecture": architecture}}
    fetch_model(FetchModelJob(spec=spec, output=tmp_path / "out"))
    assert "auto_map" not in (tmp_path / "out" / "config.json").read_text()
    assert sys.stdin.tell() == 0


def test_a_config_without_its_architecture_is_refused(written, tmp_path):
    """transformers would guess it by the path, in which every store has `models`."""
    source = written("llama")
    configure(source, model_type=None)
    assert "`model_type` is missing" in refused(source, tmp_path / "my-llama")


def test_a_module_of_an_embedder_that_is_code_is_refused(written, tmp_path):
    source = written("llama")
    module = {"idx": 0, "name": "0", "path": "", "type": "someone/repo--custom.Module"}
    (source / "modules.json").write_text(json.dumps([module]))
    message = refused(source, tmp_path / "out", role="embedder")
    assert "modules.json: someone/repo--custom.Module is no part of" in message


def embedder(folder, tmp_path, kind=AutoModel):
    """A small model of sentence-transformers' form; its weights as a class of transformers has."""
    torch.manual_seed(0)
    sizes = {k: v for k, v in SIZES.items() if k not in ("num_key_value_heads", "head_dim")}
    config = AutoConfig.for_model("bert", **sizes, tie_word_embeddings=False)
    source = tmp_path / "embedder"
    kind.from_config(config).save_pretrained(source)
    AutoTokenizer.from_pretrained(folder).save_pretrained(source)
    module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    (source / "modules.json").write_text(json.dumps([module]))
    return source


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (without("layer.1.output.dense.weight"), "1 missing (encoder.layer.1.output.dense.weight)"),
        (renamed("layer.1.", "layer.2."), "not part of the architecture (encoder.layer.2"),
        (lambda held: {f"_orig_mod.{name}": t for name, t in held.items()}, "missing (embeddings."),
        (
            lambda held: {**held, "embeddings.LayerNorm.weight": torch.ones(7)},
            "1 of another shape (embeddings.LayerNorm.weight is [7], expected [32])",
        ),
    ],
)
def test_every_tensor_of_an_embedder_is_accounted_for(tiny, tmp_path, edit, expected):
    source = embedder(tiny, tmp_path)
    change(source, edit)
    assert expected in refused(source, tmp_path / "out", role="embedder")


@pytest.mark.parametrize("kind", [AutoModel, AutoModelForCausalLM])
def test_heads_of_an_embedder_do_not_count(tiny, tmp_path, kind):
    """all-MiniLM has a pooler that nothing reads, others kept the head of their pretraining."""
    source = embedder(tiny, tmp_path, kind)
    change(source, without("pooler.dense.weight", "pooler.dense.bias"))
    fetch_model(job(source, tmp_path / "out", role="embedder"))


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"


@pytest.mark.parametrize("role", ["base", "embedder"])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_pointer_of_git_lfs_is_no_file(tiny, tmp_path, role, name):
    """A clone without git-lfs; safetensors says `HeaderTooLarge` (transformers #27923)."""
    source = embedder(tiny, tmp_path)
    (source / name).write_text(LFS)
    message = refused(source, tmp_path / "out", role=role)
    assert f"{source / name}: a pointer of git-lfs, not the file itself; run" in message


def rename(old, new):
    return lambda source: (source / old).rename(source / new)


def write(name, content):
    return lambda source: (source / name).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            rename("model.safetensors", "consolidated.safetensors"),
            "only weights in Mistral's own format (consolidated.safetensors), which transformers",
        ),
        (
            rename("model.safetensors", "model.fp16.safetensors"),
            "expected model.safetensors, or model.safetensors.index.json that says what is in which"
            " part; there is model.fp16.safetensors",
        ),
        (write("adapter_config.json", {"base_model_name_or_path": "a/b"}), "adapter_config.json: "),
        (
            write("model.safetensors.index.json", {"weight_map": {"a": "model-1.safetensors"}}),
            "model.safetensors.index.json that names other files: transformers loads the former",
        ),
        (write("model.safetensors.index.json", {"weight_map": {"a": "../x"}}), "files beside it"),
        (write("model.safetensors.index.json", {"weight_map": {"a": None}}), "files beside it"),
        (write("model.safetensors.index.json", {"weight_map": {}}), "files beside it"),
        (write("model.safetensors.index.json", {}), "expected `weight_map`"),
        (write("model.safetensors.index.json", []), "expected a JSON object"),
    ],
)
def test_files_that_do_not_say_which_weights_are_meant(written, tmp_path, edit, expected):
    source = written("llama")
    edit(source)
    assert expected in refused(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        (
            "config.json",
            {"transformers_weights": "x.safetensors"},
            "have a name of their own, 'x.sa",
        ),
        ("config.json", {"hidden_act": "strange"}, "cannot open it: KeyError: 'strange'"),
        ("config.json", {"dtype": "strange"}, "cannot open it: AttributeError"),
        ("config.json", {"num_attention_heads": 0}, "cannot open it: ZeroDivisionError"),
        ("config.json", {"rope_parameters": "x"}, "StrictDataclassFieldValidationError"),
        ("config.json", {"model_type": ["llama"]}, "no such model: model_type ['llama']"),
        ("generation_config.json", {"eos_token_id": "x"}, "eos_token_id: 'x' is no token's number"),
        ("generation_config.json", {"cache_implementation": "strange"}, "cannot open it: ValueErr"),
        ("tokenizer_config.json", {"added_tokens_decoder": 5}, "the tokenizer: transformers canno"),
    ],
)
def test_settings_that_transformers_cannot_open_are_named(
    written, tmp_path, name, changes, expected
):
    source = written("llama")
    configure(source, name, **changes)
    assert expected in refused(source, tmp_path / "out")


BROKEN = ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"]


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, "\ufeff{}"])
def test_broken_settings_are_named_before_any_job(written, tmp_path, name, content):
    source = written("llama")
    (source / name).write_text(content)
    assert name.split("_")[0].removesuffix(".json") in refused(source, tmp_path / "out")


def add_tokens(folder, special, *tokens):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(tokens), special_tokens=special)
    tokenizer.save_pretrained(folder)


def test_a_token_that_the_model_has_no_weights_for_is_named(written, tmp_path):
    """WizardLM's padding has none and needs none (CTranslate2 #1618); a text would crash."""
    source = written("llama")
    add_tokens(source, True, "<padding>")
    fetch_model(job(source, tmp_path / "padded"))
    template = "<padding>{{ messages[0]['content'] }}"
    message = refused(source, tmp_path / "out", chat_template=template)
    assert "1 tokens that the model has no weights for, whose embeddings have 1024 rows" in message
    add_tokens(source, False, "<custom>")
    assert "(<custom>); take them out" in refused(source, tmp_path / "out")


def test_a_file_of_weights_is_no_model(written, tmp_path):
    path = written("llama") / "model.safetensors"
    message = refused(path, tmp_path / "out")
    assert f"{path}: a model is a folder, or a file that ends in .gguf" in message
