"""A step of tuning against a plain one, and what an update adapts, per architecture."""

import json

import pytest
import torch
from peft import get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from trl.trainer.utils import add_fused_lm_head

from alignlab.core.errors import AlignlabError
from alignlab.engines.adapter import adapted
from alignlab.engines.small import reduced
from alignlab.engines.vllm_engine import rank_of
from alignlab.tuning import step
from alignlab.tuning.config import LoraConfig
from alignlab.tuning.lora import left_frozen, update_of
from alignlab.tuning.rlhf import TokenisedRloo

EQUAL = {"sft": "", "dpo": "", "rlhf": ""}
# Absolute positions, rope, ALiBi, windows, caps, latent attention, kinds of experts.
KINDS = (
    *("gpt2", "opt", "llama", "bloom", "falcon", "gptj", "gemma2", "gemma3_text", "phi3"),
    *("mixtral", "qwen2_moe", "gpt_oss", "deepseek_v3", "jetmoe", "phimoe"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_trainer_takes_the_step_of_plain_peft(kind, repository_root):
    assert step.examine(CONFIG_MAPPING[kind]()) == EQUAL
    page = (repository_root / "docs/tuning.md").read_text(encoding="utf-8")
    assert f"| {kind} | sft, dpo, rlhf |  |\n" in page


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("cohere", {"logit_scale": 0.1}), ("granitemoe", {"logits_scaling": 6.0})],
)
def test_a_scaled_head_is_learnt_with_its_scale(kind, keys):
    reasons = step.examine(CONFIG_MAPPING[kind](**keys))
    assert (reasons["sft"], reasons["dpo"]) == ("", "")
    assert reasons["rlhf"] == "transformers has no reward model of it"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("cpmant", "its loss differs in a padded batch"),
        ("inkling_text", "its loss differs in a padded batch, or by its head"),
        ("falcon_mamba", "'out_proj' is incompatible with Mamba-based models"),
    ],
)
def test_what_no_trainer_computes_is_refused(kind, reason):
    assert all(reason in found for found in step.examine(CONFIG_MAPPING[kind]()).values())


def test_layers_that_peft_adapts_may_be_named():
    config = CONFIG_MAPPING["falcon_mamba"]()
    assert step.examine(config, ("in_proj", "x_proj"))["sft"] == ""


def test_a_refused_architecture_ends_a_tuning_before_its_first_step(model_folder):
    with pytest.raises(AlignlabError, match=r"new: architecture rwkv cannot .* by trainer rlhf"):
        step.require_tunable("new", model_folder("rwkv"), "rlhf", "all-linear")


def small(kind, **keys):
    torch.manual_seed(0)
    config = reduced(CONFIG_MAPPING[kind](**keys))
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def tuned_of(model):
    tuned = get_peft_model(model, update_of(LoraConfig(rank=2, alpha=4), model, "CAUSAL_LM"))
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.normal_(std=0.2)
    return tuned.eval()


def loss_of(model):
    ids = torch.tensor([step.ROWS[1]["input_ids"]])
    return model(input_ids=ids, labels=ids).loss


@pytest.mark.parametrize("kind", ["mixtral", "qwen2_moe", "granitemoe", "gpt_oss", "jetmoe"])
def test_an_update_of_experts_has_the_gradients_of_their_weights(kind):
    """Those of the weights with the update in them, by the chain rule."""
    tuned = tuned_of(small(kind))
    loss_of(tuned).backward()
    layers = {
        name: module
        for name, module in tuned.get_base_model().named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    found = [
        (each.lora_A["default"].weight, each.lora_B["default"].weight) for each in layers.values()
    ]
    given = [(a.grad.clone(), b.grad.clone()) for a, b in found]
    tuned.zero_grad()
    deltas = [layer.get_delta_weight("default") for layer in layers.values()]
    names = [
        f"{name.replace('.base_layer', '')}.{getattr(layer, 'parameter_name', 'weight')}"
        for name, layer in layers.items()
    ]
    plain = tuned.merge_and_unload()
    for parameter in plain.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    loss_of(plain).backward()
    weights = dict(plain.named_parameters())
    sum(
        (delta * weights[name].grad).sum() for name, delta in zip(names, deltas, strict=True)
    ).backward()
    assert any(weights[name].dim() == 3 for name in names)
    for (a, b), expected in zip(found, given, strict=True):
        torch.testing.assert_close((a.grad, b.grad), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "router"),
    [
        *(("mixtral", None), ("deepseek_v3", None), ("llama", None)),
        *(("qwen2_moe", "mlp.gate"), ("granitemoe", "block_sparse_moe.router")),
    ],
)
def test_all_linear_leaves_embeddings_and_head_and_what_is_named(kind, router):
    left = [f"model.layers.{n}.{router}.weight" for n in (0, 1)] if router else []
    assert left_frozen(tuned_of(small(kind))) == left


