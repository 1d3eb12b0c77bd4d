"""An arm behind an endpoint, killed at any moment: no stored reply is asked for again."""

import random
import time

from endpoint import completion, kill_at_work, serving, stored

from alignlab.answering.generate import GenerateJob, Part, generate
from alignlab.core import tables

KILLS, PROMPTS, CONCURRENCY = 8, 60, 4


def answer(url, folder):
    """Run the arm; its questions have two turns."""
    runtime = {"key": None, "price": None, "max_usd": None, "timeout": 5, "retries": 1}
    spec = {
        "arm": "gpt",
        "model": "gpt",
        "method": {"kind": "chat"},
        "decoding": {"max_new_tokens": 20, "temperature": 0.5},
        "engine": {"name": "openai", "model": "gpt-x", "base_url": url, "form": "chat"},
        "seed": 0,
        "digest": "0" * 12,
    }
    given = {"place": {"runtime": {**runtime, "concurrency": CONCURRENCY}}, "batch_size": 8}
    job = GenerateJob(
        spec=spec,
        prompts=[folder / "prompts.parquet"],
        part=Part(0, 1),
        aside=folder / "aside",
        replies=folder / "replies.jsonl",
        output=folder / "part.parquet",
        **given,
    )
    generate(job)


def write_prompts(folder):
    empty = dict.fromkeys(("source", "reference", "mistake", "target"))
    named = {"dataset": "d", "category": "regular", "tags": []}
    rows = [
        {"prompt_id": f"d/{i}", **named, **empty, "turns": [f"first-{i}", f"second-{i}"]}
        for i in range(PROMPTS)
    ]
    tables.write("prompts", folder / "prompts.parquet", rows, {})


def slowly(word):
    def say(handler, before):
        time.sleep(0.02)
        handler.say(completion(f"{word}: answer"))

    return say


def test_killed_at_any_moment_no_stored_reply_is_asked_for_again(tmp_path):
    chance, frozen = random.Random(7), {}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        write_prompts(folder)
    with serving(slowly) as server:
        for _ in range(KILLS):
            kill_at_work(server, chance.uniform(0, 0.1), answer, server.url, broken)
            known = stored(broken / "replies.jsonl")
            frozen = {word: server.calls[word] for word in known} | frozen
            assert not (broken / "part.parquet").exists()
        assert 0 < len(frozen) < 2 * PROMPTS
        answer(server.url, broken)
        assert {word: server.calls[word] for word in frozen} == frozen
        repeated = server.calls.total() - 2 * PROMPTS
        assert repeated <= KILLS * CONCURRENCY, "only what was under way when it was killed"
    with serving(slowly) as server:
        answer(server.url, whole)
        assert set(server.calls.values()) == {1}
    rows = [list(tables.rows("responses", at / "part.parquet")) for at in (whole, broken)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2 * PROMPTS
