import random
import time

import pytest
from endpoint import (
    RUBRIC,
    USAGE,
    completion,
    hangs,
    kill_at_work,
    once,
    says,
    serving,
    stored,
    verdicts,
)

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.replies import Budget, Replies
from alignlab.judging.cases import Case
from alignlab.judging.config import ApiJudgeConfig
from alignlab.judging.openai_judge import judge_at

ENTRY = {
    "kind": "openai",
    "model": "judge",
    "key": None,
    "structured": "none",
    "max_tokens": 50,
    "price": None,
    "concurrency": 4,
    "timeout": 5,
    "retries": 1,
}
KILLS, CASES = 10, 140


class Watched(list):
    """Cases that know how far they were read."""

    furthest = 0

    def __iter__(self):
        for self.furthest, case in enumerate(super().__iter__(), 1):
            yield case


def some_cases(count):
    texts = ({"query": f"case-{i}", "answer": "x"} for i in range(count))
    return Watched(Case(f"d/{i}", 0, 0, text) for i, text in enumerate(texts))


def rate(spec, replies, count):
    """Scores by case."""
    entry, limit = {**ENTRY, **spec}, spec.get("max_usd")
    entry.pop("max_usd", None)
    judge = judge_at(ApiJudgeConfig(**entry), replies, limit)
    return dict(judge.judge(RUBRIC, some_cases(count)))


def statuses(table):
    return [table[at][0].status for at in range(len(table))]


def values(table):
    return {at: [(s.status, s.value) for s in scores] for at, scores in table.items()}


def slowly(word):
    """Every seventh is refused at first, so that a re-run has something else to do."""

    def answer(handler, before):
        time.sleep(0.02)
        number = int(word.removeprefix("case-"))
        scored = completion(f"{word}: {verdicts(1 + number % 5)}")
        handler.say(scored if before or number % 7 else completion(None, refusal="no"))

    return answer


def test_killed_at_any_moment_nothing_stored_is_asked_again(tmp_path):
    chance, path = random.Random(5), tmp_path / "replies.jsonl"
    frozen = {}
    with serving(slowly) as server:
        spec = {"base_url": server.url}
        for _ in range(KILLS):
            kill_at_work(server, chance.uniform(0, 0.06), rate, spec, path, CASES)
            frozen = {word: server.calls[word] for word in stored(path)} | frozen
        assert 0 < len(frozen) < CASES
        table = rate(spec, path, CASES)
        settled = rate(spec, path, CASES)
        assert {word: server.calls[word] for word in frozen} == frozen
        calls = server.calls.total()
        assert rate(spec, path, CASES) == settled
        assert server.calls.total() == calls
        assert server.peak <= 2 * ENTRY["concurrency"], "a killed one's calls and the next one's"
    with serving(slowly) as server:
        unbroken = tmp_path / "unbroken.jsonl"
        rate({"base_url": server.url}, unbroken, CASES)
        assert values(settled) == values(rate({"base_url": server.url}, unbroken, CASES))
    assert set(statuses(settled)) == {"scored"}
    assert {"scored", "refused"} >= set(statuses(table))


def test_cases_are_read_as_there_is_room(tmp_path):
    cases = some_cases(41)
    with serving(slowly) as server:
        entry = ApiJudgeConfig(**ENTRY, base_url=server.url)
        judge = judge_at(entry, tmp_path / "replies.jsonl")
        for done, _ in enumerate(judge.judge(RUBRIC, cases)):
            assert cases.furthest <= done + 1 + ENTRY["concurrency"]
        assert 1 < server.peak <= ENTRY["concurrency"]


def test_a_job_that_is_left_early_frees_the_file_and_counts_what_was_under_way(tmp_path):
    price = {"prompt": 0.0, "completion": 1e6}
    path = tmp_path / "replies.jsonl"
    with serving(lambda word: says(completion(verdicts("1"))) if word == "case-0" else hangs) as at:
        entry = ApiJudgeConfig(**{**ENTRY, "price": price, "base_url": at.url})
        judge = judge_at(entry, path, max_usd=1000.0)
        ratings = judge.judge(RUBRIC, some_cases(20))
        next(ratings)
        started = time.monotonic()
        ratings.close()
        assert time.monotonic() - started < 2, "calls that hang are given up"
    replies = Replies(path, Budget(None, None))
    with replies.opened():
        under_way = replies.spent.completion - USAGE["completion_tokens"]
        assert under_way % ENTRY["max_tokens"] == 0
        assert under_way <= ENTRY["concurrency"] * ENTRY["max_tokens"]


def test_the_budget_holds_even_if_what_was_never_answered_is_billed(tmp_path):
    limit, price = 7.0, {"prompt": 1000.0, "completion": 1000.0}
    paid = sum(USAGE.values()) * 1000 / 1e6
    good = says(completion(verdicts("1")))
    faults = {"case-0": hangs, "case-7": hangs, "case-9": once(hangs, good)}
    path = tmp_path / "replies.jsonl"
    with serving(lambda word: faults.get(word, good)) as server:
        spec = {"base_url": server.url, "price": price, "timeout": 0.2}
        for _ in range(2):
            table = rate({**spec, "max_usd": limit}, path, 80)
            assert server.calls.total() * paid <= limit
        found = statuses(table)
        assert set(found) == {"scored", "skipped"} | ({"api_error"} & {*found})
        assert found.count("scored") > 15
        for at in range(80):
            if found[at] == "skipped":
                assert "max_usd" in table[at][0].raw
                assert table[at][0].cost_usd == 0
        calls = server.calls.copy()
        full = rate({**spec, "max_usd": 100.0}, path, 80)
        assert {at for at in full if full[at][0].status == "api_error"} == {0, 7}
        assert statuses(full).count("scored") == 78
        scored = [at for at in range(80) if found[at] == "scored"]
        assert all(server.calls[f"case-{at}"] == calls[f"case-{at}"] for at in scored)


def test_every_try_that_may_be_billed_needs_room(tmp_path):
    price, longest = {"prompt": 0.0, "completion": 1e6}, ENTRY["max_tokens"]
    with serving(lambda word: hangs) as server:
        spec = {"base_url": server.url, "price": price, "timeout": 0.1, "retries": 3}
        table = rate({**spec, "max_usd": 9.5 * longest}, tmp_path / "replies.jsonl", 20)
        assert 4 < server.calls.total() <= 9
    found = statuses(table)
    assert set(found) == {"api_error", "skipped"}
    assert found.count("api_error") < 9, "some were tried again"


def test_half_a_reply_is_asked_again_and_the_better_one_counts(tmp_path):
    half, worse = completion(verdicts("1", "9")), completion("nothing")
    replies = iter([half, worse, completion(verdicts("2", "2"))])
    path, runs = tmp_path / "replies.jsonl", []
    with serving(lambda word: says(next(replies))) as server:
        for _ in range(4):
            runs.append(values(rate({"base_url": server.url}, path, 1))[0])
        assert server.calls.total() == 3
    (first, second, third, fourth) = runs
    assert first == second == [("scored", 10), ("unparseable", None)]
    assert third == fourth == [("scored", 20), ("scored", 20)]


def test_two_jobs_never_write_to_one_file(tmp_path):
    path = tmp_path / "replies.jsonl"
    with Replies(path, Budget(None, None)).opened(), pytest.raises(AlignlabError, match=str(path)):
        rate({"base_url": "http://127.0.0.1:9/v1"}, path, 1)
