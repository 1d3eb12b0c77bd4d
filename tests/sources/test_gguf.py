"""A GGUF file, written here as llama.cpp's converter writes one, and what comes back out of it."""

import json

import gguf
import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

from alignlab.core.errors import AlignlabError
from alignlab.sources.models import FetchModelJob, fetch_model

TEXT = "Dear reader, 1 < 2 & “quotes”\n\tend"
CHAT = [{"role": "user", "content": "Hi"}]


def fetch(path, output):
    spec = {"id": "mine", "role": "base", "content": "0" * 64, "digest": "0" * 12}
    place = {"source": {"kind": "local", "path": str(path)}}
    fetch_model(FetchModelJob(spec=spec, place=place, output=output))


def opened(folder):
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def logits(model, tokenizer):
    with torch.no_grad():
        return model(**tokenizer(TEXT, return_tensors="pt")).logits


def gguf_file(model, tokenizer, path, packed=None):
    """Write a llama model as llama.cpp's converter does, with a second token that ends a turn.

    Matrices are packed as a type of ggml, if one is given.
    """
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    add_tokenizer(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.float().state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        array = weight.numpy()
        for part, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
            if part in name:
                array = rotated(array, getattr(config, heads))
        kind = packed if array.ndim == 2 else None
        array = array if kind is None else gguf.quants.quantize(array, kind)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), array, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer, tokenizer):
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    tokens[5] = "<|im_end|>"
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL] * 6 + [gguf.TokenType.NORMAL] * (len(tokens) - 6)
    )
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{{ bos_token }}{{ messages[0]['content'] }}")


def rotated(weight, heads):
    """llama.cpp's order of the rows of query and key weights."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


@pytest.fixture
def quantised(tiny, tmp_path):
    """A folder with one GGUF file that holds the weights of `tiny`."""
    folder = tmp_path / "gguf"
    folder.mkdir()
    gguf_file(*opened(tiny), folder / "tiny.gguf")
    return folder


def test_a_gguf_file_becomes_the_model_it_was_made_from(tiny, quantised, tmp_path):
    fetch(quantised, tmp_path / "out")
    model, tokenizer = opened(tmp_path / "out")
    original, original_tokenizer = opened(tiny)
    assert model.dtype == torch.bfloat16
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    assert tokenizer(TEXT).input_ids == original_tokenizer(TEXT).input_ids
    assert torch.equal(logits(model, tokenizer), logits(original, original_tokenizer))
    assert not hasattr(AutoConfig.from_pretrained(tmp_path / "out"), "quantization_config")


def test_the_file_that_is_shipped_was_written_here(repository_root, tmp_path):
    """It is evidence for `make stages`: config/catalog/smoke/tiny.gguf."""
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    model, random = LlamaForCausalLM(config), np.random.default_rng(5)
    for weight in model.parameters():
        if weight.dim() == 2:
            weight.data = torch.tensor(random.normal(scale=0.2, size=weight.shape)).float()
    catalog = repository_root / "config/catalog"
    tokenizer = AutoTokenizer.from_pretrained(catalog / "tiny-tokenizer")
    gguf_file(model, tokenizer, tmp_path / "tiny.gguf", gguf.GGMLQuantizationType.Q8_0)
    written = (tmp_path / "tiny.gguf").read_bytes()
    assert written == (catalog / "smoke/tiny.gguf").read_bytes()


def test_every_token_that_ends_a_turn_survives_gguf(quantised, tmp_path):
    fetch(quantised / "tiny.gguf", tmp_path / "out")
    model, tokenizer = opened(tmp_path / "out")
    assert model.generation_config.eos_token_id == [2, 5]
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == "<bos>Hi"


def test_two_gguf_files_are_ambiguous(quantised, tmp_path):
    (quantised / "other.gguf").write_bytes(b"")
    with pytest.raises(AlignlabError, match=r"several GGUF files \(other\.gguf, tiny\.gguf\)"):
        fetch(quantised, tmp_path / "out")


def test_a_damaged_gguf_file_is_named(tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"not a model at all, whatever its name says")
    with pytest.raises(AlignlabError, match=r"^model mine: bad\.gguf: "):
        fetch(tmp_path / "bad.gguf", tmp_path / "store" / "out")
    assert list((tmp_path / "store").iterdir()) == []


def test_what_lies_beside_a_gguf_file_changes_nothing(quantised, tmp_path):
    """No digest covers it: in the hub's cache it is what other tools happened to fetch."""
    fetch(quantised / "tiny.gguf", tmp_path / "alone")
    beside = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<unk>", "chat_template": "{{ 1 }}"}
    (quantised / "tokenizer_config.json").write_text(json.dumps(beside))
    (quantised / "config.json").write_text('{"model_type": "gpt2"}')
    (quantised / "chat_template.jinja").write_text("{{ 2 }}")
    fetch(quantised / "tiny.gguf", tmp_path / "out")
    for path in (tmp_path / "alone").iterdir():
        if path.name not in ("alignlab.json", "SHA256SUMS"):
            assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


def test_a_part_of_a_gguf_file_is_refused(quantised, tmp_path):
    (quantised / "tiny.gguf").rename(quantised / "tiny-00001-of-00002.gguf")
    for path in (quantised, quantised / "tiny-00001-of-00002.gguf"):
        with pytest.raises(AlignlabError, match="one of the parts of a GGUF file; join them with"):
            fetch(path, tmp_path / "out")


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.99])
def test_a_gguf_file_that_ends_early_is_named(quantised, tmp_path, share):
    content = (quantised / "tiny.gguf").read_bytes()
    (quantised / "tiny.gguf").write_bytes(content[: int(share * len(content))])
    with pytest.raises(AlignlabError, match=r"^model mine: tiny\.gguf: "):
        fetch(quantised, tmp_path / "store" / "out")
    assert list((tmp_path / "store").iterdir()) == [tmp_path / "store" / "tiny"]
