"""A whole pair, scored: against float64 full logits, in any order, with anything wrong."""

import json
import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import all_logits, before_answer, divergences
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab import tables
from alignlab.errors import AlignlabError
from alignlab.shift import batches, head
from alignlab.shift.model import Weights
from alignlab.shift.score import score_shift

ZERO_SHOT = {"kind": "zero-shot", "module": "alignlab.prompting.frame"}
QUESTIONS = ["Why is the sky blue?", "Name three colours.", "Who wrote Hamlet, and when was it?"]
LENGTHS = (1, 17, 40)


def spec(**changes):
    return {
        "pair": "a-vs-b",
        "template": "own",
        "retokenise": False,
        "base": {"arm": "zero-shot", "model": "b", "method": ZERO_SHOT},
        "aligned": {"arm": "chat", "model": "a"},
        "engine": {"name": "transformers", "dtype": "float32"},
        "digest": "0" * 12,
    } | changes


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.parquet"
    rows = [
        {
            "prompt_id": f"q/{i}",
            "dataset": "q",
            "category": "regular",
            "source": "",
            "turns": [text],
            "tags": [],
            "reference": None,
        }
        for i, text in enumerate(QUESTIONS)
    ]
    tables.write("prompts", path, rows, {})
    return [path]


@pytest.fixture
def answer(tokenizer):
    """Make a responses row: random ids of the vocabulary, in front of them a prompt of its own."""

    def make(number, length, **changes):
        chance = random.Random(number)
        ids = tokenizer("The answer is that it depends, of course. ").input_ids
        token_ids = [chance.choice(ids) for _ in range(length)]
        text = tokenizer.decode(token_ids, skip_special_tokens=True)
        return {
            "arm": "chat",
            "model": "a",
            "prompt_id": f"q/{number}",
            "turn": 0,
            "sample": 0,
            "prompt_ids": tokenizer(f"Hello! {QUESTIONS[number]}").input_ids,
            "raw_text": text,
            "text": text.strip(),
            "token_ids": token_ids,
            "finish_reason": "eos",
            "trimmed": "",
            "num_tokens": length,
            "num_words": 1,
            "seed": None,
        } | changes

    return make


@pytest.fixture
def scored(tmp_path, prompts, answer):
    """Score rows under two folders; rows of the token_shift table."""

    def run(base, aligned, rows=None, together=True, **changes):
        rows = [answer(i, n) for i, n in enumerate(LENGTHS)] if rows is None else rows
        responses, output = tmp_path / "responses.parquet", tmp_path / "shift.parquet"
        tables.write("responses", responses, rows, {})
        weights = Weights(base), Weights(aligned)
        given = spec(**changes)
        score_shift(given, responses, prompts, *weights, output, together=together)
        return tables.read("token_shift", output).to_pylist()

    return run


def reference(tokenizer, base, aligned, row, question):
    """The same statistics in float64."""
    frame = f"# Query:\n```\n{question}\n```\n\n# Answer:\n```\n"
    context = tokenizer(frame).input_ids
    ids = row["token_ids"]
    return divergences(
        before_answer(all_logits(base, context + ids), context, ids),
        before_answer(all_logits(aligned, row["prompt_ids"] + ids), row["prompt_ids"], ids),
        torch.tensor(ids),
    )


@pytest.mark.parametrize("kind", ["tied", "capped", "scaled", "biased"])
def test_numbers_agree_with_full_float64_logits(kind, scored, answer, model_folder, tokenizer):
    base, aligned = model_folder(kind, 0), model_folder(kind, 1)
    rows = scored(base, aligned)
    for i, length in enumerate(LENGTHS):
        ours = [row for row in rows if row["prompt_id"] == f"q/{i}"]
        assert [row["position"] for row in ours] == list(range(length))
        right = reference(tokenizer, base, aligned, answer(i, length), QUESTIONS[i])
        for name, values in right.items():
            found = torch.tensor([row[name] for row in ours], dtype=torch.float64)
            if name == "base_rank":
                free = torch.tensor([row["tied"] for row in ours])
                assert ((found == values) | free).all()
            elif name.startswith("kl"):
                assert torch.allclose(found, values, rtol=1e-5, atol=0), name
            else:
                assert torch.allclose(found, values, rtol=0, atol=1e-5), name
        assert {row["kl_kind"] for row in ours} == {"exact"}


