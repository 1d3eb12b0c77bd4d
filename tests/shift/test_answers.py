"""Which answers can be scored, which of their tokens are theirs, and what is refused."""

import json

import pytest
import torch
from asked import ZERO_SHOT
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.shift.model import HeadPair, OutputHead


def test_what_cannot_be_scored_is_counted(tmp_path, scored, answer, model_folder, caplog):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    rows = [answer(0, 5), answer(1, 0, finish_reason="error"), answer(2, 250)]
    assert {row["prompt_id"] for row in scored(*pair, rows)} == {"q/0"}
    assert "1 answers have no token to score: q/1 turn 0" in caplog.text
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
    assert counts == {"answers": 1, "scored": 1, "retokenised": 1, "left_out_tokens": 0}


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


@pytest.mark.parametrize("ended", [True, False])
def test_a_published_text_is_text_whatever_it_names(scored, answer, model_folder, tokenizer, ended):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    text = f"Write {tokenizer.eos_token} or {tokenizer.bos_token} there."
    end = tokenizer.eos_token if ended else ""
    unknown = {"finish_reason": "unknown", "token_ids": [], "prompt_ids": [], "num_tokens": None}
    row = answer(0, 0, raw_text=text + end, text=text + end, **unknown)
    found = scored(*pair, [row], template="shared")
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    assert [r["token_id"] for r in found] == [*ids, *[tokenizer.eos_token_id] * ended]
    assert [r["is_special"] for r in found] == [False] * len(ids) + [True] * ended
    assert [r["is_eos"] for r in found] == [False] * (len(found) - 1) + [ended]


@pytest.fixture
def grown(tmp_path, model_folder):
    """Writes a `tied` model with two more rows in its head, and tokens for them or none."""

    def write(name, number, tokens):
        model = AutoModelForCausalLM.from_pretrained(model_folder("tied", number))
        tokenizer = AutoTokenizer.from_pretrained(model_folder("tied", number))
        model.resize_token_embeddings(model.config.vocab_size + 2)
        tokenizer.add_tokens(tokens, special_tokens=True)
        for part in (model, tokenizer):
            part.save_pretrained(tmp_path / name)
        return tmp_path / name, tokenizer.convert_tokens_to_ids(tokens)

    return write


EXTRA = ["<|im_start|>", "<|im_end|>"]


def test_a_base_model_with_tokens_that_the_aligned_one_lacks_is_refused(
    scored, model_folder, grown
):
    folder, _ = grown("grown", 1, EXTRA)
    with pytest.raises(AlignlabError, match=r"tied-0\S* and grown have different vocabularies"):
        scored(folder, model_folder("tied", 0))


@pytest.mark.parametrize("padded", [True, False])
def test_tokens_that_the_base_model_lacks_are_left_out_and_counted(
    tmp_path, scored, answer, model_folder, grown, padded
):
    folder, added = grown("grown", 1, EXTRA)
    base = grown("padded", 0, [])[0] if padded else model_folder("tied", 0)
    whole = answer(0, 6)
    ends = {**whole, "token_ids": [*whole["token_ids"][:5], added[-1]], "num_tokens": 6}
    amid = {**ends, "prompt_id": "q/1", "token_ids": [*ends["token_ids"][:3], *added, 7]}
    none = {**ends, "prompt_id": "q/2", "token_ids": added}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row in (ends, amid, none):
        row["raw_text"] = row["text"] = tokenizer.decode(row["token_ids"], skip_special_tokens=True)
    found = scored(base, folder, [ends, amid, none])
    lengths = [sum(row["prompt_id"] == f"q/{number}" for row in found) for number in range(3)]
    assert lengths == [5, 3, 0]
    assert not any(row["is_eos"] for row in found)
    assert {row["kl_kind"] for row in found} == {"shared"}
    assert not {id_ for row in found for id_ in row["aligned_topk_ids"]} & set(added)
    counts = tables.counts_of(tmp_path / "shift.parquet")
    assert counts["scored"] == 2
    assert counts["left_out_tokens"] == 1 + len(added) + 1 + len(added)


def test_measures_are_those_of_the_shared_vocabulary():
    torch.manual_seed(0)
    hidden, tokens = torch.randn(7, 16), torch.arange(7)
    base, aligned = (Layer(torch.randn(rows, 16)) for rows in (90, 95))
    lacking = [40, 88, 93]
    found = HeadPair(OutputHead(base), OutputHead(aligned), lacking).compare(hidden, hidden, tokens)
    shared = [id_ for id_ in range(90) if id_ not in lacking]
    q, p = ((hidden @ m.head.weight[shared].T).log_softmax(1) for m in (base, aligned))
    rank = 1 + (q > q.gather(1, tokens[:, None])).sum(1)
    assert torch.equal(found.base_rank, rank)
    assert torch.allclose(found.kl_aligned_base, (p.exp() * (p - q)).sum(1), atol=1e-4)
    assert torch.allclose(found.base_entropy, -(q.exp() * q).sum(1), atol=1e-4)


class Layer:
    """As much of a model as an output head is made from."""

    config = PreTrainedConfig()

    def __init__(self, weight):
        self.head = torch.nn.Linear(1, 1, bias=False)
        self.head.weight = torch.nn.Parameter(weight, requires_grad=False)

    def get_output_embeddings(self):
        return self.head


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
