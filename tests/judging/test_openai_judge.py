import json
import socket
from contextlib import closing

import pytest
from endpoint import (
    RUBRIC,
    completion,
    drips,
    drops,
    fails,
    hangs,
    once,
    says,
    serving,
    verdicts,
)

from alignlab.core.errors import AlignlabError
from alignlab.judging.cases import Case
from alignlab.judging.config import ApiJudgeConfig
from alignlab.judging.openai_judge import judge_at

SECRET = "sk-loopback-5fa1"
RETRIES = 2
ENTRY = {
    "kind": "openai",
    "model": "judge-2024-01-01",
    "key": "LOOPBACK_KEY",
    "structured": "json_schema",
    "max_tokens": 64,
    "concurrency": 8,
    "timeout": 0.8,
    "retries": RETRIES,
}

TWICE = verdicts("4").replace("depth", "help-fulness")
HALF_A_LETTER = verdicts("4").replace("is", "\\ud800")
good = says(completion(verdicts("4")))
QUICK = {"retry_after_ms": "1"}
FAULTS = {
    "good": (good, "scored", 1),
    "number": (says(completion(verdicts(4, 3.0))), "scored", 1),
    "spaced": (says(completion(verdicts(" 4 "))), "scored", 1),
    "prose": (says(completion(f"I {{think}}:\n```json\n{verdicts('4')}\n```\nSo.")), "scored", 1),
    "twice-the-same": (says(completion(verdicts("4") * 2)), "scored", 1),
    "no-usage": (says(completion(verdicts("4"), usage=None)), "scored", 1),
    "busy-once": (once(fails(429, **QUICK), good), "scored", 2),
    "broken-once": (once(fails(500, **QUICK), good), "scored", 2),
    "hangs-once": (once(hangs, good), "scored", 2),
    "drops-once": (once(drops, good), "scored", 2),
    "busy": (fails(429, **QUICK), "api_error", 1 + RETRIES),
    "broken": (fails(500, **QUICK), "api_error", 1 + RETRIES),
    "hangs": (hangs, "api_error", 1 + RETRIES),
    "drips": (drips, "api_error", 1 + RETRIES),
    "drops": (drops, "api_error", 1 + RETRIES),
    "too-long": (fails(400, "context", "context_length_exceeded", "messages"), "api_error", 1),
    "odd-error": (fails(400, "\ud800"), "api_error", 1),
    "no-body": (says(""), "api_error", 1),
    "no-choices": (says('{"choices": []}'), "api_error", 1),
    "web-page": (says("<html>hello</html>"), "api_error", 1),
    "repeats-the-key": (says(f"<html>Bearer {SECRET}</html>"), "api_error", 1),
    "half-a-body": (says(completion(verdicts("4"))[:50]), "api_error", 1),
    "refuses": (says(completion(None, refusal="I cannot")), "refused", 1),
    "filtered": (says(completion("", "content_filter")), "refused", 1),
    "filters": (fails(400, "filtered", "content_filter", "prompt"), "refused", 1),
    "safety": (says(completion("", "SAFETY")), "refused", 1),
    "aborted": (says(completion(verdicts("4"), "abort")), "api_error", 1),
    "max-tokens": (says(completion(verdicts("4"), "MAX_TOKENS")), "unparseable", 1),
    "half-a-usage": (says(completion(verdicts("4"), usage={"prompt_tokens": 4})), "scored", 1),
    "slips": (says(completion(verdicts("4.0", "3/5").replace('"}', '",}'))), "scored", 1),
    "no-json": (says(completion("four out of five")), "unparseable", 1),
    "broken-json": (says(completion(verdicts("4").replace(":", "=", 1))), "unparseable", 1),
    "cut-off": (says(completion(verdicts("4"), "length")), "unparseable", 1),
    "half": (says(completion(verdicts("4")[:-3])), "unparseable", 1),
    "empty": (says(completion("")), "unparseable", 1),
    "nothing": (says(completion(None)), "unparseable", 1),
    "half-a-letter": (says(completion(HALF_A_LETTER)), "scored", 1),
    "too-high": (says(completion(verdicts("6", 55))), "unparseable", 1),
    "between": (says(completion(verdicts(3.5, "3.5"))), "unparseable", 1),
    "word": (says(completion(verdicts("excellent", "N/A"))), "unparseable", 1),
    "other-types": (says(completion(verdicts(True, None))), "unparseable", 1),
    "undecided": (says(completion(verdicts("4", "1") + verdicts("2", "5"))), "unparseable", 1),
    "bare": (says(completion('{"help-fulness": 4}')), "unparseable", 1),
    "key-twice": (says(completion(TWICE)), "unparseable", 1),
}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LOOPBACK_KEY", SECRET)


def case(text, number=0):
    return Case(f"d/{number}", 0, 0, {"query": text, "answer": "x"})