def test_dense_layers_and_shared_experts_are_tuned_beside_experts():
    """PEFT takes them for the experts that older models had under their names."""
    model = tuned_of(small("deepseek_v3"))
    updated = " ".join(n for n, parameter in model.named_parameters() if parameter.requires_grad)
    for name in ("layers.0.mlp.gate_proj", "mlp.shared_experts.up_proj", "mlp.experts.base_layer"):
        assert f"{name}.lora_A" in updated


def lora(**changes):
    return {"rank": 4, "alpha": 8, "dropout": 0, "targets": "all-linear", **changes}


def test_a_model_with_experts_is_tuned_and_loaded(make_spec, answers, tune, model_folder):
    adapter = tune(make_spec(lora=lora(), learning_rate=0.01), answers, "granitemoe")
    left = json.loads((adapter / "not_tuned.json").read_text())["not_tuned"]
    assert left == [f"model.layers.{n}.block_sparse_moe.router.weight" for n in (0, 1)]
    base, model = (
        AutoModelForCausalLM.from_pretrained(model_folder("granitemoe"), dtype=torch.float32)
        for _ in range(2)
    )
    after = dict(adapted(model, adapter).named_parameters())
    changed = {n for n, weight in base.named_parameters() if not torch.equal(weight, after[n])}
    assert changed == {n for n in after if "self_attn" in n or "experts" in n}
    with pytest.raises(AlignlabError, match=r"the adapter is of routed experts, .* vLLM"):
        rank_of(adapter)


def test_experts_alone_can_be_named(make_spec, answers, tune):
    adapter = tune(make_spec(lora=lora(targets=["down_proj"])), answers, "granitemoe")
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["target_parameters"] == [
        f"model.layers.{n}.block_sparse_moe.experts.down_proj" for n in (0, 1)
    ]
    assert not (adapter / "not_tuned.json").exists()


def test_experts_with_dropout_are_refused(make_spec, answers, tune):
    with pytest.raises(AlignlabError, match=r"tiny-tuned: lora of tiny: dropout: experts"):
        tune(make_spec(lora=lora(dropout=0.1)), answers, "granitemoe")


def test_half_of_a_matrix_is_refused():
    with pytest.raises(AlignlabError, match=r"targets: .*gate_proj without also targeting up_proj"):
        update_of(LoraConfig(targets=("gate_proj",)), small("deepseek_v3"), "CAUSAL_LM")


def test_a_policy_is_read_where_it_is_asked(model_folder):
    """Positions count from the first token of a question, whatever stands beside it (trl#6800)."""
    model = AutoModelForCausalLM.from_pretrained(model_folder("gpt2"), dtype=torch.float32).eval()
    asked, answers = [[5, 6, 7, 8, 9], [10, 11]], [[20, 21], [22, 23, 24]]
    whole = [question + answer for question, answer in zip(asked, answers, strict=True)]
    with torch.inference_mode():
        expected = [
            model(torch.tensor([ids])).logits[0, -len(answer) - 1 : -1].log_softmax(-1)
            for ids, answer in zip(whole, answers, strict=True)
        ]
        add_fused_lm_head(model, outputs=("log_probs", "entropy"))
        logps, entropies, _ = TokenisedRloo._get_per_token_logps_and_entropies(
            None,
            model,
            torch.tensor([[*asked[0], *answers[0], 0], [0, 0, 0, *asked[1], *answers[1]]]),
            torch.tensor([[1] * 7 + [0], [0] * 3 + [1] * 5]),
            3,
            compute_entropy=True,
        )
    for row, (answer, known) in enumerate(zip(answers, expected, strict=True)):
        chosen = known.gather(1, torch.tensor(answer)[:, None])[:, 0]
        assert logps[row, : len(answer)].tolist() == pytest.approx(chosen.tolist(), abs=1e-5)
        spread = -(known.exp() * known).sum(1)
        assert entropies[row, : len(answer)].tolist() == pytest.approx(spread.tolist(), abs=1e-4)
    assert logps[0, 2] == 0
