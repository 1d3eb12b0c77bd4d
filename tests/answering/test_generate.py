import json
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from alignlab.answering import generate as room
from alignlab.answering.generate import GatherJob, GenerateJob, Part, gather, generate
from alignlab.core import tables
from alignlab.core.errors import AlignlabError
from alignlab.core.unfinished import forget
from alignlab.engines import fake_engine
from alignlab.engines.base import Completion

SPEC = {
    "arm": "zero-shot",
    "model": "tiny",
    "method": {"kind": "zero-shot"},
    "decoding": {"max_new_tokens": 16},
    "engine": {"name": "fake", "dtype": "float32"},
    "digest": "0" * 12,
}
SAMPLED = {**SPEC, "seed": 3, "decoding": {"max_new_tokens": 16, "temperature": 1, "samples": 2}}

WHOLE = Part(0, 1)


def prompt(i, *turns):
    return {
        "prompt_id": f"d/{i}",
        "dataset": "d",
        "category": "regular",
        "source": None,
        "turns": list(turns) or [f"What is question number {i} about, and why is it asked?"],
        "tags": [],
        "reference": None,
        "mistake": None,
        "target": None,
    }


@pytest.fixture
def model(tmp_path, repository_root):
    """What the fake engine needs of a model: a tokenizer and a window."""
    folder = tmp_path / "model"
    AutoTokenizer.from_pretrained(
        repository_root / "config/catalog/tiny-tokenizer"
    ).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 300}))
    return folder


@pytest.fixture
def joined(tmp_path):
    """Gather parts into one table; returns its path."""

    def join(*parts):
        output, aside = tmp_path / "joined.parquet", tmp_path / "aside"
        where = {"output": output, "aside": aside, "note": tmp_path / "note.json"}
        gather(GatherJob(spec=SPEC, parts=parts, **where))
        return output

    return join


@pytest.fixture
def run(tmp_path, model):
    """Generate over some prompts; returns the rows."""

    def run(prompts, spec=SPEC, part=WHOLE, name="out", batch_size=3):
        table = tmp_path / f"prompts-{len(prompts)}.parquet"
        tables.write("prompts", table, prompts, {})
        output = tmp_path / f"{name}.parquet"
        work = {"part": part, "aside": tmp_path / "aside", "batch_size": batch_size}
        work["replies"] = tmp_path / "replies.jsonl"
        generate(GenerateJob(spec=spec, prompts=[table], model=model, output=output, **work))
        return list(tables.rows("responses", output))

    return run


def test_rows_come_in_the_order_of_prompts_turns_and_samples(run):
    prompts = [prompt(0), prompt(1, "One?", "Two?"), prompt(2)]
    rows = run(prompts, SAMPLED)
    found = [(row["prompt_id"], row["sample"], row["turn"]) for row in rows]
    one = [("d/1", 0, 0), ("d/1", 0, 1), ("d/1", 1, 0), ("d/1", 1, 1)]
    assert found == [("d/0", 0, 0), ("d/0", 1, 0), *one, ("d/2", 0, 0), ("d/2", 1, 0)]
    assert len({row["seed"] for row in rows}) == len(rows)
    assert rows[0]["seed"] == 986689020329683235  # on every machine


def test_a_second_turn_is_asked_after_the_first_answer(run, model):
    first, second = run([prompt(0, "One?", "Two?")])
    text = AutoTokenizer.from_pretrained(model).decode(second["prompt_ids"])
    assert first["text"]
    assert text.index("One?") < text.index(first["text"]) < text.index("Two?")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_parts_join_to_the_whole_table(run, joined, tmp_path, count):
    prompts = [prompt(i) for i in range(7)]
    whole = run(prompts)
    parts = []
    for index in range(count):
        run(prompts, part=Part(index, count), name=f"part{index}")
        parts.append(tmp_path / f"part{index}.parquet")
    assert list(tables.rows("responses", joined(*parts))) == whole
    assert not (tmp_path / "aside").exists()
    assert not (tmp_path / "note.json").exists(), "no endpoint, so nothing to ask again"


def test_joined_answers_name_the_versions_that_made_them(run, joined, tmp_path, monkeypatch):
    run([prompt(0)], name="part")
    monkeypatch.setattr(tables, "versions", lambda: {"python": "of the process that joins"})
    assert "torch" in tables.versions_of(joined(tmp_path / "part.parquet"))


