"""An arm whose model is behind an endpoint, against a real one on the loopback."""

import json
from collections import Counter

import pytest
from endpoint import (
    completion,
    drops,
    fails,
    hangs,
    once,
    question,
    said,
    says,
    serving,
)

from alignlab.answering.generate import GatherJob, GenerateJob, Part, gather, generate
from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.endpoints import replies

SECRET, RETRIES = "sk-loopback-77c2", 2
CHAT = {"kind": "chat"}
ZERO_SHOT = {"kind": "zero-shot"}
RUNTIME = {
    "key": "LOOPBACK_KEY",
    "price": {"prompt": 1000.0, "completion": 1000.0},
    "max_usd": None,
    "concurrency": 4,
    "timeout": 0.8,
    "retries": RETRIES,
}

good = says(completion("Water is wet."))
QUICK = {"retry_after_ms": "1"}
APART = {"reasoning_content": "I can't."}
# Word that a question begins with → answer of the endpoint, what its row says, calls.
ENDS = {
    "good": (good, ("eos", "", "Water is wet."), 1),
    "busy-once": (once(fails(429, **QUICK), good), ("eos", "", "Water is wet."), 2),
    "broken-once": (once(fails(500, **QUICK), good), ("eos", "", "Water is wet."), 2),
    "hangs-once": (once(hangs, good), ("eos", "", "Water is wet."), 2),
    "cut-off": (says(completion("Water is", "length")), ("length", "", "Water is"), 1),
    "no-text-left": (says(completion(None, "length")), ("length", "only_thoughts", ""), 1),
    "thinks": (says(completion("Wet.", **APART)), ("eos", "", "Wet."), 1),
    "thinks-and-refuses": (says(completion(None, refusal="No.", **APART)), ("eos", "", "No."), 1),
    "thinks-inside": (
        says(completion("<think>I can't.</think>Wet.")),
        ("eos", "thoughts", "Wet."),
        1,
    ),
    "thinks-r1": (says(completion("I can't.\n</think>\n\nWet.")), ("eos", "thoughts", "Wet."), 1),
    "only-thinks": (says(completion(None, "length", **APART)), ("length", "only_thoughts", ""), 1),
    "only-thinks-empty": (says(completion("", **APART)), ("eos", "only_thoughts", ""), 1),
    "only-thinks-ends": (says(completion(None, **APART)), ("eos", "only_thoughts", ""), 1),
    "thinks-unclosed": (says(completion("<think>I", "length")), ("length", "only_thoughts", ""), 1),
    "empty": (says(completion("")), ("eos", "", ""), 1),
    "refuses": (says(completion(None, refusal="I cannot.")), ("eos", "", "I cannot."), 1),
    "odd-end": (says(completion("Hm.", "tool_calls")), ("unknown", "", "Hm."), 1),
    "half": (says(completion("Wat", "content_filter")), ("unknown", "content_filter", "Wat"), 1),
    "filtered": (says(completion("", "content_filter")), ("error", "content_filter", ""), 1),
    "filters": (fails(400, "no", "content_filter", "prompt"), ("error", "content_filter", ""), 1),
}
FAILS = {
    "busy": (fails(429, **QUICK), 1 + RETRIES),
    "broken": (fails(500, **QUICK), 1 + RETRIES),
    "drops": (drops, 1 + RETRIES),
    "too-long": (fails(400, "context", "context_length_exceeded", "messages"), 1),
    "no-body": (says(""), 1),
    "no-text": (says(completion(None)), 1),
    "no-choices": (says('{"choices": []}'), 1),
    "web-page": (says(f"<html>Bearer {SECRET}</html>"), 1),
    "broken-json": (says(completion("Water").replace(":", "=")), 1),
    "half-a-body": (says(completion("Water is wet.")[:50]), 1),
}
PLAN = {**{w: e[0] for w, e in ENDS.items()}, **{w: e[0] for w, e in FAILS.items()}}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LOOPBACK_KEY", SECRET)


@pytest.fixture
def run(tmp_path):
    """Run an arm over conversations; returns its rows, by first word if there is one turn."""

    def run(url, conversations, method=CHAT, form="chat", decoding=None, **runtime):
        rows = [prompt(i, turns) for i, turns in enumerate(conversations)]
        tables.write("prompts", tmp_path / "prompts.parquet", rows, {})
        spec = {
            "arm": "gpt",
            "model": "gpt",
            "method": method,
            "decoding": {"max_new_tokens": 20, **(decoding or {})},
            "engine": {"name": "openai", "model": "gpt-x", "base_url": url, "form": form},
            "seed": 3,
            "digest": "0" * 12,
        }
        run.given = {
            "spec": spec,
            "place": {"runtime": {**RUNTIME, **runtime}},
            "prompts": [tmp_path / "prompts.parquet"],
            "aside": tmp_path / "aside",
            "replies": tmp_path / "replies.jsonl",
            "note": tmp_path / "note.json",
        }
        run.part = tmp_path / "part.parquet"
        generate(GenerateJob(**run.given, part=Part(0, 1), batch_size=8, output=run.part))
        assert not run.given["aside"].exists(), "replies are kept where they are paid for"
        return list(tables.rows("responses", run.part))

    return run


