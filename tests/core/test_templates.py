"""What stands around a text: places to fill, and thoughts, which are no part of an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.core.templates import TAGS, Spoken, answer_start, fill, spoken

R1 = "<｜Assistant｜><think>\n"
NO_THOUGHTS = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
HARMONY = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>"
TOOL = "<|channel|>commentary to=functions.a <|constrain|>json<|message|>{}<|call|>"
SORRY = "I'm sorry, but I can't."
CODE = "Tags:\n```\n<think>\na\n</think>\n```\n"

# Raw text, the prompt's end (null: unknown), thoughts, answer, whether it ended in its thoughts.
SAID = [
    ("Hi", "", None, "Hi", False),
    ("", "", None, "", False),
    (f"<think>\n{SORRY}\n</think>\n\nSure.", "", SORRY, "\n\nSure.", False),
    (f"\n\n<think>{SORRY}</think>Sure.", "", SORRY, "Sure.", False),
    (f"<think>\n{SORRY}", "", SORRY, "", True),
    ("<think>", "", "", "", True),
    ("<think>\n\n</think>\n\nHi", "", "", "\n\nHi", False),
    ("<think>\n\n</think>\n\n", "", "", "\n\n", False),
    ("<think>a</think>", "", "a", "", True),
    ("<think>a</think><think>b</think>Hi", "", "a\n\nb", "Hi", False),
    ("<think>a</think>Use <think>b</think>.", "", "a", "Use <think>b</think>.", False),
    ("<think>a <think> b</think>Hi", "", "a <think> b", "Hi", False),
    ("The tag <think> opens thoughts.", "", None, "The tag <think> opens thoughts.", False),
    ("`<think>` opens thoughts.", "", None, "`<think>` opens thoughts.", False),
    (CODE, "", None, CODE, False),
    (CODE, None, None, CODE, False),
    ("Close with `</think>`\nthen go on", None, None, "Close with `</think>`\nthen go on", False),
    ("<thinker>a", "", None, "<thinker>a", False),
    ("a\n</think>\n\nHi", R1, "a", "\n\nHi", False),
    ("a</think>Hi", R1, "a", "Hi", False),
    ("<think>\na\n</think>\n\nHi", R1, "a", "\n\nHi", False),
    (SORRY, R1, SORRY, "", True),
    ("", R1, "", "", True),
    ("Hi", NO_THOUGHTS, None, "Hi", False),
    ("a\n</think>\n\nHi", None, "a", "\n\nHi", False),
    ("a\n</think>", None, "a", "", True),
    ("a\n</think>\n\nHi", "", None, "a\n</think>\n\nHi", False),
    ("Is </think> a tag?", None, None, "Is </think> a tag?", False),
    ("<thinking>a</thinking>\nHi", None, "a", "\nHi", False),
    ("<reasoning>a</reasoning>\nHi", "", "a", "\nHi", False),
    ("<thought>\na\n</thought>\nHi", "", "a", "\nHi", False),
    ("[THINK]a[/THINK]Hi", "", "a", "Hi", False),
    ("◁think▷a◁/think▷Hi", "", "a", "Hi", False),
    ("<think>a</thinking>Hi", "", "a</thinking>Hi", "", True),
    ("<|channel>thought\na\n<channel|>Hi", "", "a", "Hi", False),
    ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>", "", "a", "Hi", 0),
    (f"{HARMONY.format('a')}{FINAL}Hi<|return|>", "", "a", "Hi", False),
    (f"{HARMONY.format('a')}{HARMONY.format('b')}{FINAL}Hi", None, "a\n\nb", "Hi", False),
    (f"{FINAL}Hi", "<|start|>assistant", None, "Hi", False),
    (HARMONY.format("a"), "", "a", "", True),
    ("<|channel|>analysis<|message|>a", "", "a", "", True),
    ("<|channel|>analysis", "", "", "", True),
    (TOOL, "", "{}", "", True),
]


@given(st.text(), st.text())
def test_braces_in_answers_mean_nothing(instruction, response):
    values = {"instruction": instruction + "{response}", "response": response + "{}{instruction}"}
    filled = fill("a {instruction} b {response} c {", values)
    assert filled == f"a {values['instruction']} b {values['response']} c {{"


@pytest.mark.parametrize(("raw", "prompt", "thoughts", "answer", "only"), SAID)
def test_thoughts_at_the_start_are_no_part_of_the_answer(raw, prompt, thoughts, answer, only):
    said = spoken(raw, prompt)
    assert (said.thoughts, said.answer, said.only_thoughts) == (thoughts, answer, only)


@given(st.sampled_from(sorted(TAGS)), st.text("ab <>/\n`"), st.text("ab <>/\n`"))
def test_whatever_the_thoughts_say_the_answer_is_what_follows(tag, thoughts, answer):
    raw = f"{tag}{thoughts}{TAGS[tag]}{answer}"
    assert spoken(raw, "") == spoken(raw) == Spoken(thoughts.strip(), answer)


@given(st.text("ab <>/`\n|thinkcael[]").filter(lambda text: "think" not in text))
def test_a_text_without_thoughts_is_all_answer(text):
    assert spoken(text) == spoken(text, "Why?") == Spoken(None, text)


# Raw text, thoughts, text, why it ended, where the answer begins.
STARTS = [
    ("Hi", None, "Hi", "eos", 0),
    (" Hi", None, "Hi", "eos", 0),
    ("<think>a</think>\n\nHi", "a", "Hi", "eos", 18),
    ("<think>a</think><think>b</think>Hi", "a\n\nb", "Hi", "stop", 32),
    ("<think>Hi\n\nHi</think>Hi\n# Query: Hi", "Hi\n\nHi", "Hi", "stop", 21),
    ("Hi</think>Hi", "Hi", "Hi", "length", 10),
    ("Hi</think>Hi\n# Query: Hi", "Hi", "Hi", "stop", 2 + 8),
    ("analysisaassistantcommentarybassistantfinalHi", "a\n\nb", "Hi", "eos", 43),
    ("analysisaassistantcommentarybassistantfinalHi\nUser: Hi", "a\n\nb", "Hi", "stop", 43),
    ("Hi", "a", "Hi", "eos", 0),
    ("4", "4", "4", "stop", 0),
    ("finalHi", None, "Hi", "eos", 5),
]


@pytest.mark.parametrize(("raw", "thoughts", "text", "reason", "start"), STARTS)
def test_an_answer_begins_behind_all_its_thoughts(raw, thoughts, text, reason, start):
    row = {"raw_text": raw, "thoughts": thoughts, "text": text, "finish_reason": reason}
    assert answer_start({**row, "trimmed": "" if raw.strip() == text else "thoughts"}) == start
