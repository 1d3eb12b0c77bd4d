import json
from dataclasses import replace

import pytest

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.client import ChatRequest
from alignlab.endpoints.replies import Endpoint, Tokens, read

HERE = Endpoint("m", "http://localhost/v1", None, 1, 1, 0)
REQUEST = ChatRequest([{"role": "user", "content": "Grüße"}], max_tokens=7)


@pytest.mark.parametrize(
    "changed",
    [
        {"messages": [{"role": "user", "content": "Grüsse"}]},
        {"max_tokens": 8},
        {"temperature": 0.5},
        {"response_format": {"type": "json_object"}},
        {"repeat": 1},
    ],
)
def test_a_request_is_known_by_everything_in_it(changed):
    key, _ = REQUEST.known(HERE)
    assert key != replace(REQUEST, **changed).known(HERE)[0]
    assert key == replace(REQUEST).known(HERE)[0] != REQUEST.known(replace(HERE, model="other"))[0]
    assert key != REQUEST.known(replace(HERE, base_url="http://elsewhere/v1"))[0]
    assert "repeat" not in REQUEST.body("m")


def test_an_address_with_a_password_is_refused():
    with pytest.raises(AlignlabError, match="base_url holds a user or password"):
        replace(HERE, base_url="https://me:secret@localhost/v1").secret()


def test_bytes_bound_what_is_sent():
    _, most = REQUEST.known(HERE)
    assert most.completion == 7
    assert most.prompt >= len("Grüße".encode())
    form = {"type": "json_schema", "json_schema": {"schema": {"title": "x" * 100}}}
    assert replace(REQUEST, response_format=form).known(HERE)[1].prompt >= most.prompt + 100


def test_a_completion_is_read_whatever_else_is_in_it():
    body = {"choices": [{"message": {"content": "hi", "tool_calls": []}}], "extra": {"a": 1}}
    assert read(json.dumps(body)).text == "hi"
    body["usage"] = {"prompt_tokens": 3, "completion_tokens": 2, "details": None}
    assert read(json.dumps(body)).usage == Tokens(3, 2)
    body["usage"] = {"prompt_tokens": -3, "completion_tokens": 2}
    assert read(json.dumps(body)).usage is None
    assert read(json.dumps(body)).text == "hi"
