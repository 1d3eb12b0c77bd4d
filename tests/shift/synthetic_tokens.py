"""token_shift and prompts tables from a few lines: the rank, KL and so on of every token."""

import math

from alignlab.core import tables


def token(prompt, position, rank=1, *, kl=0.0, turn=0, sample=0, **changes):
    row = {
        "pair": "p",
        "template": "own",
        "prompt_id": prompt,
        "turn": turn,
        "sample": sample,
        "position": position,
        "token_id": rank,
        "token": f" t{rank}",
        "base_rank": rank,
        "tied": False,
        "shift_class": "unshifted" if rank == 1 else "marginal" if rank <= 3 else "shifted",
        "base_logprob": math.log(0.5),
        "aligned_logprob": math.log(0.8),
        "kl_aligned_base": kl,
        "kl_base_aligned": 2 * kl,
        "js": kl / 4,
        "base_entropy": 1.5,
        "aligned_entropy": 0.5,
        "kl_kind": "exact",
        "is_special": False,
        "is_eos": False,
        "token_category": "content",
    }
    for side, top in (("base", changes.pop("confidence", 0.55)), ("aligned", 0.9)):
        row |= {
            f"{side}_topk_ids": list(range(10)),
            f"{side}_topk_tokens": ["x"] * 10,
            f"{side}_topk_logprobs": [math.log(top), *[-9.0] * 9],
        }
    return row | changes


def answer(prompt, ranks, *, eos=False, **common):
    """One answer; the last token ends it if `eos`."""
    return [
        token(prompt, position, rank, is_eos=eos and position == len(ranks) - 1, **common)
        for position, rank in enumerate(ranks)
    ]


def write_prompts(path, prompts, clusters=None):
    """`prompts`: id → (dataset, category); `clusters`: id → cluster, where not its own."""
    rows = [
        {
            "prompt_id": name,
            "dataset": dataset,
            "category": category,
            "source": "",
            "turns": ["?", "And then?"],
            "tags": [],
            "reference": None,
            "mistake": None,
            "target": None,
            "cluster": (clusters or {}).get(name),
        }
        for name, (dataset, category) in prompts.items()
    ]
    tables.write("prompts", path, rows, {})