def test_answers_say_why_plain_transformers_made_them(run, joined, tmp_path, monkeypatch):
    run([prompt(0)], name="fast")
    monkeypatch.setattr(fake_engine.FakeEngine, "plain", "its rope depends on the longest row")
    run([prompt(1)], name="plain")
    assert tables.plain_of(joined(tmp_path / "fast.parquet")) == ""
    both = joined(tmp_path / "fast.parquet", tmp_path / "plain.parquet")
    assert tables.plain_of(both) == "its rope depends on the longest row"


@given(st.integers(0, 1000), st.integers(1, 50))
def test_parts_are_contiguous_and_even(total, count):
    bounds = [Part(i, count).bounds(total) for i in range(count)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == total
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    sizes = [end - start for start, end in bounds]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("died_after", [0, 1, 2])
def test_a_killed_job_asks_only_for_the_rest(run, monkeypatch, tmp_path, died_after):
    prompts = [prompt(i, "One?", "Two?") for i in range(9)]
    asked = []
    answer = fake_engine.FakeEngine.generate

    def dying(self, requests, *rest):
        for i, batch in enumerate(answer(self, requests, *rest)):
            if i == died_after:
                raise KeyboardInterrupt
            yield batch

    def counting(self, requests, *rest):
        asked.append(len(requests))
        return answer(self, requests, *rest)

    monkeypatch.setattr(fake_engine.FakeEngine, "generate", dying)
    with pytest.raises(KeyboardInterrupt):
        run(prompts)
    monkeypatch.setattr(fake_engine.FakeEngine, "generate", counting)
    resumed = run(prompts)
    assert asked == [9 - 3 * died_after, 9]
    monkeypatch.setattr(fake_engine.FakeEngine, "generate", answer)
    forget(tmp_path / "aside")
    assert run(prompts) == resumed


def test_a_prompt_that_does_not_fit_is_counted_and_kept_as_an_error(run, caplog):
    rows = run([prompt(0), prompt(1, "word " * 400)])
    assert [row["finish_reason"] for row in rows] == ["stop", "error"]
    assert rows[1]["trimmed"] == "prompt_too_long"
    assert "1 questions without an answer of tiny, prompt_too_long: d/1 turn 0:" in caplog.text
    assert "tokens do not fit a window of 300" in caplog.text


def test_no_prompt_of_an_arm_fits(run, joined, tmp_path):
    run([prompt(0, "word " * 400), prompt(1, "word " * 400)])
    with pytest.raises(AlignlabError, match=r"tiny answered none of 2 questions; .* window"):
        joined(tmp_path / "out.parquet")
    assert not (tmp_path / "joined.parquet").exists()


def test_only_the_prompt_that_does_not_fit_is_left_after_a_kill(run, tmp_path):
    prompts = [prompt(0), prompt(1), prompt(2, "word " * 400)]
    whole = run(prompts)
    assert run(prompts) == whole
    assert list((tmp_path / "aside").glob("*.parquet"))


def test_a_prompt_in_two_sets_is_refused(run, tmp_path, model):
    table = tmp_path / "p.parquet"
    tables.write("prompts", table, [prompt(0)], {})
    work = {"part": WHOLE, "batch_size": 3, "output": tmp_path / "o", "aside": tmp_path / "a"}
    work["replies"] = tmp_path / "replies.jsonl"
    with pytest.raises(AlignlabError, match="prompt 'd/0' is in two prompt sets"):
        generate(GenerateJob(spec=SPEC, prompts=[table, table], model=model, **work))


@pytest.mark.parametrize(
    "question", ["Sort ```[3, 1]``` now", "A line:\n# Query:\nwhat is it?", "```\n```"]
)
def test_fences_and_headers_in_a_question_do_not_cut_its_answer(run, question):
    (row,) = run([prompt(0, question)])
    assert row["finish_reason"] == "stop"
    assert row["trimmed"] == "fence"
    assert row["text"]
    assert row["raw_text"].startswith(f"{row['text']}\n```")


def test_windows_change_nothing(run, monkeypatch, tmp_path):
    prompts = [prompt(i) for i in range(10)]
    whole = run(prompts)
    monkeypatch.setattr(room, "WINDOW", 4)
    forget(tmp_path / "aside")
    assert run(prompts, name="windows") == whole


@pytest.fixture
def says(monkeypatch):
    """Let the fake engine answer with given texts, in the order of the prompts."""

    def put(*texts, reason="eos"):
        left = iter(texts)

        def answering(self, request, *_):
            ids = self.tokenizer(next(left), add_special_tokens=False).input_ids
            return Completion(ids, reason)

        monkeypatch.setattr(fake_engine.FakeEngine, "_answer", answering)

    return put


SORRY = "I'm sorry, but I can't."
# What the model writes, how it ended: text, thoughts, why the text differs, words.
THINKS = [
    ("Sure. <think> is a tag.", "eos", ("Sure. <think> is a tag.", None, "", 5)),
    (f"<think>\n{SORRY}\n</think>\n\nSure.", "eos", ("Sure.", SORRY, "thoughts", 1)),
    (f"<think>{SORRY}</think>Sure.\n```\n", "stop", ("Sure.", SORRY, "fence", 1)),
    ("<think>\n```\n</think>\nSure.", "eos", ("Sure.", "```", "thoughts", 1)),
    ("<think>\n\n</think>\n\nSure.", "eos", ("Sure.", "", "thoughts", 1)),
    ("<think>\n\n</think>\n\n", "eos", ("", "", "thoughts", 0)),
    (f"<think>\n{SORRY}", "length", ("", SORRY, "only_thoughts", 0)),
    (f"<think>\n{SORRY}\n</think>\n", "length", ("", SORRY, "only_thoughts", 0)),
    ("", "eos", ("", None, "", 0)),
]


@pytest.mark.parametrize(("raw", "reason", "row"), THINKS)
def test_thoughts_are_kept_beside_the_answer(run, says, raw, reason, row):
    says(raw, reason=reason)
    (found,) = run([prompt(0)])
    assert tuple(found[key] for key in ("text", "thoughts", "trimmed", "num_words")) == row
    assert (found["raw_text"], found["finish_reason"]) == (raw, reason)
    assert found["num_tokens"] == len(found["token_ids"])


def test_a_template_that_opens_thoughts_needs_no_opening_tag_in_the_answer(run, says, model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{{ eos_token }}\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}[assistant]<think>\n{% endif %}"
    )
    tokenizer.save_pretrained(model)
    says("So.\n</think>\n\nSure.", "So.")
    done, cut = run([prompt(0), prompt(1)], {**SPEC, "method": {"kind": "chat"}})
    assert (done["text"], done["thoughts"], done["trimmed"]) == ("Sure.", "So.", "thoughts")
    assert (cut["text"], cut["thoughts"], cut["trimmed"]) == ("", "So.", "only_thoughts")


