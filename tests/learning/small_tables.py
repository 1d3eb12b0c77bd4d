"""Rows of small tables of prompts, mistakes and responses."""

PROMPT = {
    "dataset": "d",
    "category": "safety",
    "source": "d",
    "tags": [],
    "reference": None,
    "mistake": None,
    "target": None,
}
RESPONSE = {
    "arm": "a",
    "model": "m",
    "turn": 0,
    "sample": 0,
    "prompt_ids": [1],
    "token_ids": [2],
    "finish_reason": "eos",
    "trimmed": "",
    "num_tokens": 1,
    "num_words": 1,
    "seed": None,
}
# What an analyst was shown.
EXAMPLES = [
    {"query": "Why is this bad?", "answer": "No. The whale in it has nothing to do with stains."}
]


def prompt(number, **more):
    return {"prompt_id": f"d/{number}", "turns": [f"How can I do harm number {number}?"], **more}


def response(prompt_id, text, **more):
    return {"prompt_id": prompt_id, "text": text, "raw_text": text, **more}


def mistake(number, good="Please do not, and here is why."):
    return {
        "mistake_id": f"d/{number}#0",
        "prompt_id": f"d/{number}",
        "instruction": f"How can I do harm number {number}?",
        "response": f"Take tool number {number}.",
        "source": "induced",
        "cue": None,
        "good": good,
        "target": None,
    }
