"""Bodies as servers send them: what is read, what is kept, and what is asked again."""

import json
from dataclasses import dataclass

import pytest
from endpoint import completion, fails, said, says, serving
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.errors import AlignlabError
from alignlab.core.templates import ONLY_THOUGHTS
from alignlab.endpoints.bodies import Reply, Tokens, read
from alignlab.endpoints.config import ApiEngineConfig, EndpointRuntime
from alignlab.endpoints.replies import Line
from alignlab.endpoints.respondent import Wording, respondent
from alignlab.engines.base import Question
from alignlab.engines.config import DecodingConfig

WATER, USED = "Water is wet.", Tokens(40, 20)
USAGE = {"prompt_tokens": 40, "completion_tokens": 20, "total_tokens": 60}


@dataclass(frozen=True)
class Sent:
    """A body, and what is made of it.

    Attributes:
        row: finish reason, trimmed and text of the row; an `api_error` is asked again.
        says: a part of why there is no answer.
    """

    answer: object
    row: tuple[str, str, str] = ("eos", "", WATER)
    usage: Tokens | None = USED
    thoughts: str | None = None
    says: str = ""


def chat(message, finish="stop", usage=USAGE, choice=(), **more):
    """A body in chat form; `message` is its text, or all of it."""
    message = message if isinstance(message, dict) else {"role": "assistant", "content": message}
    choices = [{"index": 0, "message": message, "finish_reason": finish, **dict(choice)}]
    return says(json.dumps({"choices": choices, "usage": usage, **more}))


def ends(finish, row=("eos", "", WATER), text=WATER):
    return Sent(chat(text, finish), row)


def failed(says, answer, usage=USED):
    return Sent(answer, ("error", "api_error", ""), usage, says=says)


def used(usage, counted):
    return Sent(chat(WATER, usage=usage), usage=counted)


def thinks(**message):
    return Sent(chat({"content": WATER, **message}), thoughts="Hm.")


CUT, UNKNOWN, HALF = (
    ("length", "", WATER),
    ("unknown", "", WATER),
    ("unknown", "content_filter", "W"),
)
HIDDEN = ("length", ONLY_THOUGHTS, "")
HELD, NONE = ("error", "content_filter", ""), ("error", "api_error", "")
OPENROUTER = {"code": 502, "message": "Provider returned error", "metadata": {"raw": "overloaded"}}
MODERATED = {"code": 403, "message": "flagged", "metadata": {"flagged_input": "how", "reasons": []}}
GEMINI = [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}]