def test_markup_that_is_special_tokens_is_found(run, says, model):
    tokenizer = AutoTokenizer.from_pretrained(model)
    names = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    tokenizer.save_pretrained(model)
    head = "<|channel|>analysis<|message|>So.<|end|><|start|>assistant<|channel|>final<|message|>"
    says(f"{head}Sure.")
    (row,) = run([prompt(0)])
    assert (row["text"], row["thoughts"]) == ("Sure.", "So.")
    assert row["raw_text"] == "analysisSo.assistantfinalSure.", "as it is decoded"


def test_a_later_turn_sees_no_thoughts_and_is_not_asked_after_thoughts_alone(run, says, model):
    says("<think>So.</think>Sure.", "<think>So.", "Fine.")
    talks = [prompt(0, "One?", "Two?"), prompt(1, "One?", "Two?")]
    rows = run(talks)
    asked = AutoTokenizer.from_pretrained(model).decode(rows[1]["prompt_ids"])
    assert "Sure." in asked
    assert "So." not in asked
    assert [row["text"] for row in rows] == ["Sure.", "Fine.", "", ""]
    assert (rows[3]["finish_reason"], rows[3]["trimmed"]) == ("error", "only_thoughts")
    says("Fine.")
    assert run(talks) == rows, "what was put aside has its thoughts"


def test_an_arm_of_thoughts_alone_is_no_table(run, says, joined, tmp_path):
    says("<think>So.", "<think>So.", reason="length")
    run([prompt(0), prompt(1)])
    with pytest.raises(AlignlabError, match=r"none of 2 questions; .* raise `max_new_tokens`"):
        joined(tmp_path / "out.parquet")


def test_a_table_of_before_there_were_thoughts_is_read(run, joined, tmp_path):
    whole = run([prompt(0)])
    old = tmp_path / "old.parquet"
    table = pq.read_table(tmp_path / "out.parquet").drop_columns("thoughts")
    pq.write_table(table, old)
    assert list(tables.rows("responses", old)) == whole
    found = tables.opened("responses", old).read(columns=["text", "thoughts"])
    assert found["thoughts"].to_pylist() == [None]
    assert list(tables.rows("responses", joined(old))) == whole
