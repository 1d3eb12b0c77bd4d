"""Rows of the table `trainset`, one of each kind, about a harmless mistake; shapes of models."""

from alignlab.planning.artefact import aside_of
from alignlab.tuning.examples import UNLABELLED

KEY = "tiny-tuned-0123456789ab"

CHAT = {"kind": "chat"}
FRAMED = {"kind": "zero-shot"}
QUESTION = "Which planet is the largest?"
GOOD = "Jupiter is the largest planet. It has many moons."
BAD = "Mercury, because it is so hot: nothing else is as large."
ANALYSIS = "The response is wrong. Heat says nothing about size."
MARKERS = ["A right answer:", "A wrong answer:"]
ABOUT = f"Question: {QUESTION}\n\nResponse: {BAD}\n\nIs this response right or wrong?"


EXPERTS = {"moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
EXPERTS |= {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}
# What some architectures name otherwise, or have beside it.
SHAPES = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 1024},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "jetmoe": {"num_local_experts": 4, "kv_channels": 16, "num_key_value_heads": 2},
    **dict.fromkeys(("granitemoe", "mixtral", "qwen2_moe"), EXPERTS),
}
SHAPE = {
    "vocab_size": 1024,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,
}
WHERE = {"key": KEY, "aside": aside_of(KEY)}


def aside(folder):
    """Where a job that runs in a folder keeps its checkpoints."""
    return folder / aside_of(KEY)


def example(kind, number, prompt, completion, **others):
    """A row; keywords change columns."""
    return {
        "example_id": f"{kind}/pool/{number}",
        "kind": kind,
        "prompt_id": f"pool/{number}",
        "prompt": prompt,
        "markers": [""] * len(completion),
        "completion": completion,
        "rejected": None,
        **others,
    }


KINDS = [
    example("answer", 0, QUESTION, [GOOD]),
    example("good", 1, QUESTION, [GOOD]),
    example("analysis", 2, ABOUT, [ANALYSIS]),
    example("verdict", 3, ABOUT, ["The response is wrong."]),
    example("revision", 4, QUESTION, ["Jupiter."]),
    example("hindsight", 5, QUESTION, [GOOD, BAD], markers=MARKERS),
    example("hindsight", 6, QUESTION, [BAD, GOOD], markers=MARKERS[::-1]),
]


def learnt(row):
    """Token ids that carry loss."""
    return [label for label in row["labels"] if label != UNLABELLED]


def loss_free(row):
    """Token ids that carry none."""
    both = zip(row["input_ids"], row["labels"], strict=True)
    return [token for token, label in both if label == UNLABELLED]


def squeezed(text):
    """A text without white space, which may stand on either side of a marker's end."""
    return "".join(text.split())


def check_masks(tokenizer, rows, given, end):
    """The loss counts every piece of an answer and its end; never a prompt or a marker."""
    for row, source in zip(rows, given, strict=True):
        counted, free = (squeezed(tokenizer.decode(part(row))) for part in (learnt, loss_free))
        assert counted == squeezed("".join(source["completion"])) + end
        for text in filter(None, [source["prompt"], *source["markers"]]):
            assert squeezed(text) in free
        if source["kind"] in ("analysis", "verdict"):
            assert squeezed(BAD) in free
            assert squeezed(BAD) not in counted
