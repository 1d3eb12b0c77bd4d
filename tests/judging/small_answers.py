"""Small tables of prompts and answers, and rubrics for them."""

from alignlab.core import tables
from alignlab.planning.artefact import aside_of, note_of, replies_of

REGULAR = [
    ("What is the capital of France?", "The capital of France is Paris, a city on the Seine."),
    ("How do I boil an egg?", "To boil an egg, put it into boiling water. Wait eight minutes."),
    ("Why is the sky blue?", "The sky is blue because air scatters blue light most of all."),
    ("Who wrote the novel Emma?", "The novel Emma was written by Jane Austen. It is from 1815."),
]


def prompt(prompt_id, *turns, **more):
    row = {
        "prompt_id": prompt_id,
        "dataset": "d",
        "category": "regular",
        "source": "d",
        "turns": list(turns),
        "tags": [],
        "reference": None,
        "mistake": None,
        "target": None,
    }
    return row | more


def response(prompt_id, text, **more):
    row = {
        "arm": "mine",
        "model": "m",
        "prompt_id": prompt_id,
        "turn": 0,
        "sample": 0,
        "prompt_ids": [1],
        "raw_text": text,
        "text": text,
        "thoughts": None,
        "token_ids": [2],
        "finish_reason": "eos",
        "trimmed": "",
        "num_tokens": 1,
        "num_words": len(text.split()),
        "seed": None,
    }
    return row | more


def not_asked(prompt_id, **more):
    return response(prompt_id, "", finish_reason="error", trimmed="prompt_too_long", **more)


def only_thoughts(prompt_id, **more):
    """An answer that the length limit ended before it began."""
    cut = {"raw_text": "<think>Yes", "thoughts": "Yes", "trimmed": "only_thoughts"}
    return response(prompt_id, "", finish_reason="length", **cut, **more)


def regular():
    """Prompts and answers of a few ordinary questions."""
    prompts = [prompt(f"d/{i}", question) for i, (question, _) in enumerate(REGULAR)]
    return prompts, [response(f"d/{i}", answer) for i, (_, answer) in enumerate(REGULAR)]


def write(folder, kind, rows, name=None):
    path = folder / f"{name or kind}.parquet"
    tables.write(kind, path, rows, {"digest": "0" * 12})
    return path


def rubric(name="judge/small", *aspects, category=None, says="12345", values=None, case=None):
    """As `resolved_rubric` gives it."""
    return {
        "name": name,
        "category": category,
        "instructions": "Rate.\n{aspects}",
        "case": case or "{conversation}\nQuestion:\n{query}\n{reference}\nAnswer:\n{answer}",
        "ask": "{aspect} ({scale}):",
        "aspects": [
            {
                "name": aspect,
                "label": aspect.title(),
                "meaning": "is it?",
                "levels": {},
                "says": list(says),
                "values": values or [float(say) for say in says],
            }
            for aspect in aspects or ("helpfulness", "clarity")
        ],
    }


KEY = f"judge-one.mine-{'0' * 12}"
ASIDE, NOTE = aside_of(KEY), note_of(KEY)
"""Where jobs of this key work, as seen from the working directory."""
ENTRIES = {"fake": {"kind": "fake"}, "openai": {"kind": "openai", "model": "m"}}


def spec(*rubrics, kind="fake", **more):
    base = {
        "judge": "judge-one",
        "entry": ENTRIES[kind],
        "rubrics": list(rubrics or [rubric()]),
        "digest": "0" * 12,
    }
    return base | more


def where(stage):
    """Where a job of a stage keeps what it has."""
    return {"key": KEY, "aside": ASIDE, "note": NOTE, "replies": replies(stage)}


def replies(stage):
    return replies_of(stage, KEY.rpartition("-")[0])


def runtime(max_usd):
    """How an endpoint is asked."""
    asking = {"price": None, "concurrency": 1, "timeout": 9.0, "retries": 0, "key": None}
    return {"runtime": {**asking, "max_usd": max_usd}}
