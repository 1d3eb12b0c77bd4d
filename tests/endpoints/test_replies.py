import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.bodies import Reply, Tokens
from alignlab.endpoints.config import PriceConfig
from alignlab.endpoints.replies import Budget, Replies

FREE = Budget(None, None)
MOST, USED = Tokens(10, 10), Tokens(1, 1)


def reply(text, usage=USED):
    return Reply(outcome="answered", text=text, usage=usage)


def length(answer):
    return len(answer.text)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "below" / "replies.jsonl"


def write(path, texts):
    replies = Replies(path, FREE)
    with replies.opened():
        for key, text in texts:
            assert replies.ask(key, MOST)
            replies.add(key, MOST, reply(text))


def test_the_best_reply_is_found_and_of_equals_the_last(path):
    write(path, [("a", "xx"), ("b", "y"), ("a", "x"), ("a", "zz")])
    replies = Replies(path, FREE)
    with replies.opened():
        assert replies.best("a", length) == reply("zz")
        assert replies.best("b", length) == reply("y")
        assert replies.best("c", length) is None


@given(cut=st.integers(0, 10_000), torn=st.binary(max_size=3))
def test_cut_anywhere_complete_lines_stay_and_the_file_goes_on(cut, torn):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replies.jsonl"
        write(path, [(str(i), f"text {i}\nü") for i in range(5)])
        whole = path.read_bytes()
        kept = whole[: cut % (len(whole) + 1)]
        path.write_bytes(kept + torn.replace(b"\n", b""))
        complete = kept[: kept.rfind(b"\n") + 1]
        known = complete.count(b'"reply"')
        replies = Replies(path, FREE)
        with replies.opened():
            found = [replies.best(str(i), length) for i in range(5)]
            assert found == [reply(f"text {i}\nü") for i in range(known)] + [None] * (5 - known)
        write(path, [("new", "text")])
        assert path.read_bytes().startswith(complete)
        with Replies(path, FREE).opened():
            pass


def test_a_line_that_is_none_is_named(path):
    write(path, [("a", "x")])
    path.write_text('{"key": 3}\n' + path.read_text())
    with pytest.raises(AlignlabError, match=f"{path}: byte 0"), Replies(path, FREE).opened():
        pass


def test_one_writer_at_a_time_and_the_next_reads_on(path):
    first, second = Replies(path, FREE), Replies(path, FREE)
    with first.opened():
        with pytest.raises(AlignlabError, match=str(path)), second.opened():
            pass
        first.ask("a", MOST)
        first.add("a", MOST, reply("x"))
    with second.opened():
        assert second.best("a", length) == reply("x")
        second.ask("b", MOST)
    with first.opened():
        assert first.spent == second.spent == Tokens(11, 11)


COUNT = st.integers(0, 100)
CALL = st.tuples(COUNT, COUNT, st.floats(0, 1), st.sampled_from(["reply", "unknown", "killed"]))


@given(st.lists(st.lists(CALL, max_size=8), max_size=4), st.floats(0, 1), COUNT, COUNT)
def test_the_limit_holds_over_all_runs_whatever_is_billed(runs, limit, prompt, completion):
    budget = Budget(PriceConfig(prompt=prompt * 100, completion=completion * 100), limit)
    billed = Tokens()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "replies.jsonl"
        for calls in runs:
            replies = Replies(path, budget)
            with replies.opened():
                assert replies.spent.prompt >= billed.prompt
                under_way = []
                for number, (sent, answered, share, end) in enumerate(calls):
                    most = Tokens(sent, answered)
                    used = Tokens(int(sent * share), int(answered * share))
                    if replies.ask(str(number), most):
                        billed += used
                        under_way.append((number, most, used, end))
                    else:
                        assert budget.usd(replies.spent + most) > limit, "there was no room"
                for number, most, used, end in reversed(under_way):
                    if end != "killed":
                        usage = used if end == "reply" else None
                        replies.add(str(number), most, reply("x", usage))
            assert budget.usd(billed) <= limit


MANY = st.integers(0, 10**9)


def test_dollars_are_for_a_million_tokens():
    budget = Budget(PriceConfig(prompt=10, completion=30), None)
    assert budget.usd(Tokens(2_000_000, 500_000)) == 35


def test_a_limit_needs_a_price():
    with pytest.raises(AlignlabError, match="price"):
        Budget(None, 1.0)
    unknown = Budget(None, None)
    assert unknown.usd(Tokens(10, 10)) is None
    assert unknown.allows(Tokens(10**12, 10**12))


@given(MANY, MANY, MANY, MANY)
def test_more_tokens_are_never_allowed_where_fewer_are_not(a, b, more_a, more_b):
    budget = Budget(PriceConfig(prompt=2.5, completion=10), 1000.0)
    few, many = Tokens(a, b), Tokens(a, b) + Tokens(more_a, more_b)
    assert many - few == Tokens(more_a, more_b)
    assert budget.allows(few) or not budget.allows(many)
