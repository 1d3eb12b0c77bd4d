"""Arms of models that reason, from the question to the row: their templates, the real engine."""

import pytest
import torch
from templates import TEMPLATES
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from alignlab.answering.generate import GenerateJob, Part, generate
from alignlab.core import tables
from alignlab.engines import transformers_engine

OPENS_THOUGHTS = TEMPLATES["human-assistant"].template + (
    "{% if add_generation_prompt %}{{ ' <think>\\n' }}{% endif %}"
)
CHATS = {
    "gpt-oss": (TEMPLATES["gpt-oss"].template, TEMPLATES["gpt-oss"].control, "<|return|>"),
    "r1": (TEMPLATES["deepseek-r1"].template, TEMPLATES["deepseek-r1"].control, "<eos>"),
    "textual": (OPENS_THOUGHTS, (), "<eos>"),
}
THINKS = "<|channel|>analysis<|message|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
# Template, what the model writes, thoughts, text, how it ended, why the text differs.
SAID = [
    ("gpt-oss", f"{THINKS}Hm.<|end|>{FINAL}Sure.<|return|>", "Hm.", "Sure.", "eos", "thoughts"),
    (
        "gpt-oss",
        f"{THINKS}Hm.<|end|><|start|>assistant{THINKS}\nSo?<|end|>{FINAL}Sure.<|return|>",
        "Hm.\n\nSo?",
        "Sure.",
        "eos",
        "thoughts",
    ),
    ("gpt-oss", f"{THINKS}I cannot say", "I cannot say", "", "length", "only_thoughts"),
    ("r1", "Hm.\n</think>\n\nSure.<｜end｜>", "Hm.", "Sure.", "eos", "thoughts"),
    ("r1", "I cannot say", "I cannot say", "", "length", "only_thoughts"),
    (
        "textual",
        "Q?\nHuman: asks\n</think>\n\nSure.\n\nHuman:",
        "Q?\nHuman: asks",
        "Sure.",
        "stop",
        "stop_string",
    ),
]


@pytest.fixture
def answer(tmp_path, repository_root, monkeypatch):
    """Answer prompts by a tiny model that writes given texts, one after the other."""

    def answer(chat, turns, texts):
        template, control, eos = CHATS[chat]
        tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
        tokenizer.add_special_tokens({"additional_special_tokens": [*control]})
        tokenizer.chat_template, tokenizer.eos_token = "{{ bos_token }}" + template, eos
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            eos_token_id=tokenizer.eos_token_id,
        )
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        left = iter(id_ for said in ids for id_ in said)

        def choose(*_):
            return torch.tensor([next(left)])

        monkeypatch.setattr(transformers_engine.Chooser, "choose", choose)
        empty = dict.fromkeys(("source", "reference", "mistake", "target"))
        named = {"prompt_id": "d/0", "dataset": "d", "category": "regular", "tags": []}
        tables.write("prompts", tmp_path / "p.parquet", [{**named, **empty, "turns": turns}], {})
        spec = {
            "arm": "chat",
            "model": "tiny",
            "method": {"kind": "chat"},
            "decoding": {"max_new_tokens": max(map(len, ids))},
            "engine": {"name": "transformers", "dtype": "float32"},
            "digest": "0" * 12,
        }
        job = GenerateJob(
            spec=spec,
            prompts=[tmp_path / "p.parquet"],
            model=tmp_path / "model",
            output=tmp_path / "out.parquet",
            part=Part(0, 1),
            aside=tmp_path / "aside",
            replies=tmp_path / "replies.jsonl",
            batch_size=1,
        )
        generate(job)
        assert next(left, None) is None, "it ended where the text ends"
        return tokenizer, list(tables.rows("responses", job.output))

    return answer


@pytest.mark.parametrize(("chat", "raw", "thoughts", "text", "reason", "trimmed"), SAID)
def test_an_answer_is_what_follows_the_thoughts(answer, chat, raw, thoughts, text, reason, trimmed):
    _, (row,) = answer(chat, ["Why?"], [raw])
    assert (row["thoughts"], row["text"]) == (thoughts, text)
    assert (row["finish_reason"], row["trimmed"]) == (reason, trimmed)


@pytest.mark.parametrize(
    ("chat", "second"),
    [
        (
            "gpt-oss",
            "<|end|><|start|>user<|message|>Why?<|end|>"
            "<|start|>assistant<|channel|>final<|message|>Sure.<|end|>"
            "<|start|>user<|message|>And then?<|end|><|start|>assistant",
        ),
        (
            "r1",
            "<｜User｜>Why?<｜Assistant｜>Sure.<｜end｜>"
            "<｜User｜>And then?<｜Assistant｜><think>\n",
        ),
        ("textual", "Human: Why?\n\nAssistant: Sure.\n\nHuman: And then?\n\nAssistant: <think>\n"),
    ],
)
def test_the_next_turn_is_asked_as_the_template_writes_it(answer, chat, second):
    raw = next(raw for name, raw, _, text, *_ in SAID if name == chat and text)
    tokenizer, rows = answer(chat, ["Why?", "And then?"], [raw, raw])
    assert [row["text"] for row in rows] == ["Sure.", "Sure."]
    assert tokenizer.decode(rows[1]["prompt_ids"]).endswith(second)
    assert "Hm." not in tokenizer.decode(rows[1]["prompt_ids"])