SENT = {
    # How servers say that an answer ended.
    "openai": ends("stop"),
    "tgi": ends("eos_token"),
    "tgi-stop": ends("stop_sequence"),
    "anthropic": ends("end_turn"),
    "together": ends("eos"),
    "gemini": ends("STOP"),
    "cohere": ends("COMPLETE"),
    "openai-length": ends("length", CUT),
    "anthropic-length": ends("max_tokens", CUT),
    "gemini-length": ends("MAX_TOKENS", CUT),
    "gemini-length-no-content": Sent(chat({"role": "assistant"}, "MAX_TOKENS"), HIDDEN),
    "openai-length-empty": ends("length", HIDDEN, ""),
    "length-white-space": ends("length", ("length", "", "\n"), "\n"),
    "mistral-length": ends("model_length", CUT),
    "azure-filter": ends("content_filter", HALF, "W"),
    "gemini-safety": ends("SAFETY", HALF, "W"),
    "gemini-safety-empty": ends("SAFETY", HELD, None),
    "gemini-recitation": ends("content_filter: RECITATION", HELD, None),
    "gemini-no-message": Sent(chat({}, "PROHIBITED_CONTENT", choice={"message": None}), HELD),
    "bedrock-guardrail": ends("guardrail_intervened", HELD, ""),
    "zhipu-sensitive": ends("sensitive", HELD, ""),
    "tool-calls-text": ends("tool_calls", UNKNOWN),
    "tool-calls": failed("tool_calls", chat(None, "tool_calls")),
    "tool-calls-empty": failed("tool_calls", chat("", "tool_calls")),
    "function-call": failed("function_call", chat(None, "function_call")),
    "camel-case": ends("endTurn"),
    "ai21": ends("endoftext"),
    "bedrock-length": ends("MaxTokens", CUT),
    "hyphen-filter": ends("content-filter", HALF, "W"),
    "vertex-armor": ends("MODEL_ARMOR", HALF, "W"),
    "watsonx-length": ends("token_limit", CUT),
    "hf-length": ends("max_new_tokens", CUT),
    "sglang-no-reason": ends("", UNKNOWN),
    "unknown": ends("OTHER", UNKNOWN),
    "unknown-empty": failed("OTHER", chat(" ", "OTHER")),
    "no-reason": ends(None, UNKNOWN),
    "no-reason-empty": failed("no text", chat("", None)),
    "odd-reason": ends({"type": "eos"}, UNKNOWN),
    "openrouter-error": failed(
        "Provider returned error (overloaded)", chat("Wat", "error", choice={"error": OPENROUTER})
    ),
    "vllm-abort": failed("finish_reason abort", chat("Wat", "abort")),
    "deepseek-busy": failed(
        "insufficient_system_resource", chat("", "insufficient_system_resource")
    ),
    "zhipu-network": failed("network_error", chat("Wat", "network_error")),
    "cohere-error": failed("ERROR", chat("Wat", "ERROR")),
    "watsonx-time": failed("time_limit", chat("Wat", "time_limit")),
    "overloaded": failed("engine-overloaded", chat("Wat", "engine-overloaded")),
    # What they count.
    "half-a-usage": used({"prompt_tokens": 40}, None),
    "empty-usage": used({}, None),
    "null-usage": used(None, None),
    "null-in-usage": used({"prompt_tokens": 40, "completion_tokens": None}, None),
    "float-usage": used({"prompt_tokens": 40.0, "completion_tokens": 20.0}, USED),
    "broken-usage": used({"prompt_tokens": 40.5, "completion_tokens": 20}, None),
    "negative-usage": used({"prompt_tokens": 40, "completion_tokens": -1}, None),
    "huge-usage": used({"prompt_tokens": 40, "completion_tokens": 2**40}, None),
    "text-usage": used("60 tokens", None),
    "detailed-usage": used(
        {**USAGE, "completion_tokens_details": {"reasoning_tokens": None}}, USED
    ),
    # What stands in a message.
    "parts": Sent(chat([{"type": "text", "text": "Water "}, {"type": "text", "text": "is wet."}])),
    "strings": Sent(chat(["Water ", "is wet."])),
    "one-part": Sent(chat({"content": {"type": "output_text", "text": WATER}})),
    "no-parts": failed("no text", chat([], None)),
    "refusal-part": Sent(
        chat([{"type": "refusal", "refusal": "I cannot."}]), ("eos", "", "I cannot.")
    ),
    "mistral-references": Sent(
        chat([{"type": "text", "text": WATER}, {"type": "reference", "reference_ids": [1]}])
    ),
    "anthropic-tool": Sent(chat([{"type": "text", "text": WATER}, {"type": "tool_use"}])),
    "part-without-type": Sent(chat([{"text": WATER}])),
    "content-in-a-key": Sent(chat({"content": {"text": WATER}})),
    "databricks-thinks": Sent(
        chat([{"type": "reasoning", "summary": []}, {"type": "text", "text": WATER}])
    ),
    "null-in-a-part": failed("no text", chat([{"type": "text", "text": None}])),
    "picture": failed("no completion", chat([{"type": "image_url", "image_url": "x"}]), None),
    "number": failed("no completion", chat({"content": 4}), None),
    "refusal": Sent(chat({"content": None, "refusal": "I cannot."}), ("eos", "", "I cannot.")),
    "half-a-letter": Sent(chat("Wet \ud83d"), ("eos", "", "Wet \ufffd")),
    "two-halves": Sent(chat(["Wet \ud83d", "\udca7"]), ("eos", "", "Wet 💧")),
    "mistral-thinks": Sent(
        chat([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, WATER]),
        thoughts="Hm.",
    ),
    "deepseek-thinks": thinks(reasoning_content="Hm."),
    "vllm-thinks": thinks(reasoning="Hm.", reasoning_content=None),
    "openrouter-thinks": thinks(reasoning_details=[{"type": "reasoning.text", "text": "Hm."}]),
    "openrouter-hides": Sent(chat({"content": WATER, "reasoning_details": [{"data": "gAAA"}]})),
    "anthropic-hides": Sent(
        chat([{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": WATER}])
    ),
    "part-without-text": failed("no completion", chat([{"type": "text", "content": WATER}]), None),
    "odd-thoughts": Sent(chat({"content": WATER, "reasoning": {"a": 1}, "reasoning_details": 3})),
    "thinks-nothing": Sent(chat({"content": WATER, "reasoning_content": ""})),
    "ollama-nothing": failed("no text", chat({"content": None, "refusal": None})),
    "text-in-chat": Sent(says(said(WATER))),
    "extras": Sent(chat(WATER, service_tier="x", timings={"n": 1.5}, error=None)),
    "key-in-answer": ends("stop", ("eos", "", "Hollama, EMPTY x."), "Hollama, EMPTY x."),
    # What stands around the JSON.
    "byte-order-mark": Sent(says("\ufeff" + completion(WATER))),
    "white-space": Sent(says("\n\n  " + completion(WATER) + "\r\n")),
    "not-a-number": Sent(says(completion(WATER).replace('"index": 0', '"index": NaN'))),
    "not-utf-8": Sent(
        says(completion("Gr#sse").encode().replace(b"#", b"\xfc")), ("eos", "", "Gr\ufffdsse")
    ),
    "stream": failed("data: {", says(f"data: {completion(WATER)}\n\ndata: [DONE]"), None),
    "deep": failed("no completion", says("[" * 20_000), None),
    "no-choice": failed("no completion", says('{"choices": [], "usage": {}}'), None),
    "null-choices": failed("no completion", says('{"choices": null}'), None),
    "list": failed("no completion", says("[1]"), None),
    # Errors, with status 200 and without.
    "openrouter-200": failed(
        "Provider returned error (overloaded)", says(json.dumps({"error": OPENROUTER})), None
    ),
    "error-and-choices": failed("boom", chat(WATER, error={"message": "boom"}), None),
    "error-text": failed("no such thing", says('{"error": "no such thing"}', 500), Tokens()),
    "fastapi": failed("field required", says('{"detail": "field required"}', 422), Tokens()),
    "fastapi-list": failed(
        "field required",
        says('{"detail": [{"loc": ["body"], "msg": "field required"}]}', 422),
        Tokens(),
    ),
    "gemini-list": failed("The model is overloaded.", says(json.dumps(GEMINI), 503), Tokens()),
    "old-vllm": failed(
        "too long", says('{"object": "error", "message": "too long"}', 400), Tokens()
    ),
    "openrouter-raw": failed("overloaded", says(json.dumps({"error": OPENROUTER}), 502), Tokens()),
    "plain-text": failed("upstream connect error", says("upstream connect error", 503), Tokens()),
    "html": failed("502 Bad Gateway", says("<html>502 Bad Gateway</html>", 502), Tokens()),
    "html-with-style": failed(
        "502 Bad Gateway",
        says(f"<html><style>{'a{b:c}' * 200}</style><h1>502 Bad Gateway</h1></html>", 502),
        Tokens(),
    ),
    "error-with-a-mark": failed("code: 500 - boom", says('\ufeff{"error": "boom"}', 500), Tokens()),
    "no-words": failed("Error code: 500", says("", 500), Tokens()),
    "azure-400": Sent(fails(400, "no", "content_filter", "prompt"), HELD, Tokens(), says="no"),
    "openai-flagged": Sent(fails(400, "flagged", "invalid_prompt"), HELD, Tokens(), says="flagged"),
    "openrouter-flagged": Sent(
        says(json.dumps({"error": MODERATED}), 403), HELD, Tokens(), says="flagged"
    ),
}


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Put questions of one word to an endpoint; returns answers and the last replies, by word."""

    def ask(url, asked, key="EMPTY", **changes):
        monkeypatch.setenv("LOOPBACK_KEY", key)
        runtime = {"price": None, "concurrency": 8, "timeout": 5, "retries": 0, "max_usd": None}
        given = {**runtime, "key": "LOOPBACK_KEY", **changes}
        engine = ApiEngineConfig(model="m", base_url=url, form="chat")
        wording = Wording({"kind": "chat"}, DecodingConfig(max_new_tokens=20), "chat", None)
        path = tmp_path / "replies.jsonl"
        put = respondent(wording, engine, EndpointRuntime(**given), path)
        questions = [Question([word], [], 0, None) for word in asked]
        answers = {asked[at]: a for window in put.answers(questions) for at, a in window}
        keys = {wording.request(q).known(put.api.endpoint)[0]: q.turns[0] for q in questions}
        lines = [Line.model_validate_json(line) for line in path.read_text().splitlines()]
        return answers, {keys[line.key]: line.reply for line in lines if line.reply}

    return ask


def row(answer):
    hidden = ONLY_THOUGHTS if answer.spoken and answer.spoken.only_thoughts else ""
    return answer.finish_reason, answer.trimmed or hidden, answer.raw


def test_every_body_becomes_its_answer_and_only_failures_are_asked_again(ask):
    words = list(SENT)
    assert len(words) >= 60
    with serving(lambda word: SENT[word].answer) as server:
        answers, kept = ask(server.url, words)
        assert {word: row(answers[word]) for word in words} == {w: s.row for w, s in SENT.items()}
        assert {word: kept[word].usage for word in words} == {w: s.usage for w, s in SENT.items()}
        assert {w: kept[w].thoughts for w in words} == {w: s.thoughts for w, s in SENT.items()}
        assert {w: answers[w].said for w in words if SENT[w].says not in answers[w].said} == {}
        assert server.calls == dict.fromkeys(words, 1)
        again, _ = ask(server.url, words)
    assert {word: row(again[word]) for word in words} == {w: s.row for w, s in SENT.items()}
    assert server.calls == {word: 1 + (SENT[word].row == NONE) for word in words}


def test_a_key_that_gemini_refuses_ends_the_job_after_one_call(ask):
    told = [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]
    refused = pytest.raises(AlignlabError, match=r"LOOPBACK_KEY is refused: .*API key not valid")
    with serving(lambda word: says(json.dumps(told), 400)) as server, refused:
        ask(server.url, ["a", "b", "c"])
    assert server.calls.total() == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (says("<!doctype html><title>Chat</title>"), "lacks its end.*a web page answers.*Chat"),
        (fails(405, "Method Not Allowed"), "takes no POST.*Method Not Allowed"),
    ],
)
def test_an_address_that_is_no_endpoints_ends_the_job_after_one_call(ask, answer, message):
    with serving(lambda word: answer) as server, pytest.raises(AlignlabError, match=message):
        ask(server.url, ["a", "b", "c"])
    assert server.calls.total() == 1


@pytest.mark.parametrize("bad", [says("<html>busy</html>"), fails(403, "not this one")])
def test_what_is_refused_among_answers_is_a_failure_of_that_row_alone(ask, bad):
    with serving(lambda word: chat(WATER) if word == "a" else bad) as server:
        for _ in range(2):  # the second run has the answer from the first
            answers, _ = ask(server.url, ["a", "b", "c"])
            assert [row(answers[word]) for word in "abc"] == [("eos", "", WATER), NONE, NONE]
    assert server.calls == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize("key", ["ollama", "EMPTY", "test", "x", "a", "llama", "sk-1234567890"])
def test_a_key_is_hidden_in_errors_and_never_cut_out_of_an_answer(ask, key):
    text = f"The llama {key} constants of {key}x."
    error = f"Ollama, textual: Bearer {key} is axed"
    with serving(lambda word: chat(text) if word == "good" else says(error, 503)) as server:
        answers, kept = ask(server.url, ["good", "bad"], key)
    assert answers["good"].raw == kept["good"].text == text
    assert answers["bad"].said == f"Error code: 503 - {error.replace(f' {key} ', ' *** ')}"
    assert kept["bad"].error == answers["bad"].said


@pytest.mark.parametrize("length", range(440, 520, 7))
def test_no_part_of_a_key_is_left_where_an_error_is_cut(ask, length):
    key = "sk-abcdefghijklmnopqrstuvwxyz"
    with serving(lambda word: says(f"{'-' * length}{key}", 503)) as server:
        answers, _ = ask(server.url, ["a"], key)
    assert "sk" not in answers["a"].said


def test_an_endpoint_that_wants_a_long_wait_is_asked_no_more(ask):
    words = [f"word-{n}" for n in range(20)]
    busy = fails(429, "daily limit", Retry_After="3600")
    with serving(lambda word: chat(WATER) if word == "word-0" else busy) as server:
        answers, kept = ask(server.url, words, concurrency=1, retries=3)
        assert server.calls.total() == 2, "one answer, and one that says to wait"
        first, last = answers["word-1"].said, answers["word-19"].said
        assert "daily limit" in first
        for said_of_it in (first, last):
            assert "wants no call for 3600 seconds" in said_of_it
            assert "run again after that" in said_of_it
        assert kept["word-19"].usage == Tokens(), "what was not asked costs nothing"
        ask(server.url, words, concurrency=1)
    assert server.calls["word-0"] == 1
    assert server.calls["word-1"] == 2


def test_an_address_with_and_without_its_last_slash_is_one_endpoint(ask):
    with serving(lambda word: chat(WATER)) as server:
        for end in ("", "/", "//"):
            answers, _ = ask(server.url + end, ["a"])
            assert answers["a"].raw == WATER
    assert server.calls.total() == 1


OLD = {
    "key": "6b2d6d9d3a8a2a8bb0e0c1f5e4cbb7a1",
    "most": {"prompt": 97, "completion": 20},
    "reply": {"outcome": "answered", "finish_reason": "stop", "text": "Kept.", "seconds": 0.1},
}


def test_a_ledger_of_before_is_read_and_its_failures_are_asked_again(ask, tmp_path):
    with serving(lambda word: chat(WATER)) as server:
        ask(server.url, ["good", "bad"])
        path = tmp_path / "replies.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        old = {"good": OLD["reply"], "bad": {**OLD["reply"], "finish_reason": "error"}}
        keys = [line["key"] for line in lines if "reply" not in line]
        told = [{**OLD, "key": k, "reply": old[w]} for k, w in zip(keys, old, strict=True)]
        path.write_text("".join(json.dumps(line) + "\n" for line in told))
        answers, _ = ask(server.url + "/", ["good", "bad"])
    assert (answers["good"].raw, answers["bad"].raw) == ("Kept.", WATER)
    assert server.calls == {"good": 1, "bad": 2}


@pytest.mark.parametrize(
    ("finish", "ending"),
    [("Safety", "content_filter"), (" stop ", "stop"), ("length: 4096", "length"), ("x", None)],
)
def test_what_a_finish_reason_means_whoever_says_it(finish, ending):
    reply = read(json.dumps({"choices": [{"text": "a", "finish_reason": finish}]}))
    assert (reply.finish_reason, reply.ending) == (finish, ending)
    assert Reply(outcome="answered").ending is None


TEXT = st.text(st.characters(categories=["Cs", "Ll"]), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
KEYS = ("content", "refusal", "reasoning_content", "reasoning", "reasoning_details")
MESSAGE = st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, JSON))
BODY = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {}, optional={"message": MESSAGE | JSON, "text": JSON, "finish_reason": JSON}
            )
        )
        | JSON,
        "usage": JSON,
        "error": JSON,
    },
)


@given(BODY | JSON)
def test_whatever_a_body_holds_it_becomes_a_line_of_the_ledger(body):
    reply = read(json.dumps(body))
    line = Line(key="k", most=USED, reply=reply).model_dump_json(exclude_defaults=True)
    assert Line.model_validate_json(line).reply == reply
    assert (reply.error is None) is (reply.outcome == "answered")