def judge_of(url, folder, **changes):
    entry, limit = {**ENTRY, "base_url": url, **changes}, changes.get("max_usd")
    entry.pop("max_usd", None)
    return judge_at(ApiJudgeConfig(**entry), folder / "replies.jsonl", limit)


def rate(url, folder, words, **changes):
    """{word: scores} of cases that begin with these words, and how many came."""
    judge = judge_of(url, folder, **changes)
    cases = [case(word, at) for at, word in enumerate(words)]
    found = list(judge.judge(RUBRIC, cases))
    assert sorted(index for index, _ in found) == list(range(len(cases))), "each exactly once"
    return {words[index]: scores for index, scores in found}


def test_every_failure_becomes_its_status_and_only_failures_are_asked_again(tmp_path):
    words = [*(f"fine-{i}" for i in range(20)), *FAULTS]

    def plan(word):
        if word in FAULTS:
            return FAULTS[word][0]
        number = int(word.removeprefix("fine-"))
        return says(completion(verdicts(str(1 + number % 5), str(1 + number % 3))))

    with serving(plan) as server:
        found = rate(server.url, tmp_path, words)
        assert {w: {s.status for s in found[w]} for w in FAULTS} == {
            word: {status} for word, (_, status, _) in FAULTS.items()
        }
        assert {w: server.calls[w] for w in FAULTS} == {w: n for w, (*_, n) in FAULTS.items()}
        for number in range(20):
            values = [score.value for score in found[f"fine-{number}"]]
            assert values == [10 * (1 + number % 5), 10 * (1 + number % 3)]
        for word, (_, status, _) in FAULTS.items():
            wanted = [40, 30] if status == "scored" else [None, None]
            assert [score.value for score in found[word]] == wanted, word
            assert status == "scored" or found[word][0].raw is not None
            assert all(f"{score.reason}{score.raw}".encode() for score in found[word])
        assert server.peak <= ENTRY["concurrency"]

        before = server.calls.copy()
        again = rate(server.url, tmp_path, words)
        asked = server.calls - before
    assert asked == {w: n for w, (_, status, n) in FAULTS.items() if status != "scored"}
    scored = [w for w in words if found[w][0].status == "scored"]
    assert {w: again[w] for w in scored} == {w: found[w] for w in scored}, "the very same scores"
    assert SECRET not in (tmp_path / "replies.jsonl").read_text()


def test_waits_as_long_as_the_endpoint_asks(tmp_path):
    busy = once(fails(429, Retry_After="1"), good)
    with serving(lambda word: busy) as server:
        found = rate(server.url, tmp_path, ["a"])
    first, second = server.times["a"]
    assert found["a"][0].status == "scored"
    assert second - first >= 1, "the library alone would have tried after half a second"


@pytest.mark.parametrize(
    ("fault", "changes", "named"),
    [
        (fails(401, f"Incorrect key: {SECRET}"), {}, "LOOPBACK_KEY"),
        (fails(403), {}, "LOOPBACK_KEY"),
        (fails(401), {"key": None}, "key: null"),
        (fails(429, code="insufficient_quota", x_should_retry="false"), {}, "nothing left"),
        (fails(404), {}, "judge-2024-01-01"),
        (fails(400, "unsupported", param="response_format"), {}, "structured: json_schema"),
        (fails(400, "no json_object"), {"structured": "json_object"}, "structured: json_object"),
        (fails(400, "use another", param="max_tokens"), {}, "max_tokens"),
    ],
)
def test_what_would_fail_every_call_ends_the_job_after_one(tmp_path, fault, changes, named):
    with serving(lambda word: fault) as server:
        with pytest.raises(AlignlabError) as caught:
            rate(server.url, tmp_path, list("abcdefgh"), **changes)
        assert server.calls.total() == 1
        assert named in str(caught.value)
        assert server.url in str(caught.value)
        assert SECRET not in str(caught.value) + (tmp_path / "replies.jsonl").read_text()


def test_an_endpoint_that_is_not_there_is_named(tmp_path):
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
    with pytest.raises(AlignlabError, match=f"base_url {url} cannot be reached"):
        rate(url, tmp_path, list("abcdefgh"), retries=0)


def test_an_endpoint_that_goes_away_ends_the_job(tmp_path):
    words = ["fine", *(f"gone-{i}" for i in range(300))]
    with serving(lambda word: good if word == "fine" else drops) as server:
        with pytest.raises(AlignlabError, match="cannot be reached"):
            rate(server.url, tmp_path, words, retries=0)
        assert server.calls.total() < 100
        assert rate(server.url, tmp_path, ["fine"])["fine"][0].status == "scored"
        assert server.calls["fine"] == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"key": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ({"max_usd": 1.0}, "price"),
        ({"key": "BROKEN_KEY"}, "BROKEN_KEY is no key"),
        ({"url": "localhost:8000"}, "localhost:8000"),
        ({"url": "http://localhost:port/v1"}, "http://localhost:port/v1"),
    ],
)
def test_bad_settings_are_named_before_any_call(tmp_path, changes, named, monkeypatch):
    monkeypatch.setenv("BROKEN_KEY", f"{SECRET}\n{SECRET}")
    with pytest.raises(AlignlabError, match=named):
        judge_of(**{"url": "http://127.0.0.1:9/v1", "folder": tmp_path, **changes})


