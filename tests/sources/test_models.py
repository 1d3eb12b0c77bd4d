"""Models end to end: random ones, converted ones, and everything refused."""

import json
import subprocess
import sys

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.experiment.load import load_catalog
from alignlab.sources.models import FetchModelJob, fetch_model

TEXT = "Dear reader, 1 < 2 & “quotes”\n\tend"
CHAT = [{"role": "user", "content": "Hi"}]


def fetch(source, output, **more):
    fetch_model(job_of(source, output, **more))


def job_of(source, output, **more):
    local = source["kind"] == "local"
    spec = {"id": "mine", "role": "base", "digest": "0" * 12, **more}
    spec |= {"content": "0" * 64} if local else {"source": source}
    return FetchModelJob(spec=spec, place={"source": source} if local else {}, output=output)


def local(path):
    return {"kind": "local", "path": str(path)}


def opened(folder):
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def logits(model, tokenizer):
    with torch.no_grad():
        return model(**tokenizer(TEXT, return_tensors="pt")).logits


def refused(source, output, **more):
    with pytest.raises(AlignlabError) as caught:
        fetch(source, output, **more)
    assert not output.exists()
    assert not output.parent.exists() or list(output.parent.glob(".*")) == []
    return str(caught.value)


@pytest.mark.parametrize("name", ["tiny-base", "tiny-aligned", "tiny-gemma"])
def test_random_models_are_bf16_reproducible_and_of_the_size_stated(repository, tmp_path, name):
    entry = load_catalog().models[name]
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        fetch(entry.source.model_dump(mode="json"), output)
    model, tokenizer = opened(outputs[0])
    assert model.dtype == torch.bfloat16
    assert sum(weight.numel() for weight in model.parameters()) == entry.parameters
    assert torch.equal(logits(model, tokenizer), logits(*opened(outputs[1])))
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_seeds_differ(repository, tiny, tmp_path):
    source = load_catalog().models["tiny-aligned"].source.model_dump(mode="json")
    fetch(source, tmp_path / "other")
    assert not torch.equal(logits(*opened(tiny)), logits(*opened(tmp_path / "other")))


def test_the_tiny_tokenizer_returns_any_text_and_opens_with_one_bos(tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ids = tokenizer(TEXT + "日本").input_ids
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids[1:]) == TEXT + "日本"
    chat = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert chat == "<bos><|user|>\nHi<eos>\n<|assistant|>\n"


def test_a_vocabulary_too_small_for_the_tokenizer_is_refused(repository, tmp_path):
    source = {"kind": "random", "architecture": {"model_type": "llama", "vocab_size": 10}}
    assert "vocab_size is 10, expected at least 1024" in refused(source, tmp_path / "out")


def test_the_note_says_what_the_folder_was_made_from(tiny):
    note = json.loads((tiny / "alignlab.json").read_text())
    assert note["spec"]["id"] == "tiny"
    assert note["versions"]["transformers"]


def test_weights_have_the_permissions_of_other_files(tiny):
    assert (tiny / "model.safetensors").stat().st_mode == (tiny / "config.json").stat().st_mode


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_keep_the_precision_that_they_come_in(tiny, tmp_path, dtype):
    model, tokenizer = opened(tiny)
    source = tmp_path / "source"
    weights = model.float().state_dict()
    torch.manual_seed(0)
    model.load_state_dict({n: w + torch.randn_like(w) / 99 for n, w in weights.items()})
    model.to(dtype).save_pretrained(source, max_shard_size="100KB")
    tokenizer.save_pretrained(source)
    (source / "pytorch_model.bin").write_bytes(b"left behind")
    fetch(local(source), tmp_path / "out")
    shards = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(shards) > 1
    assert [path.read_bytes() for path in shards] == [
        (source / path.name).read_bytes() for path in shards
    ]
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index == json.loads((source / "model.safetensors.index.json").read_text())
    assert not (tmp_path / "out" / "pytorch_model.bin").exists()
    assert torch.equal(logits(*opened(source)), logits(*opened(tmp_path / "out")))


def test_a_generation_config_is_made_where_there_is_none(tiny, tmp_path):
    (tiny / "generation_config.json").unlink()
    fetch(local(tiny), tmp_path / "out")
    made = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert made["eos_token_id"] == 2


