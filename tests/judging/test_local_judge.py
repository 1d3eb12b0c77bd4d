from itertools import chain, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_answers import where
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from alignlab.engines.base import Completion
from alignlab.judging import local_judge
from alignlab.judging.cases import Case, JudgeJob, message
from alignlab.judging.config import resolved_rubric
from alignlab.judging.local_wording import WHY

ANSWERS = ["Water.", "", "It is not known who was the first of them, but it was long ago."]
CASES = [Case(f"q/{i}", 0, 0, {"query": "What? " * i, "answer": a}) for i, a in enumerate(ANSWERS)]


def aspect(name, says, values):
    named = {"name": name, "label": name.title(), "meaning": f"is it of {name}?", "levels": {}}
    return {**named, "says": says, "values": values}


RUBRIC = {
    "name": "toy",
    "instructions": "Rate.\n{aspects}\n",
    "case": "Q: {query}\nA: {answer}\n",
    "ask": "{aspect} ({scale}):",
    "aspects": [
        aspect("use", ["1", "2", "3", "4", "5"], [1, 2, 3, 4, 5]),
        aspect("truth", ["B", "C", "A"], [0, 0.5, 1]),
    ],
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory, repository_root):
    """A tiny random chat model."""
    path = tmp_path_factory.mktemp("judge")
    tokenizer = AutoTokenizer.from_pretrained(repository_root / "config/catalog/tiny-tokenizer")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.2,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def judge_of(folder, tmp_path, batch_size=2, **changes):
    entry = {"kind": "local", "model": "tiny", **changes}
    spec = {"judge": "j", "entry": entry, "rubrics": [], "engine": {"dtype": "float32"}}
    files = {"prompts": [], "model": folder, "output": tmp_path / "out.parquet"}
    given = {**files, **where("judgements")}
    return local_judge.load(JudgeJob(spec=spec, batch_size=batch_size, **given))


@pytest.fixture
def any_mass(monkeypatch):
    """A random model spreads its bets; let every score count."""
    monkeypatch.setattr(local_judge, "MIN_MASS", 0)


def by_index(judge, cases=CASES, rubric=RUBRIC):
    found = list(judge.judge(rubric, cases))
    assert sorted(index for index, _ in found) == list(range(len(cases)))
    return [scores for _, scores in sorted(found, key=lambda pair: pair[0])]


def flat(scores):
    return list(chain.from_iterable(scores))