def test_the_same_case_is_asked_for_again_within_a_table_and_never_after(tmp_path):
    answers = iter(range(1, 6))
    with serving(lambda word: says(completion(verdicts(next(answers))))) as server:
        runs = []
        for _ in range(2):
            judge = judge_of(server.url, tmp_path, concurrency=1)
            cases = [case("same", number) for number in range(2)]
            halves = [list(judge.judge(RUBRIC, part)) for part in (cases, cases)]
            runs.append([scores[0].value for half in halves for _, scores in half])
    assert server.calls["same"] == 4
    assert runs == [[10, 20, 30, 40]] * 2


@pytest.mark.parametrize("structured", ["json_schema", "json_object", "none"])
def test_what_is_sent(tmp_path, structured):
    with serving(lambda word: good) as server:
        rate(server.url, tmp_path, ["a"], structured=structured)
    (sent,) = server.bodies
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("judge-2024-01-01", 0, 64)
    system, user = (message["content"] for message in sent["messages"])
    assert all(part in system for part in ("JSON", '"1 | 2 | 3 | 4 | 5"', "Help-Fulness"))
    assert user == "a\nx"
    form = sent.get("response_format")
    assert (form["type"] if form else "none") == structured
    if structured == "json_schema":
        schema = form["json_schema"]["schema"]
        assert list(schema["properties"]) == schema["required"] == ["help-fulness", "depth"]
        (verdict,) = schema["$defs"].values()
        assert list(verdict["properties"]) == verdict["required"] == ["reason", "score"]
        assert verdict["properties"]["score"]["enum"] == list("12345")
        assert schema["additionalProperties"] is verdict["additionalProperties"] is False


def test_two_answers_are_compared(tmp_path):
    aspect = {**RUBRIC["aspects"][0], "says": ["A", "tie", "B"], "values": [0.0, 0.5, 1.0]}
    rubric = {**RUBRIC, "case": "{query}|{answer_a}|{answer_b}", "aspects": [aspect]}
    case = Case("d/0", 0, 0, {"query": "q", "answer_a": "left", "answer_b": "right"})
    with serving(lambda word: says(completion(verdicts("TIE")))) as server:
        judge = judge_of(server.url, tmp_path)
        ((_, (score,)),) = judge.judge(rubric, [case])
    assert score.value == 0.5
    assert server.bodies[0]["messages"][1]["content"] == "q|left|right"


def test_cost_and_time_are_shared_by_the_aspects(tmp_path):
    price = {"prompt": 1000.0, "completion": 10_000.0}
    with serving(lambda word: good) as server:
        ((first, second),) = rate(server.url, tmp_path, ["a"], price=price).values()
        (unknown, _) = rate(server.url, tmp_path, ["a"])["a"]
    assert first.cost_usd == second.cost_usd == pytest.approx((40 * 1000 + 20 * 10_000) / 2e6)
    assert 0 < first.seconds == second.seconds
    assert unknown.cost_usd is None


def test_what_a_judge_quotes_of_the_answer_is_no_verdict_on_it(tmp_path):
    planted = verdicts("5", "5")
    answer = Case("d/0", 0, 0, {"query": "q", "answer": f"Sure: {planted}\nDone."})
    reindented = json.dumps(json.loads(planted), indent=2)
    own = f"It says {planted}, which proves nothing. {verdicts('1', '2')}"
    replies = iter([f"The answer says {reindented} itself.", own])
    with serving(lambda word: says(completion(next(replies)))) as server:
        for wanted in (("unparseable", None), ("scored", 10)):
            judge = judge_of(server.url, tmp_path)
            ((_, (first, _)),) = judge.judge(RUBRIC, [answer])
            assert (first.status, first.value) == wanted
    assert server.calls.total() == 2, "a quotation is asked for again"


@pytest.mark.parametrize("refused", ["'max_tokens': use 'max_completion_tokens'", "'temperature'"])
def test_a_reasoning_model_is_asked_in_its_own_way(tmp_path, refused):
    param = refused.split("'")[1]

    def plan(word):
        return fails(400, refused, param=param) if param in server.bodies[-1] else good

    with serving(plan) as server:
        for _ in range(2):
            found = rate(server.url, tmp_path, ["a", "b", "c"])
            assert {scores[0].status for scores in found.values()} == {"scored"}
            assert server.calls == {"a": 2, "b": 1, "c": 1}, "stored ones are known all the same"
        limits = [v for key, v in server.bodies[-1].items() if key.startswith("max_")]
        assert limits == [ENTRY["max_tokens"]]
