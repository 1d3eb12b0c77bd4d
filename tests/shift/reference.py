"""Token shift computed the slow way: float64, full logits, one answer at a time, plain formulas."""

import torch
from transformers import AutoModelForCausalLM


def all_logits(folder, ids):
    """Float64 logits of every position, [tokens, vocabulary], by plain transformers."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    )
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0]


def before_answer(logits, context, answer):
    """The rows that predict the answer's tokens."""
    return logits[len(context) - 1 : len(context) - 1 + len(answer)]


def divergences(base, aligned, tokens):
    """A dictionary of statistics [rows] from float64 logits [rows, vocabulary]."""
    log_q, log_p = base.log_softmax(1), aligned.log_softmax(1)
    q, p = log_q.exp(), log_p.exp()
    middle = ((p + q) / 2).log()
    chosen = tokens[:, None]
    return {
        "base_rank": (base > base.gather(1, chosen)).sum(1) + 1,
        "base_logprob": log_q.gather(1, chosen)[:, 0],
        "aligned_logprob": log_p.gather(1, chosen)[:, 0],
        "kl_aligned_base": (p * (log_p - log_q)).sum(1),
        "kl_base_aligned": (q * (log_q - log_p)).sum(1),
        "js": ((p * (log_p - middle)).sum(1) + (q * (log_q - middle)).sum(1)) / 2,
        "base_entropy": torch.special.entr(q).sum(1),
        "aligned_entropy": torch.special.entr(p).sum(1),
    }