@torch.inference_mode()
def chances(folder, case, aspect):
    """Of all next tokens, by transformers' own forward pass over the model's own template."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = message(RUBRIC, case, aspect)
    prompt = [{"role": "user", "content": text}]
    ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    probabilities = model(torch.tensor([ids])).logits[0, -1].softmax(-1)
    return probabilities[tokenizer.convert_tokens_to_ids(aspect["says"])].double()


def test_a_score_is_the_expected_value_over_the_words_of_the_scale(folder, tmp_path, any_mass):
    for case, scores in zip(CASES, by_index(judge_of(folder, tmp_path)), strict=True):
        assert [score.aspect for score in scores] == ["use", "truth"]
        for one, score in zip(RUBRIC["aspects"], scores, strict=True):
            right = chances(folder, case, one)
            shares = right / right.sum()
            value = (shares * torch.tensor(one["values"])).sum().item()
            assert score.status == "scored"
            assert score.value == pytest.approx(value, abs=1e-4)
            assert score.distribution == pytest.approx(shares.tolist(), abs=1e-4)
            assert score.mass == pytest.approx(right.sum().item(), abs=1e-4)
            assert score.raw == one["says"][int(right.argmax())]
            assert score.seconds > 0
            assert score.reason is None


def test_a_score_does_not_depend_on_other_cases(folder, tmp_path, any_mass, monkeypatch):
    judge = judge_of(folder, tmp_path)
    together = by_index(judge, CASES)
    monkeypatch.setattr(local_judge, "WINDOW", 1)
    for alone in (by_index(judge, CASES), [by_index(judge, [case])[0] for case in CASES]):
        for a, b in zip(flat(together), flat(alone), strict=True):
            assert a.value == pytest.approx(b.value, abs=1e-4)


def test_a_judge_about_to_say_something_else_is_not_scored(folder, tmp_path, monkeypatch):
    judge = judge_of(folder, tmp_path)
    masses = [score.mass for score in flat(by_index(judge))]
    middle = sorted(masses)[len(masses) // 2]
    monkeypatch.setattr(local_judge, "MIN_MASS", middle)
    for score in flat(by_index(judge)):
        if score.mass < middle:
            assert (score.status, score.value, score.distribution) == ("unparseable", None, None)
            assert f"{score.mass:.2g}" in score.raw
        else:
            assert score.status == "scored"


def test_a_reason_is_what_the_judge_says_when_asked_why(folder, tmp_path, any_mass):
    scores = by_index(judge_of(folder, tmp_path, reason_tokens=6))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    for case, of_case in zip(CASES, scores, strict=True):
        for one, score in zip(RUBRIC["aspects"], of_case, strict=True):
            talk = [
                {"role": "user", "content": message(RUBRIC, case, one)},
                {"role": "assistant", "content": score.raw},
                {"role": "user", "content": WHY},
            ]
            ids = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=False)
            options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
            said = model.generate(torch.tensor([ids]), **options)[0, len(ids) :]
            assert score.reason == tokenizer.decode(said, skip_special_tokens=True).strip()
            assert score.reason


def test_a_case_that_does_not_fit_is_skipped_and_the_others_are_not(folder, tmp_path, any_mass):
    long = Case("q/long", 0, 0, {"query": "What?", "answer": "never " * 300})
    first, skipped, last = by_index(judge_of(folder, tmp_path), [CASES[0], long, CASES[2]])
    assert {score.status for score in first + last} == {"scored"}
    for score in skipped:
        assert score.status == "skipped"
        assert score.value is None
        assert "256-token window of tiny" in score.raw


SEVERAL = [
    resolved_rubric("judge/mt-bench")["aspects"][0]["says"],
    ["1", "10", "100", "1000", "12"],
    ["no", "partly", "yes", "yes, wholly"],
]


@pytest.mark.parametrize("says", SEVERAL)
def test_a_word_of_several_tokens_is_scored_by_all_of_them(folder, tmp_path, any_mass, says):
    """Against a forward pass over every word; a scale of single tokens beside it is as before."""
    several = aspect("truth", says, list(range(len(says))))
    rubric = {**RUBRIC, "aspects": [RUBRIC["aspects"][0], several]}
    single = by_index(judge_of(folder, tmp_path))
    for case, scores, before in zip(
        CASES, by_index(judge_of(folder, tmp_path), rubric=rubric), single, strict=True
    ):
        right = alone(folder, message(rubric, case, several), says)
        shares = right / right.sum()
        assert scores[1].distribution == pytest.approx(shares.tolist(), rel=1e-3)
        assert scores[1].mass == pytest.approx(right.sum().item(), rel=1e-3)
        assert scores[1].raw == says[int(right.argmax())]
        assert scores[0].distribution == pytest.approx(before[0].distribution, abs=1e-5)


@torch.inference_mode()
def alone(folder, text, says):
    """Of each word, the probability of what begins with it and with no longer word."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = [{"role": "user", "content": text}]
    start = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(start, add_special_tokens=False).input_ids
    words = [
        tuple(tokenizer(start + say, add_special_tokens=False).input_ids[len(ids) :])
        for say in says
    ]
    begins = {}
    for word in words:
        logits = model(torch.tensor([[*ids, *word]])).logits[0, len(ids) - 1 : -1]
        begins[word] = logits.double().softmax(-1)[range(len(word)), word].prod()
    assert max(map(len, words)) > 1
    return torch.stack([begins[word] - sum(next_ones(word, begins).values()) for word in words])