def prompt(number, turns):
    empty = dict.fromkeys(("source", "reference", "mistake", "target"))
    named = {"prompt_id": f"d/{number}", "dataset": "d", "category": "regular", "tags": []}
    return {**named, **empty, "turns": list(turns)}


def ends(rows):
    return [(row["finish_reason"], row["trimmed"], row["text"]) for row in rows]


def test_every_end_becomes_its_row_and_only_failed_calls_are_made_again(run, tmp_path):
    words = list(PLAN)
    with serving(lambda word: PLAN[word]) as server:
        rows = run(server.url, [[word] for word in words])
        expected = {word: end for word, (_, end, _) in ENDS.items()}
        expected |= dict.fromkeys(FAILS, ("error", "api_error", ""))
        assert dict(zip(words, ends(rows), strict=True)) == expected
        calls = {word: n for word, (*_, n) in ENDS.items()}
        calls |= {word: n for word, (_, n) in FAILS.items()}
        assert server.calls == calls
        assert server.peak <= RUNTIME["concurrency"]

        before = server.calls.copy()
        assert run(server.url, [[word] for word in words]) == rows
        assert server.calls - before == {word: n for word, (_, n) in FAILS.items()}
    thoughts = {word: row["thoughts"] for word, row in zip(words, rows, strict=True)}
    thinking = {"thinks-unclosed": "I"}
    for word in words:
        expected = "I can't." if "thinks" in word else None
        assert thoughts[word] == thinking.get(word, expected), word
    known = {row["prompt_ids"] == row["token_ids"] == [] for row in rows}
    assert known == {True}
    assert rows[0]["num_tokens"] == 20
    assert SECRET not in (tmp_path / "replies.jsonl").read_text()


def test_what_failed_is_noted_and_due_again_until_it_is_answered(run, tmp_path):
    note, output = tmp_path / "note.json", tmp_path / "gpt.parquet"
    words = ["good", "busy-once", "filtered"]
    busy = iter([fails(429, **QUICK)] * (1 + RETRIES))
    plan = {"good": good, "filtered": PLAN["filtered"]}
    with serving(lambda word: plan.get(word) or next(busy, good)) as server:
        for attempt, due in ((1, 2), (2, 2)):
            assert replies.due(note, None) == attempt
            run(server.url, [[word] for word in words])
            gather(GatherJob(**run.given, parts=[run.part], output=output, attempt=attempt))
            assert replies.due(note, None) == due
    assert [row["finish_reason"] for row in tables.rows("responses", output)] == [
        "eos",
        "eos",
        "error",
    ]


def test_an_arm_without_any_answer_is_no_table_and_due_again(run, tmp_path):
    note, output = tmp_path / "note.json", tmp_path / "gpt.parquet"
    with serving(lambda word: fails(500, **QUICK)) as server:
        run(server.url, [["a"], ["b"]])
    with pytest.raises(AlignlabError, match=r"gpt answered none of 2 questions; .*call failed"):
        gather(GatherJob(**run.given, parts=[run.part], output=output))
    assert not output.exists()
    assert replies.due(note, None) == 2


def test_a_conversation_is_sent_as_messages_and_ends_where_a_turn_fails(run):
    broken = iter([fails(500, **QUICK)] * (1 + RETRIES))

    def plan(word):
        return next(broken, good) if word == "Lost." else says(completion("Wet."))

    talks = [["Lost.", "One."], ["Why?", "Really?"]]
    with serving(plan) as server:
        method = {**CHAT, "system": "Be brief."}
        rows = run(server.url, talks, method)
        assert ends(rows)[:2] == [("error", "api_error", "")] * 2
        assert "One." not in server.calls
        again = run(server.url, talks, method)
    assert ends(again)[:2] == [("eos", "", "Water is wet."), ("eos", "", "Wet.")]
    assert again[2:] == rows[2:]
    last = next(body for body in server.bodies if question(body) == "Really?")
    assert last["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Wet."},
        {"role": "user", "content": "Really?"},
    ]
    assert {*server.paths} == {"/v1/chat/completions"}
    assert last.keys() == {"model", "messages", "max_tokens", "temperature"}
    assert server.calls["Why?"] == server.calls["Really?"] == 1


def test_guidance_stands_before_the_question(run):
    with serving(lambda word: good) as server:
        run(server.url, [["Why?"]], {**CHAT, "guidance": "Think twice."})
    assert question(server.bodies[0]) == "Think twice.\n\nWhy?"