def test_one_model_at_a_time_gives_the_same_numbers(scored, model_folder):
    pair = model_folder("capped", 0), model_folder("capped", 1)
    assert scored(*pair, together=True) == scored(*pair, together=False)


def test_a_model_does_not_differ_from_itself(scored, answer, model_folder, tokenizer):
    folder = model_folder("tied")
    context = tokenizer(f"# Query:\n```\n{QUESTIONS[0]}\n```\n\n# Answer:\n```\n").input_ids
    ids = greedy(folder, context, 30)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    changes = {"token_ids": ids, "raw_text": text, "prompt_ids": context}
    rows = scored(folder, folder, [answer(0, 1, **changes)])
    assert {(row["base_rank"], row["shift_class"]) for row in rows} == {(1, "unshifted")}
    assert max(row["kl_aligned_base"] for row in rows) < 1e-6
    assert max(row["kl_base_aligned"] for row in rows) < 1e-6
    assert all(row["base_topk_ids"][0] == row["token_id"] for row in rows)


def greedy(folder, context, count):
    ids = list(context)
    for _ in range(count):
        ids.append(int(all_logits(folder, ids)[-1].argmax()))
    return ids[len(context) :]


def test_the_shared_template_shows_both_models_the_base_prompt(scored, model_folder, answer):
    base, aligned = model_folder("tied", 0), model_folder("tied", 1)
    own, shared = scored(base, aligned), scored(base, aligned, template="shared")
    assert [row["base_logprob"] for row in own] == pytest.approx(
        [row["base_logprob"] for row in shared], abs=1e-5
    )
    assert own[0]["aligned_logprob"] != pytest.approx(shared[0]["aligned_logprob"], abs=1e-3)
    same = scored(base, base, template="shared")
    assert max(row["kl_aligned_base"] for row in same) < 1e-6


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(3)), tokens=st.sampled_from([1, 70, 2048]))
def test_order_and_batches_change_nothing(order, tokens, scored, answer, model_folder):
    pair = model_folder("capped", 0), model_folder("capped", 1)
    expected = {(r["prompt_id"], r["position"]): r for r in scored(*pair)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH_TOKENS", tokens)
        patch.setattr(head, "MAX_LOGITS", tokens * 64)
        rows = scored(*pair, [answer(i, LENGTHS[i]) for i in order])
    assert [row["prompt_id"] for row in rows][::1] == [
        f"q/{i}" for i in order for _ in range(LENGTHS[i])
    ]
    for row in rows:
        same = expected[row["prompt_id"], row["position"]]
        for name in ("base_logprob", "aligned_logprob", "kl_aligned_base", "js", "base_entropy"):
            assert row[name] == pytest.approx(same[name], abs=1e-5)
        assert row["token"] == same["token"]


def test_a_later_turn_sees_the_earlier_ones(tmp_path, scored, answer, prompts, model_folder):
    rows = tables.read("prompts", prompts[0]).to_pylist()
    rows[0]["turns"].append("And why is it red in the evening?")
    tables.write("prompts", prompts[0], rows, {})
    pair = model_folder("tied", 0), model_folder("tied", 1)
    ids = answer(0, 20)["token_ids"]
    talk = [answer(0, 20), answer(0, 20, turn=1)]
    first, second = ([r for r in scored(*pair, talk) if r["turn"] == t] for t in (0, 1))
    assert [r["token_id"] for r in first] == [r["token_id"] for r in second] == ids
    assert first[0]["base_logprob"] != pytest.approx(second[0]["base_logprob"], abs=1e-3)


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


def test_published_answers_are_tokenised_only_if_asked(tmp_path, scored, answer, model_folder):
    pair = model_folder("tied", 0), model_folder("tied", 1)
    text = "It depends, of course."
    unknown = {"finish_reason": "unknown", "token_ids": [], "prompt_ids": [], "num_tokens": None}
    rows = [answer(0, 0, raw_text=text, text=text, **unknown)]
    with pytest.raises(AlignlabError, match="1 answers of chat have no token ids"):
        scored(*pair, rows)
    with pytest.raises(AlignlabError, match="give the published arm a `method`"):
        scored(*pair, rows, retokenise=True)
    found = scored(*pair, rows, retokenise=True, template="shared")
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
    from alignlab.shift.head import Head

    made = Head.__init__

    def forgetful(self, model):
        made(self, model)
        self.softcap = None

    monkeypatch.setattr(Head, "__init__", forgetful)
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
    found = scored(*pair, rows, retokenise=True, template="shared")
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