def older_tokenizer(folder):
    """Replace tokenizer.json by the two files that GPT-2 came with; returns the original."""
    original = AutoTokenizer.from_pretrained(folder)
    model = json.loads(original.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    settings = {"tokenizer_class": "GPT2Tokenizer", "unk_token": "<unk>", "eos_token": "<eos>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").unlink()
    return original


def test_an_older_tokenizer_becomes_tokenizer_json(tiny, tmp_path):
    original = older_tokenizer(tiny)
    fetch(local(tiny), tmp_path / "out")
    made = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    wanted = original(TEXT, add_special_tokens=False).input_ids
    assert made.encode(TEXT, add_special_tokens=False).ids == wanted


def test_an_older_tokenizer_that_cannot_be_opened_is_named(tiny, tmp_path):
    older_tokenizer(tiny)
    (tiny / "merges.txt").unlink()
    message = refused(local(tiny), tmp_path / "out")
    assert f"{tiny}: its tokenizer: transformers cannot open it: " in message


def test_a_source_that_transformers_cannot_open_is_named(tiny, tmp_path):
    """The config sends transformers to a file that is absent, which it reports as OSError."""
    (tiny / "generation_config.json").unlink()
    config = json.loads((tiny / "config.json").read_text())
    config["configuration_files"] = ["config.4.0.0.json"]
    (tiny / "config.json").write_text(json.dumps(config))
    message = refused(local(tiny), tmp_path / "out")
    assert "config.json: transformers cannot open it: OSError: " in message
    assert "config.4.0.0.json" in message


def test_the_catalog_template_replaces_the_tokenizers(tiny, tmp_path):
    fetch(local(tiny), tmp_path / "out", chat_template="{{ messages[0]['content'] }}!")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == "Hi!"


def test_an_embedder_is_copied_as_it_is(tiny, tmp_path):
    (tiny / "modules.json").write_text("[]")
    (tiny / "1_Pooling").mkdir()
    (tiny / "1_Pooling" / "config.json").write_text("{}")
    fetch(local(tiny), tmp_path / "out", role="embedder")
    copied = {path.relative_to(tiny) for path in tiny.rglob("*")}
    assert {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*")} == copied
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        tiny / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("role", ["base", "embedder"])
def test_pickled_weights_are_refused_wherever_they_are(tmp_path, role):
    folder = tmp_path / "pickled"
    folder.mkdir()
    for name in ("config.json", "modules.json", "pytorch_model.bin", "adapter.pt"):
        (folder / name).write_text("{}")
    message = refused(local(folder), tmp_path / "out", role=role)
    assert message.startswith("model mine: ")
    assert "only pickled weights (adapter.pt, pytorch_model.bin)" in message


@pytest.mark.parametrize(
    ("removed", "expected"),
    [
        ("config.json", "lacks config.json"),
        ("tokenizer.json", "no tokenizer"),
        ("model.safetensors", "no weights"),
    ],
)
def test_an_incomplete_folder_says_what_is_missing(tiny, tmp_path, removed, expected):
    (tiny / removed).unlink()
    assert expected in refused(local(tiny), tmp_path / "out")


def test_other_sources_that_cannot_be_used(tiny, tmp_path):
    assert "no such file or folder" in refused(local(tmp_path / "absent"), tmp_path / "out")
    assert "modules.json" in refused(local(tiny), tmp_path / "out", role="embedder")
    (tiny / "model.safetensors").write_bytes(b"x" * 100)
    assert "damaged safetensors file" in refused(local(tiny), tmp_path / "out")


def test_a_failed_run_leaves_the_earlier_folder_alone(tiny):
    before = (tiny / "model.safetensors").read_bytes()
    with pytest.raises(AlignlabError):
        fetch(local(tiny / "absent"), tiny)
    assert (tiny / "model.safetensors").read_bytes() == before
    assert [path.name for path in tiny.parent.iterdir()] == [tiny.name]


def test_a_full_disk_is_one_message_and_leaves_nothing(tiny, tmp_path):
    """The file size limit fails writes as a full disk does, in a process of its own."""
    dumped = job_of(local(tiny), tmp_path / "full" / "out").model_dump_json()
    code = (
        "import resource, signal, sys\n"
        "from alignlab.core.errors import AlignlabError\n"
        "from alignlab.sources.models import FetchModelJob, fetch_model\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"try:\n    fetch_model(FetchModelJob.model_validate_json({dumped!r}))\n"
        "except AlignlabError as error:\n    sys.exit(f'message: {error}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "cannot be written: " in done.stderr.split("message: ")[1]
    assert list((tmp_path / "full").iterdir()) == []