def test_a_text_is_sent_with_its_stop_string_and_cut_where_the_answer_ends(run):
    fenced = "Wet.\n```\n\n"
    plan = {
        "fence": says(said(fenced)),
        "long": says(said(f"{fenced}Then it goes on", "length")),
        "open": says(said("Wet and", "length")),
        "stops": says(said("Wet.")),
        "runs-on": says(said("Wet.\n# Query:\nAnd why?", "length")),
        "thinks": says(said("<think>\n# Query:\n```\n</think>\nWet.\n```\n", "length")),
        "ends-in-thoughts": says(said("<think>\nDry?")),
        "no-thoughts": says(said("A tag:\n</think>\nWet.", "length")),
    }
    with serving(lambda word: plan[word]) as server:
        rows = run(server.url, [[word] for word in plan], ZERO_SHOT, "completions")
    assert dict(zip(plan, ends(rows), strict=True)) == {
        "fence": ("stop", "fence", "Wet."),
        "long": ("stop", "fence", "Wet."),
        "open": ("length", "", "Wet and"),
        "stops": ("stop", "", "Wet."),
        "runs-on": ("stop", "stop_string", "Wet."),
        "thinks": ("stop", "fence", "Wet."),
        "ends-in-thoughts": ("stop", "only_thoughts", ""),
        "no-thoughts": ("length", "", "A tag:\n</think>\nWet."),
    }
    sent = next(body for body in server.bodies if question(body).startswith("fence"))
    assert sent["prompt"] == "# Query:\n```\nfence\n```\n\n# Answer:\n```\n"
    assert sent["stop"] == ["\n# Query:"]
    assert {*server.paths} == {"/v1/completions"}


def test_samples_are_asked_one_by_one_with_seeds_and_never_twice(run):
    answers = iter(range(100))

    def plan(word):
        return says(completion(f"Answer {next(answers)}"))

    decoding = {"temperature": 0.7, "top_p": 0.9, "samples": 3}
    with serving(plan) as server:
        rows = run(server.url, [["a"], ["b"]], decoding=decoding)
        assert run(server.url, [["a"], ["b"]], decoding=decoding) == rows
        assert server.calls == {"a": 3, "b": 3}
    assert len({row["text"] for row in rows}) == 6
    assert len({body["seed"] for body in server.bodies}) == 6
    assert all(0 <= body["seed"] < 2**31 for body in server.bodies)
    assert {(body["temperature"], body["top_p"]) for body in server.bodies} == {(0.7, 0.9)}


def test_the_same_question_is_paid_for_once_under_greedy_decoding(run):
    answers = iter(range(100))
    with serving(lambda word: says(completion(f"Answer {next(answers)}"))) as server:
        rows = run(server.url, [["a"], *[["same"]] * 5])
    assert server.calls == {"a": 1, "same": 1}
    assert Counter(row["text"] for row in rows) == {"Answer 0": 1, "Answer 1": 5}


def test_the_budget_holds_and_a_larger_one_pays_only_for_the_rest(run):
    paid = (40 + 20) * 1000 / 1e6
    words = [[f"word-{i}"] for i in range(30)]
    with serving(lambda word: good) as server:
        rows = run(server.url, words, max_usd=1.0)
        assert 0.5 < server.calls.total() * paid <= 1.0
        found = Counter(ends(rows))
        assert {*found} == {("eos", "", "Water is wet."), ("error", "max_usd", "")}
        calls = server.calls.total()
        assert run(server.url, words, max_usd=1.0) == rows
        assert server.calls.total() == calls
        whole = run(server.url, words, max_usd=100.0)
        assert {*ends(whole)} == {("eos", "", "Water is wet.")}
        assert server.calls.total() == len(words)


@pytest.mark.parametrize(
    ("fault", "changes", "named"),
    [
        (fails(401, f"Incorrect key: {SECRET}"), {}, "LOOPBACK_KEY is refused"),
        (fails(404), {}, "no such model"),
        (fails(400, "no", param="seed"), {"decoding": {"temperature": 1}}, "`seed` is refused"),
        (good, {"key": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        (good, {"max_usd": 1.0, "price": None}, "price"),
    ],
)
def test_what_would_fail_every_call_ends_the_job_after_one(run, tmp_path, fault, changes, named):
    with serving(lambda word: fault) as server:
        with pytest.raises(AlignlabError) as caught:
            run(server.url, [[word] for word in "abcdefgh"], **changes)
        assert server.calls.total() <= 1
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "part.parquet").exists()


def test_the_first_prompt_is_in_the_log(run, caplog):
    caplog.set_level("INFO")
    with serving(lambda word: good) as server:
        run(server.url, [["Why?"]], {**CHAT, "system": "Be brief."})
    shown = caplog.text.partition("first prompt of arm gpt:\n")[2].partition("]")[0]
    assert [message["content"] for message in json.loads(shown + "]")] == ["Be brief.", "Why?"]
    assert "40 tokens sent and 20 answered in all runs so far, $0.0600" in caplog.text