def next_ones(word, begins):
    """The words that go on from a word, without those that go on from another of them."""
    longer = {o: p for o, p in begins.items() if len(o) > len(word) and o[: len(word)] == word}
    return {o: p for o, p in longer.items() if not any(o != n and o[: len(n)] == n for n in longer)}


@st.composite
def trees(draw):
    """Words over three tokens, and chances of each next token after every beginning."""
    word = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)
    words = draw(st.lists(word, min_size=2, max_size=8, unique=True))
    seed = draw(st.integers(0, 999))
    generator = torch.Generator().manual_seed(seed)
    beginnings = [b for length in range(3) for b in product(range(3), repeat=length)]
    return words, {b: torch.randn(3, generator=generator).log_softmax(-1) for b in beginnings}


@given(trees())
def test_words_share_the_answers_that_begin_with_them(example):
    """An answer counts for the longest word that it begins with: all answers, one by one."""
    words, chances = example
    right = dict.fromkeys(words, 0.0)
    for answer in product(range(3), repeat=3):
        said = [answer[:length] for length in (1, 2, 3) if answer[:length] in right]
        if said:
            right[said[-1]] += sum(chances[answer[:at]][answer[at]] for at in range(3)).exp().item()
    scale = local_judge.Words(words)
    asked = scale.questions([7])
    found = (chances[tuple(one.prompt_ids[1:])][one.choices] for one in asked)
    shares = scale.logprobs(found).exp()
    assert shares.tolist() == pytest.approx(list(right.values()), abs=1e-5)


def test_an_answer_cannot_end_the_judges_turn(folder, tmp_path, any_mass, monkeypatch):
    """A special token in an answer is text like any other."""
    judge = judge_of(folder, tmp_path)
    tokenizer = judge.engine.tokenizer
    asked = []
    ids = judge.wording.ids
    monkeypatch.setattr(judge.wording, "ids", lambda text: asked.append(ids(text)) or asked[-1])
    for answer in ("It is 5.", f"It is 5.{tokenizer.eos_token}5"):
        case = Case("q/1", 0, 0, {"query": "What?", "answer": answer})
        ((_, scores),) = judge.judge(RUBRIC, [case])
        assert all(score.status == "scored" for score in scores)
        assert all(answer in tokenizer.decode(one) for one in asked[-len(scores) :])
    assert len({one.count(tokenizer.eos_token_id) for one in asked}) == 1


def test_a_reason_is_without_thoughts(folder, tmp_path, any_mass, monkeypatch):
    judge = judge_of(folder, tmp_path, reason_tokens=6)
    said = ["<think>Hm.</think> It is short.", "<think>Hm."]
    ids = [judge.engine.tokenizer(text, add_special_tokens=False).input_ids for text in said]
    done = [(at, Completion(ids[at % 2], "eos")) for at in range(len(RUBRIC["aspects"]))]
    monkeypatch.setattr(judge.engine, "generate", lambda *_: iter([done]))
    (scores,) = by_index(judge, CASES[:1])
    assert [score.reason for score in scores[:2]] == ["It is short.", None]


@pytest.mark.parametrize("name", ["judge/quality", "judge/safety", "judge/pairwise"])
def test_the_aspects_of_a_shipped_rubric_share_all_but_a_short_end(name):
    rubric = resolved_rubric(name)
    places = ("query", "answer", "answer_a", "answer_b")
    case = Case("q/1", 0, 0, {"conversation": "", **{place: f"<{place}>" for place in places}})
    first, *others = [message(rubric, case, one) for one in rubric["aspects"]]
    for other in others:
        common = next(i for i, (a, b) in enumerate(zip(first, other, strict=False)) if a != b)
        assert "<answer" in first[:common]
        assert len(first) - common < 100
