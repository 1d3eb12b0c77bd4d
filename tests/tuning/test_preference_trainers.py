"""Learning from preferences: DPO, reward models, and the policy gradient against them."""

import json
import math
from contextlib import contextmanager

import pytest
import torch
from lessons import CHAT, FRAMED, aside, example
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.engines.adapter import adapted
from alignlab.tuning import fit, rlhf
from alignlab.tuning.examples import open_examples, preferences

RLHF = {
    "reward": {"epochs": 2, "batch_size": 6, "learning_rate": 0.01},
    **{"steps": 5, "generations": 2, "kl": 0.05, "max_new_tokens": 4, "temperature": 1.0},
}


def steps(folder):
    return tables.read("training", folder / "training.parquet").to_pylist()


def without_time(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@contextmanager
def killed_at(step, of):
    """A run of this many steps ends at one of them; only its checkpoints are left."""

    class Killing(fit.Watch):
        def on_log(self, args, state, control, **rest):
            super().on_log(args, state, control, **rest)
            if (state.global_step, state.max_steps) == (step, of):
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "Watch", Killing)
        with pytest.raises(KeyboardInterrupt):
            yield


def test_dpo_starts_at_the_base_and_learns_to_prefer(make_spec, preferred, tune):
    spec = make_spec("dpo", epochs=12, learning_rate=0.02, batch_size=6)
    adapter = tune(spec, preferred[:6])
    assert {path.name for path in adapter.iterdir()} == {
        *("adapter_model.safetensors", "adapter_config.json", "training.parquet"),
        *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "SHA256SUMS"),
    }
    rows = steps(adapter)
    assert rows[0]["loss"] == pytest.approx(math.log(2))
    assert rows[0]["margin"] == 0
    assert rows[-1]["loss"] < 0.3
    assert rows[-1]["accuracy"] == 1
    assert rows[-1]["margin"] > 1
    assert {row["reward"] for row in rows} == {row["kl"] for row in rows} == {None}
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["lora_dropout"] == 0.1
    assert not list(adapter.glob("ref*"))


