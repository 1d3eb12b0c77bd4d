"""A local judge that cannot be scored is refused by its tokenizer, before there are answers."""

import json

import pytest
from tokenizers import normalizers
from transformers import AutoTokenizer

from alignlab.core.errors import AlignlabError
from alignlab.judging.check_judge import CheckJudgeJob, check_judge
from alignlab.judging.config import resolved_rubric

QUALITY = resolved_rubric("judge/quality", ["depth"])


def rubric(*says):
    (depth,) = QUALITY["aspects"]
    named = {**depth, "says": list(says), "values": list(range(len(says))), "levels": {}}
    return {**QUALITY, "aspects": [named]}


@pytest.fixture
def check(tmp_path, repository_root):
    """Check a judge by rubrics after changes to its tokenizer; there are no weights."""

    def check(*rubrics, change=lambda tokenizer: None, window=4096, reason_tokens=0):
        folder = tmp_path / "model"
        tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
        change(tokenizer)
        tokenizer.save_pretrained(folder)
        config = {"model_type": "llama", "max_position_embeddings": window}
        (folder / "config.json").write_text(json.dumps(config))
        spec = {"judge": "j", "model": "tiny", "reason_tokens": reason_tokens}
        spec |= {"rubrics": rubrics, "digest": "0" * 12}
        output = tmp_path / "checked"
        check_judge(CheckJudgeJob(spec=spec, model=folder, output=output))
        return json.loads((output / "words.json").read_text(encoding="utf-8"))

    return check


def test_the_words_of_every_scale_are_written_down_in_tokens(check, repository_root):
    tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
    compares = resolved_rubric("judge/pairwise")
    found = check(QUALITY, compares, reason_tokens=9)
    assert found.keys() == {"judge/quality", "judge/pairwise"}
    assert found["judge/quality"].keys() == {"depth"}
    assert list(found["judge/pairwise"]) == [aspect["name"] for aspect in compares["aspects"]]
    for word, ids in found["judge/quality"]["depth"].items():
        assert tokenizer.decode(ids) == word
    assert list(found["judge/quality"]["depth"]) == QUALITY["aspects"][0]["says"]


def test_thinking_is_off_where_the_template_can_turn_it_off(check):
    def hybrid(tokenizer):
        tokenizer.chat_template += (
            "{% if add_generation_prompt %}<think>\n"
            "{% if enable_thinking is defined and not enable_thinking %}\n</think>\n{% endif %}"
            "{% endif %}"
        )

    assert check(QUALITY, change=hybrid)


def bare(tokenizer):
    tokenizer.chat_template = None


def opens_thoughts(tokenizer):
    tokenizer.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"


def drops_accents(tokenizer):
    strips = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    tokenizer.backend_tokenizer.normalizer = strips


def takes_no_short_answer(tokenizer):
    short = "messages[1] and messages[1].content | length < 3"
    tokenizer.chat_template += f"{{% if {short} %}}{{{{ x.y.z }}}}{{% endif %}}"


REFUSED = [
    (bare, {}, "no chat template"),
    (opens_thoughts, {}, "judge tiny: its chat template begins .* thoughts"),
    (drops_accents, {}, "judge tiny cannot tell .é. .* from .e.: its tokens are the same"),
    (takes_no_short_answer, {"reason_tokens": 3}, "the chat template refuses a conversation"),
    (lambda tokenizer: None, {"window": 60}, "depth: without a question .* a window of 60"),
]


@pytest.mark.parametrize(("change", "more", "message"), REFUSED)
def test_a_judge_that_cannot_be_scored_is_refused(check, tmp_path, change, more, message):
    with pytest.raises(AlignlabError, match=message):
        check(rubric("e", "é"), change=change, **more)
    assert not (tmp_path / "checked").exists()
