import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.engines import fake_engine
from alignlab.engines.adapter import adapted
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.engines.transformers_engine import load
from alignlab.prompting.encode import Stopping

IDS = [1, *range(20, 40)]


def plain(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(params=["llama", "gemma3"])
def folders(request, model_folder, tmp_path):
    """A model, and an adapter of it that changes every layer and the chat template."""
    base = model_folder(request.param)
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(plain(base), config).save_pretrained(tmp_path, save_embedding_layers=False)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "the adapter's own"
    tokenizer.save_pretrained(tmp_path)
    return base, tmp_path


@torch.inference_mode()
def test_merged_logits_are_those_of_the_unmerged_adapter(folders):
    base, adapter = folders
    ids = torch.tensor([IDS])
    unmerged = PeftModel.from_pretrained(plain(base), adapter)(ids).logits
    merged = adapted(plain(base), adapter)(ids).logits
    torch.testing.assert_close(merged, unmerged, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain(base)(ids).logits, unmerged, atol=0.1)


def test_an_engine_answers_with_the_adapter_and_its_tokenizer(folders):
    base, adapter = folders
    engine = load(base, "float32", 2, adapter)
    assert engine.tokenizer.chat_template == "the adapter's own"
    ((answer,),) = engine.generate([Request(IDS)], [], DecodingConfig(max_new_tokens=8), Stopping())
    expected = adapted(plain(base), adapter).generate(
        torch.tensor([IDS]), max_new_tokens=8, do_sample=False, pad_token_id=0
    )
    assert answer[1].token_ids == expected[0, len(IDS) :].tolist()
    assert (
        fake_engine.load(base, "float32", 2, adapter).tokenizer.chat_template == "the adapter's own"
    )


def test_an_adapter_of_another_model_is_refused(folders):
    base, adapter = folders
    shallower = plain(base)
    del shallower.model.layers[-1]
    with pytest.raises(AlignlabError, match="does not fit this model"):
        adapted(shallower, adapter)


def test_a_folder_without_adapter_is_named(model_folder, tmp_path):
    with pytest.raises(AlignlabError, match="cannot be loaded"):
        adapted(plain(model_folder("llama")), tmp_path)
