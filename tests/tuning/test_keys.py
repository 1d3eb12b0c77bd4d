"""What a `tuned` entry may say."""

from importlib import import_module

import pytest
from pydantic import ValidationError

from alignlab.tuning.config import TRAINERS, TunedConfig

KEYS = {"name": "tuned", "base": "tiny", "trainset": "lessons"}


def test_a_digest_covers_the_keys_of_the_chosen_trainer_only():
    plain = TunedConfig(**KEYS).model_dump(exclude_none=True)
    assert plain["trainer"] == "sft"
    assert not {"dpo", "rlhf"} & plain.keys()
    for trainer, own in (("dpo", {"beta": 0.1}), ("rlhf", {"kl": 0.05})):
        dumped = TunedConfig(**KEYS, trainer=trainer, learning_rate=1e-5).model_dump(
            exclude_none=True
        )
        assert {"dpo", "rlhf"} & dumped.keys() == {trainer}
        assert own.items() <= dumped[trainer].items()
    given = TunedConfig(**KEYS, trainer="dpo", learning_rate=1e-5, dpo={"beta": 0.5})
    assert given.dpo.beta == 0.5


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dpo": {"beta": 0.2}}, "dpo: trainer sft does not use it"),
        ({"trainer": "dpo", "learning_rate": 1e-5, "rlhf": {}}, "rlhf: trainer dpo does not"),
        ({"trainer": "dpo"}, "learning_rate: trainer dpo has no default"),
        ({"trainer": "rlhf", "learning_rate": 1e-5, "epochs": 2}, "epochs: trainer rlhf takes"),
        ({"trainer": "rlhf", "learning_rate": 1e-5, "rlhf": {"generations": 1}}, "greater than"),
        ({"trainer": "ppo"}, "trainer"),
        ({"examples": "icl/pool"}, "examples"),
        ({"method": {"kind": "retrieval", "pool": "icl/pool"}}, "its own answer"),
        ({"method": {"kind": "chat", "hindsight": "lfm/harm"}}, "method.hindsight: examples bring"),
    ],
)
def test_keys_that_nothing_would_use_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        TunedConfig(**{**KEYS, **keys})


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_is_what_its_declaration_says(name):
    trainer, required = TRAINERS[name], {"learning_rate": 1e-5}
    spec = TunedConfig(**KEYS, **required, trainer=name).model_dump(exclude_none=True)
    assert callable(import_module(trainer.unit.module).train)
    assert (trainer.keys is not None) == (name in spec)
    assert trainer.answers(spec) >= 1 + trainer.preferences
    assert (trainer.sampled(spec) > 0) == trainer.rewards
