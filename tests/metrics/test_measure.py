from collections import defaultdict

import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.metrics.definitions import METRICS
from alignlab.metrics.measure import MeasureJob, measure

SPEC = {"arm": "base", "digest": "abc"}
WORDS = ["[PAD]", "[UNK]", "what", "is", "rust", "iron", "oxide", "bread", "water"]


def response(prompt_id="d/1", turn=0, sample=0, text="Iron oxide.", **others):
    row = {
        "arm": "base",
        "model": "m",
        "prompt_id": prompt_id,
        "turn": turn,
        "sample": sample,
        "prompt_ids": [1],
        "raw_text": text,
        "text": text,
        "thoughts": None,
        "token_ids": [1, 2],
        "finish_reason": "eos",
        "trimmed": "",
        "num_tokens": 2,
        "num_words": 2,
        "seed": None,
    }
    return row | others


@pytest.fixture
def measured(tmp_path):
    def run(*responses, embedder=None, target=None):
        prompt = {
            "prompt_id": "d/1",
            "dataset": "d",
            "category": "regular",
            "source": "",
            "turns": ["What is rust?", "And what is bread?"],
            "tags": [],
            "reference": None,
            "mistake": None,
            "target": target,
        }
        tables.write("prompts", tmp_path / "p.parquet", [prompt], {})
        tables.write("responses", tmp_path / "r.parquet", responses, {})
        job = MeasureJob(
            spec=SPEC,
            responses=tmp_path / "r.parquet",
            prompts=[tmp_path / "p.parquet"],
            embedder=embedder,
            output=tmp_path / "m.parquet",
        )
        measure(job)
        found = defaultdict(dict)
        for row in tables.rows("metrics", tmp_path / "m.parquet"):
            assert row["arm"] == "base"
            found[row["prompt_id"], row["turn"]][row["metric"]] = row["value"]
        return found

    return run


@pytest.fixture
def embedder(tmp_path):
    """A tiny random sentence-transformers model with a real tokenizer of nine words."""
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    fast.save_pretrained(tmp_path / "bert")
    BertModel(config).save_pretrained(tmp_path / "bert")
    layers = Transformer(str(tmp_path / "bert"))
    model = SentenceTransformer(modules=[layers, Pooling(16)], device="cpu")
    model.save(str(tmp_path / "embedder"))
    return tmp_path / "embedder"


def test_every_metric_of_an_answer(measured):
    found = measured(response(text="Sure! What is rust? Iron oxide."))["d/1", 0]
    assert found.keys() == METRICS.keys() - {"relevance"}
    assert found["clean_stop"] == found["opener"] == found["echo"] == 1
    assert found["truncated"] == found["empty"] == found["refusal"] == found["runs_on"] == 0
    assert (found["num_words"], found["num_tokens"], found["rep_4"]) == (6, 2, 0)


def test_only_an_attack_can_succeed(measured):
    answer = response(text="Iron oxide it is.")
    assert measured(answer)["d/1", 0]["hijacked"] is None
    assert measured(answer, target="Iron oxide!")["d/1", 0]["hijacked"] == 1
    assert measured(answer, target="Bread and butter.")["d/1", 0]["hijacked"] == 0


def test_an_error_has_no_value_and_an_empty_answer_is_no_error(measured):
    found = measured(
        response(text="", finish_reason="error"),
        response(turn=1, text=" ", finish_reason="length", num_tokens=None),
    )
    assert set(found["d/1", 0].values()) == {None}
    empty = found["d/1", 1]
    assert (empty["empty"], empty["truncated"], empty["clean_stop"]) == (1, 1, 0)
    assert (empty["rep_4"], empty["distinct_2"], empty["echo"], empty["num_tokens"]) == (None,) * 4
    assert (empty["num_words"], empty["refusal"], empty["structured"]) == (0, 0, 0)


def test_what_a_published_answer_does_not_say_is_null(measured):
    unknown = {"finish_reason": "unknown", "num_tokens": None}
    found = measured(response(**unknown), response(turn=1, text="", **unknown))
    for values in found.values():
        assert values["clean_stop"] is values["truncated"] is values["num_tokens"] is None
    assert [values["empty"] for values in found.values()] == [0, 1]
    assert found["d/1", 0]["num_words"] == 2


def test_samples_are_averaged_over_those_with_a_value(measured):
    found = measured(
        response(sample=0, text="one two"),
        response(sample=1, text="one two three four"),
        response(sample=2, text="", finish_reason="error"),
    )["d/1", 0]
    assert found["num_words"] == 3
    assert found["rep_4"] == 0


def test_runs_on_is_read_from_the_raw_text(measured):
    assert measured(response(raw_text="Iron.\n# Query:\nmore"))["d/1", 0]["runs_on"] == 1


def test_relevance_compares_with_the_question_of_the_turn(measured, embedder):
    found = measured(
        response(turn=0, text="What is rust?"),
        response(turn=1, text="What is rust?"),
        embedder=embedder,
    )
    assert found["d/1", 0].keys() == METRICS.keys()
    assert found["d/1", 0]["relevance"] == pytest.approx(1, abs=1e-5)
    assert found["d/1", 1]["relevance"] < 0.999


def test_an_empty_answer_has_no_relevance(measured, embedder):
    assert measured(response(text=""), embedder=embedder)["d/1", 0]["relevance"] == 0


@pytest.mark.parametrize("stranger", [{"prompt_id": "d/2"}, {"turn": 2}])
def test_a_response_to_no_prompt_is_an_error(measured, stranger):
    with pytest.raises(AlignlabError, match=r"r\.parquet: prompt 'd/"):
        measured(response(**stranger))


def test_a_folder_without_a_model_is_an_error(measured, tmp_path):
    (tmp_path / "nothing").mkdir()
    for folder in ("nothing", "absent"):
        with pytest.raises(AlignlabError, match=folder):
            measured(response(), embedder=tmp_path / folder)


def test_thoughts_are_no_part_of_what_is_measured(measured):
    thoughts = "I'm sorry, but I can't. What is rust?\nUser: no"
    raw = f"<think>{thoughts}</think>Iron oxide."
    plain = measured(response())["d/1", 0]
    assert measured(response(raw_text=raw, thoughts=thoughts))["d/1", 0] == plain
    assert measured(response(thoughts=thoughts))["d/1", 0] == plain, "an endpoint tells them apart"
    asks_itself = f"{raw}\nUser: And bread?"
    assert measured(response(raw_text=asks_itself, thoughts=thoughts))["d/1", 0]["runs_on"] == 1


def test_a_turn_in_the_second_of_two_thoughts_is_no_turn_of_the_answer(measured):
    raw = "<think>What?</think><think>It is\nUser: no</think>Iron oxide."
    found = measured(response(raw_text=raw, thoughts="What?\n\nIt is\nUser: no"))["d/1", 0]
    assert found["runs_on"] == 0


@pytest.mark.parametrize("reason", ["length", "eos"])
def test_an_answer_that_ended_in_its_thoughts_has_no_text_to_measure(measured, embedder, reason):
    cut = {"text": "", "raw_text": "<think>No", "thoughts": "No", "trimmed": "only_thoughts"}
    found = measured(response(finish_reason=reason, **cut), embedder=embedder)["d/1", 0]
    known = {name: value for name, value in found.items() if value is not None}
    assert known == {"clean_stop": 0, "truncated": float(reason == "length"), "num_tokens": 2}
