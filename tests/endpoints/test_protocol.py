import json
from dataclasses import replace

import pytest

from alignlab.core.errors import AlignlabError
from alignlab.endpoints.bodies import Tokens, read
from alignlab.endpoints.client import ChatRequest
from alignlab.endpoints.config import ApiEngineConfig
from alignlab.endpoints.replies import Endpoint

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


@pytest.mark.parametrize("end", ["", "/", "//", " "])
def test_a_request_is_known_by_what_it_always_was_with_and_without_a_slash(end):
    engine = ApiEngineConfig(model="m", base_url=f"https://API.example.com/v1{end}", form="chat")
    key, _ = REQUEST.known(replace(HERE, base_url=engine.base_url))
    assert key == "50ae4ca8b53d21519cddb45d1d2aa831"


@pytest.mark.parametrize(
    "url",
    ["http://h/v1/chat/completions", "http://h/v1/completions", "http://h/v1?a=1", "http://h#a"],
)
def test_an_address_that_goes_on_after_its_end_is_refused(url):
    with pytest.raises(AlignlabError, match=r"m: base_url: .* goes on after its end"):
        replace(HERE, base_url=url).secret()


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