@pytest.mark.parametrize("kind", ["opt", "mixtral", "jetmoe"])
def test_dpo_starts_at_the_base_whatever_its_config_adds(make_spec, preferred, tune, kind):
    """No dropout of OPT's config, no loss that spreads tokens over experts."""
    lora = {"rank": 4, "alpha": 8, "dropout": 0, "targets": "all-linear"}
    first = steps(tune(make_spec("dpo", lora=lora), preferred[:4], kind))[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["grad_norm"] > 0


def test_dpo_rewards_are_log_ratios_to_the_base(make_spec, preferred, tune, model_folder):
    """The margin of the last step, from the adapter of the step before."""
    pairs = preferred[:4]
    keys = {"warmup": 0, "dpo": {"beta": 0.3}}
    short = make_spec("dpo", epochs=1, learning_rate=0.05, **keys)
    # Falls to 0.05 for its second step.
    margin = steps(tune(make_spec("dpo", epochs=2, learning_rate=0.1, **keys), pairs))[1]["margin"]
    adapter = tune(make_spec("dpo", epochs=1, learning_rate=0.1, **keys), pairs)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    base = AutoModelForCausalLM.from_pretrained(model_folder("llama"), dtype=torch.float32)
    tuned = AutoModelForCausalLM.from_pretrained(model_folder("llama"), dtype=torch.float32)
    tuned = adapted(tuned, adapter)
    differences = [
        log_probability(tuned, row["prompt_ids"], row[side]) * sign
        - log_probability(base, row["prompt_ids"], row[side]) * sign
        for row in preferences(open_examples(short, pairs, tokenizer))
        for side, sign in (("chosen_ids", 1), ("rejected_ids", -1))
    ]
    assert margin == pytest.approx(0.3 * sum(differences) / len(pairs), rel=1e-3)


def log_probability(model, prompt, answer):
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(1).gather(1, torch.tensor(answer)[:, None]).sum().item()


def test_a_killed_dpo_goes_on_where_it_was(make_spec, preferred, tune, tmp_path):
    spec, rows = make_spec("dpo", epochs=2, learning_rate=0.01), preferred[:8]
    (tmp_path / "whole").mkdir()
    whole = steps(tune(spec, rows, folder=tmp_path / "whole"))
    with killed_at(3, of=4):
        tune(spec, rows)
    again = steps(tune(spec, rows))
    assert without_time(again) == without_time(whole)


def test_a_killed_policy_goes_on_with_the_same_reward_model(make_spec, preferred, tune, tmp_path):
    rows = [*preferred, example("answer", 20, "What is rain?", ["Water."])]
    spec = make_spec("rlhf", learning_rate=0.01, rlhf=RLHF)
    (tmp_path / "whole").mkdir()
    with killed_at(3, of=5):
        tune(spec, rows)
    learnt = steps(aside(tmp_path) / "reward")
    whole = tune(spec, rows, folder=tmp_path / "whole")
    adapter = tune(spec, rows)
    assert steps(adapter / "reward") == learnt  # with its seconds: it was not learnt again
    assert without_time(learnt) == without_time(steps(whole / "reward"))
    assert without_time(steps(adapter)) == without_time(steps(whole))
    weights = "adapter_model.safetensors"
    for folder in ("", "reward"):
        once, again = (out / folder / weights for out in (whole, adapter))
        assert once.read_bytes() == again.read_bytes()
    table = steps(adapter)
    assert [row["step"] for row in table] == [1, 2, 3, 4, 5]
    assert table[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert table[-1]["epoch"] == pytest.approx(5 * 4 / 13)
    assert all(row["margin"] is None and row["reward"] is not None for row in table)
    assert learnt[-1]["margin"] > learnt[0]["margin"]
    assert all(row["reward"] is None and row["accuracy"] is not None for row in learnt)
    assert not any(path.suffix in (".bin", ".pt", ".pth") for path in adapter.rglob("*"))


def test_rewards_are_those_of_the_whole_answer_with_its_end(make_spec, model_folder, preferred):
    folder = model_folder("gemma3_text")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    judge = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32
    )
    examples = open_examples(make_spec("rlhf", rlhf=RLHF), preferred[:3], tokenizer)
    asked = rlhf.questions(examples)
    end, other_end = tokenizer.eos_token_id, 9
    answers = [[20, 21, end], [22], [23, 24, 25, other_end]]
    given = rlhf.rewards(judge, examples, asked, {end, other_end})(list(asked), answers)
    for text, row, answer, reward in zip(asked, preferred, answers, given, strict=False):
        prompt = examples.encode(examples.render(row))
        assert asked[text] == prompt
        whole = [*prompt, *(token for token in answer if token not in (end, other_end)), end]
        with torch.inference_mode():
            assert reward == pytest.approx(judge(torch.tensor([whole])).logits.item(), abs=1e-5)


@pytest.mark.parametrize("method", [CHAT, FRAMED], ids=["chat", "framed"])
def test_questions_have_the_ids_of_our_prompts(make_spec, model_folder, preferred, method):
    tokenizer = AutoTokenizer.from_pretrained(model_folder("llama"))
    rows = [*preferred[:3], {**preferred[1], "example_id": "again"}]
    examples = open_examples(make_spec("rlhf", method=method, rlhf=RLHF), rows, tokenizer)
    ids = list(rlhf.questions(examples).values())
    assert ids == [examples.encode(examples.render(row)) for row in preferred[:3]]
    assert all(prompt.count(tokenizer.bos_token_id) == 1 for prompt in ids)


def test_a_policy_is_asked_our_ids_and_stops_where_the_template_ends(
    make_spec, preferred, tune, monkeypatch
):
    """A question that names control tokens is text, and the template's end is none of EOS."""
    seen = {}

    def watched(judge, examples, asked, ends):
        def reward(prompts, completion_ids, **_):
            seen.update(asked={text: asked[text] for text in prompts}, ends=ends, examples=examples)
            seen.setdefault("answers", []).extend(completion_ids)
            return [float(len(ids)) for ids in completion_ids]

        return reward

    monkeypatch.setattr(rlhf, "rewards", watched)
    generate = rlhf.RLOOTrainer._generate_single_turn

    def watching(self, prompt_ids, *rest):
        seen.setdefault("prompts", []).extend(prompt_ids)
        return generate(self, prompt_ids, *rest)

    monkeypatch.setattr(rlhf.RLOOTrainer, "_generate_single_turn", watching)
    # The template ends turns with a token that is not EOS.
    template = (
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<pad>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    rows = [{**row, "prompt": f"{row['prompt']} <eos> and <bos>"} for row in preferred[:6]]
    tune(make_spec("rlhf", rlhf=RLHF, chat_template=template), rows)
    examples = seen["examples"]
    pad = examples.tokenizer.convert_tokens_to_ids("<pad>")
    assert seen["ends"] >= {pad, examples.tokenizer.eos_token_id, examples.end}
    ours = [examples.encode(examples.render(row)) for row in rows]
    assert all(ids in ours for ids in seen["prompts"])
    assert all(ids.count(examples.tokenizer.eos_token_id) == 0 for ids in ours)
    assert all(end not in ids[:-1] for ids in seen["answers"] for end in seen["ends"])


def test_a_question_that_leaves_no_room_for_an_answer_is_named(make_spec, preferred, model_folder):
    tokenizer = AutoTokenizer.from_pretrained(model_folder("llama"))
    spec = make_spec("rlhf", rlhf=RLHF, max_length=20)
    with pytest.raises(AlignlabError, match=r"preference/pool/0: a prompt of .* max_length, 20"):
        rlhf.questions(open_examples(spec, preferred, tokenizer))


def test_the_policy_moves_towards_reward(make_spec, preferred, tune, model_folder, monkeypatch):
    """Under a reward that is linear in the sampled tokens, which a low-rank update can follow."""
    model = AutoModelForCausalLM.from_pretrained(model_folder("llama"), dtype=torch.float32)
    worth = model.get_output_embeddings().weight[:, 0].detach()

    def linear(*_):
        return lambda completion_ids, **_: [worth[ids].mean().item() for ids in completion_ids]

    monkeypatch.setattr(rlhf, "rewards", linear)
    longer = {**RLHF, "generations": 8, "kl": 0.001, "steps": 10}
    table = steps(tune(make_spec("rlhf", learning_rate=0.02, rlhf=longer), preferred[:6]))
    earned = [row["reward"] for row in table]
    assert sum(earned[-4:]) / 4 > sum(earned[:4]) / 4 + 0.05
    assert table[-1]["kl"] > 0.1


def test_preferences_are_needed_before_anything_is_loaded(make_spec, answers, tune):
    for trainer in ("dpo", "rlhf"):
        with pytest.raises(AlignlabError, match=f"has no preferences, .* {trainer}"):
            tune(make_spec(trainer, rlhf=RLHF), answers)
