"""Which answers can be scored, which of their tokens are theirs, and what is refused."""

import json

import pytest
from asked import ZERO_SHOT
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.core import tables
from alignlab.core.errors import AlignlabError


def test_what_cannot_be_scored_is_counted(tmp_path, scored, answer, model_folder, caplog):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    rows = [answer(0, 5), answer(1, 0, finish_reason="error"), answer(2, 250)]
    assert {row["prompt_id"] for row in scored(*pair, rows)} == {"q/0"}
    assert "1 answers have no token: q/1 turn 0" in caplog.text
    assert "1 answers do not fit the context window: q/2 turn 0" in caplog.text
    assert tables.counts_of(tmp_path / "shift.parquet")["scored"] == 1
    (tmp_path / "shift.parquet").unlink()
    with pytest.raises(AlignlabError, match="not one answer"):
        scored(*pair, rows[1:])
    assert not (tmp_path / "shift.parquet").exists()


def test_a_turn_after_one_without_an_answer_was_never_asked(tmp_path, scored, answer, model_folder):
    never = answer(1, 0, finish_reason="error", prompt_ids=[])
    scored(model_folder("tied", 0), model_folder("tied", 1), [answer(0, 5), never])
    assert tables.counts_of(tmp_path / "shift.parquet")["scored"] == 1


@pytest.mark.parametrize(
    "asked",
    [{"template": "shared"}, {"aligned": {"arm": "chat", "model": "a", "method": ZERO_SHOT}}],
)
def test_published_answers_are_tokenised(tmp_path, scored, answer, model_folder, asked):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    text = "It depends, of course."
    unknown = {"finish_reason": "unknown", "token_ids": [], "prompt_ids": [], "num_tokens": None}
    rows = [answer(0, 0, raw_text=text, text=text, **unknown)]
    found = scored(*pair, rows, **asked)
    assert "".join(row["token"] for row in found) == text
    counts = tables.counts_of(tmp_path / "shift.parquet")
    assert counts == {"answers": 1, "scored": 1, "retokenised": 1}


def test_another_revision_of_the_tokenizer_is_noticed(scored, answer, model_folder):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    with pytest.raises(AlignlabError, match="q/0 turn 0: token ids do not decode"):
        scored(*pair, [answer(0, 5, raw_text="something else")])


def test_different_vocabularies_are_refused(tmp_path, scored, model_folder, tokenizer):
    other = tmp_path / "other"
    model = model_folder("tied", 0)
    other.mkdir()
    for file in model.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    stored = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = stored["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]
    (other / "tokenizer.json").write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(AlignlabError, match=r"tied-0\S* and other have different vocabularies"):
        scored(other, model)


def test_a_nan_names_its_row(tmp_path, scored, model_folder, answer):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model_folder("biased", 0).iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["model.embed_tokens.weight"][answer(2, 40)["token_ids"][-2]] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AlignlabError, match=r"prompt q/\d turn 0, position \d+: .* not finite"):
        scored(broken, model_folder("biased", 1))


def test_a_head_that_does_something_else_is_refused(model_folder, scored, monkeypatch):
    from alignlab.shift.model import OutputHead

    made = OutputHead.__init__

    def forgetful(self, model):
        made(self, model)
        self.softcap = None

    monkeypatch.setattr(OutputHead, "__init__", forgetful)
    with pytest.raises(AlignlabError, match="cannot score this architecture"):
        scored(model_folder("capped", 0), model_folder("capped", 1))


def test_a_stop_string_is_no_part_of_the_answer(scored, answer, model_folder, tokenizer):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    ids = tokenizer("Yes, it is.\n```\n\n# Query:\n").input_ids
    raw = tokenizer.decode(ids, skip_special_tokens=True)
    changes = {"token_ids": ids, "raw_text": raw, "text": "Yes, it is.", "finish_reason": "stop"}
    rows = scored(*pair, [answer(0, 1, **changes)])
    assert "".join(r["token"] for r in rows if not r["is_special"]).strip() == "Yes, it is."
    assert not any(r["is_eos"] for r in rows)


def test_the_end_token_of_a_published_text_is_its_end(scored, answer, model_folder, tokenizer):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    text = f"It depends.{tokenizer.eos_token}"
    unknown = {"finish_reason": "unknown", "token_ids": [], "prompt_ids": [], "num_tokens": None}
    rows = [answer(0, 0, raw_text=text, text=text, **unknown)]
    found = scored(*pair, rows, template="shared")
    assert [r["is_eos"] for r in found] == [False] * (len(found) - 1) + [True]


def test_a_token_that_one_model_has_no_logit_for(tmp_path, scored, model_folder, tokenizer):
    larger = tmp_path / "larger"
    larger.mkdir()
    model = AutoModelForCausalLM.from_pretrained(model_folder("tied", 0))
    grown = AutoTokenizer.from_pretrained(model_folder("tied", 0))
    grown.add_tokens([f"<extra-{i}>" for i in range(model.config.vocab_size - len(grown) + 1)])
    model.resize_token_embeddings(len(grown))
    model.save_pretrained(larger)
    grown.save_pretrained(larger)
    with pytest.raises(AlignlabError, match=r"larger and tied-0\S* have different vocabularies"):
        scored(model_folder("tied", 0), larger)


@pytest.mark.parametrize(
    ("raw", "thoughts", "text", "reason", "whole"),
    [
        (
            "<think>\nWell, water.\n</think>\n\nIt is water.",
            "Well, water.",
            "It is water.",
            "eos",
            "",
        ),
        ("It is water.</think>It is water.", "It is water.", "It is water.", "eos", ""),
        ("<think></think>think", "", "think", "eos", ""),
        ("<think>a</think>Yes.\n```\nYes.", "a", "Yes.", "stop", ""),
        ("<think>Well", "Well", "", "length", "1 answers have no token"),
    ],
)
def test_thoughts_are_read_by_both_models_and_not_scored(
    scored, answer, model_folder, tokenizer, caplog, raw, thoughts, text, reason, whole
):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    ids = tokenizer(raw, add_special_tokens=False).input_ids
    trimmed = "thoughts" if text else "only_thoughts"
    said = {"raw_text": raw, "thoughts": thoughts, "text": text, "token_ids": ids}
    row = answer(1, 0, finish_reason=reason, trimmed=trimmed, **said)
    found = [row for row in scored(*pair, [answer(0, 3), row]) if row["prompt_id"] == "q/1"]
    assert "".join(row["token"] for row in found).strip() == text
    assert whole in caplog.text
    if text:
        before = row["prompt_ids"] + ids[: len(ids) - len(found)]
        plain = answer(1, 0, token_ids=ids[len(ids) - len(found) :], prompt_ids=before)
        plain["raw_text"] = tokenizer.decode(plain["token_ids"])
        if reason == "eos":
            alone = scored(*pair, [answer(0, 3), plain], template="own")
            assert [
                r["aligned_logprob"] for r in alone if r["prompt_id"] == "q/1"
            ] == pytest.approx([r["aligned_logprob"] for r in found], abs=1e-4)
