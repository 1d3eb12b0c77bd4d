"""A whole pair, scored: against float64 full logits, in any order, one model at a time."""

import pytest
import torch
from asked import LENGTHS, QUESTIONS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import all_logits, before_answer, divergences

from alignlab.core import tables
from alignlab.shift import answers as reading
from alignlab.shift import model


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
        patch.setattr(reading, "BATCH_TOKENS", tokens)
        patch.setattr(model, "MAX_LOGITS", tokens * 64)
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
