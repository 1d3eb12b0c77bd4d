import pytest

from alignlab.engines import fake_engine
from alignlab.engines.base import Request
from alignlab.engines.config import DecodingConfig
from alignlab.prompting.frame import FENCED


@pytest.fixture
def engine(model_folder):
    return fake_engine.load(model_folder("llama"), "float32", 2)


def test_every_prompt_is_answered_alike_in_any_batch(engine):
    requests = [Request(list(range(5, 5 + n))) for n in range(20, 27)]
    batches = list(engine.generate(requests, [], DecodingConfig(), FENCED.stopping))
    assert [len(batch) for batch in batches] == [2, 2, 2, 1]
    found = dict(pair for batch in batches for pair in batch)
    engine.batch_size = 7
    (together,) = engine.generate(requests, [], DecodingConfig(), FENCED.stopping)
    assert found == dict(together)
    assert {c.finish_reason for c in found.values()} == {"stop"}


def test_the_budget_holds(engine):
    (batch,) = engine.generate(
        [Request(list(range(5, 50)))], [], DecodingConfig(max_new_tokens=3), FENCED.stopping
    )
    assert len(batch[0][1].token_ids) == 3
    assert batch[0][1].finish_reason == "length"
