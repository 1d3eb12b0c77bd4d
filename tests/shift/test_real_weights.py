"""A real model and a LoRA of it: positions recomputed by hand with plain transformers."""

import random
from contextlib import chdir

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignlab.answering.generate import GenerateJob, Part, generate
from alignlab.core import tables
from alignlab.experiment.load import load_experiment
from alignlab.experiment.plan import Plan
from alignlab.learning.recipes import TrainsetJob, build_trainset
from alignlab.shift.answers import ShiftJob
from alignlab.shift.score import score_shift
from alignlab.sources.datasets import FetchPromptsJob, fetch_prompts
from alignlab.tuning.fit import TuneJob, finetune

pytestmark = pytest.mark.real
MODEL = "smollm2-135m-instruct"
POSITIONS = 200


@pytest.fixture(scope="module")
def experiment(repository_root, tmp_path_factory):
    """Plan of a small experiment: a LoRA of the model answers, and is compared with the model."""
    folder = tmp_path_factory.mktemp("experiment")
    path = folder / "real.yaml"
    path.write_text(
        f"""
        name: real
        title: A real model and a LoRA of it
        prompts: [{{dataset: smoke-questions, take: 4}}]
        baseline: base
        decoding: {{max_new_tokens: 60}}
        engine: {{dtype: float32}}
        embedder: null
        trainsets: [{{name: pool, recipe: sft, answers: [{{dataset: pool, take: 8}}]}}]
        tuned: [{{name: lora, base: {MODEL}, trainset: pool}}]
        arms:
          - {{name: base, model: {MODEL}, method: {{kind: chat}}}}
          - {{name: tuned, model: lora, method: {{kind: chat, system: Be kind.}}}}
        pairs: [{{name: pair, aligned: tuned, base: base}}]
        """
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository_root)
        plan = Plan(load_experiment(str(path)))
        assert list(plan)
    return plan


@pytest.fixture(scope="module")
def scored(experiment, repository_root, real_model, tmp_path_factory):
    """Folders of the model and the adapter, the responses, and the token_shift rows."""
    folder = tmp_path_factory.mktemp("scored")
    model = real_model(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repository_root)
        prompts = folder / "prompts.parquet"
        asked = experiment.prompts[0].job(output=str(prompts))
        fetch_prompts(FetchPromptsJob.model_validate_json(asked))
        trainset = experiment.trainsets["pool"]
        examples, answers = folder / "trainset.parquet", folder / "pool.parquet"
        pool = trainset.parent("answers")[0].job(output=str(answers))
        fetch_prompts(FetchPromptsJob.model_validate_json(pool))
        made = trainset.job(answers=[str(answers)], output=str(examples))
        build_trainset(TrainsetJob.model_validate_json(made))
    adapter, responses = folder / "adapter", folder / "responses.parquet"
    tuned = experiment.adapters["lora"].job(
        model=str(model), trainset=str(examples), output=str(adapter)
    )
    with chdir(folder):
        finetune(TuneJob.model_validate_json(tuned))
    work = {"part": Part(0, 1), "aside": folder / "batches", "batch_size": 4}
    work["replies"] = folder / "replies.jsonl"
    answering = GenerateJob(
        spec=experiment.responses["tuned"].signed_spec,
        prompts=[prompts],
        model=model,
        adapter=adapter,
        output=responses,
        **work,
    )
    generate(answering)
    job = ShiftJob(
        spec=experiment.shifts["pair"].signed_spec,
        responses=responses,
        prompts=[prompts],
        base_model=model,
        aligned_model=model,
        aligned_adapter=adapter,
        output=folder / "shift.parquet",
        models_together=True,
    )
    score_shift(job)
    return model, adapter, responses, tables.read("token_shift", job.output).to_pylist()


def test_positions_recomputed_by_hand_agree(scored):
    model, adapter, responses, rows = scored
    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(tuned, adapter)
    answers = {r["prompt_id"]: r for r in tables.rows("responses", responses) if r["turn"] == 0}
    sides = {
        name: (
            every_position(base, base_context(tokenizer, answer), answer["token_ids"]),
            every_position(tuned, answer["prompt_ids"], answer["token_ids"]),
        )
        for name, answer in answers.items()
    }
    first = [row for row in rows if row["turn"] == 0]
    assert len(first) >= POSITIONS
    for row in random.Random(0).sample(first, POSITIONS):
        q, p = (side[row["position"]] for side in sides[row["prompt_id"]])
        token = row["token_id"]
        assert row["base_logprob"] == pytest.approx(q[token].item(), abs=1e-4)
        assert row["aligned_logprob"] == pytest.approx(p[token].item(), abs=1e-4)
        assert row["kl_aligned_base"] == pytest.approx((p.exp() * (p - q)).sum().item(), abs=1e-4)
        assert row["kl_base_aligned"] == pytest.approx((q.exp() * (q - p)).sum().item(), abs=1e-4)
        assert abs(row["base_rank"] - int((q > q[token]).sum()) - 1) <= near(q, token)


def base_context(tokenizer, answer):
    """The base arm has no system message: the question alone in its template."""
    question = tokenizer.decode(answer["prompt_ids"]).split("<|im_start|>user\n")[-1]
    chat = [{"role": "user", "content": question.split("<|im_end|>")[0]}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True).input_ids


def every_position(model, context, answer):
    """Log-probabilities before each token of the answer, [tokens, vocabulary], float64."""
    with torch.inference_mode():
        logits = model(torch.tensor([context + answer])).logits[0].double()
    return logits[len(context) - 1 : -1].log_softmax(1)


def near(log_q, token):
    """How many other ids are so close that rounding decides their order."""
    return int(((log_q - log_q[token]).abs() < 1e-4).sum()) - 1


def test_the_greedy_model_is_certain_of_its_own_answers(scored):
    *_, rows = scored
    top = [row["aligned_topk_ids"][0] == row["token_id"] for row in rows]
    assert sum(top) / len(top) > 0.99
