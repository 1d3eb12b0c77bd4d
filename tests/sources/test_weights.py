"""Every tensor is accounted for, nothing is computed from packed weights, no code runs."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

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
FETCH = "import sys\nfrom alignlab.sources.models import FetchModelJob, fetch_model\n"
FETCH += "fetch_model(FetchModelJob.model_validate_json(sys.argv[1]))"


def test_code_of_a_stranger_is_not_run_when_somebody_says_yes(written, tmp_path):
    source = written("llama")
    cached = tmp_path / "hub" / "models--someone--repo"
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40) / "configuration_x.py").write_text(STRANGER)
    auto_map = {"AutoConfig": "someone/repo--configuration_x.XConfig"}
    configure(source, model_type="strange", auto_map=auto_map)
    mark = tmp_path / "mark"
    places = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_MODULES_CACHE": str(tmp_path / "code")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, job(source, tmp_path / "out").model_dump_json()],
        input="y\ny\n",
        env=os.environ | places | {"HF_HUB_OFFLINE": "1", "MARK": str(mark)},
        capture_output=True,
        text=True,
    )
    assert not mark.exists()
    assert "auto_map names code (someone/repo--configuration_x.XConfig)" in done.stderr
    assert "no model type 'strange'" in done.stderr


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
