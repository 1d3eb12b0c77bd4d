"""Words and sentences of a text, and how much of them repeats; training sets are filtered by them.

Apart from `style`, so that a rule of style can change without any training set. Rules are for
English; of scripts that put no space between words, each character is a word.
"""

from __future__ import annotations

import re

import regex

SENTENCE_END = re.compile(r"(?<=[.!?])[\"')*]*\s+|\n+")
WORD = re.compile(r"\w+(?:['’]\w+)*")
# A letter or digit of such a script.
SPACELESS = regex.compile(
    r"(?V1)[[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}"
    r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]&&[\p{L}\p{N}]]"
)
Gram = tuple[str, ...]


def plain(text: str) -> str:
    """The text with straight apostrophes, as the rules are written."""
    return text.replace("’", "'")


def sentences(text: str) -> list[str]:
    """Split at line ends and after `.`, `!` or `?`: rough, but the same for every arm."""
    return [part for part in SENTENCE_END.split(plain(text).strip()) if part]


def count_words(text: str) -> int:
    """How many words a text has: pieces between white space, as URIAL's table 1 counts them.

    A piece with Chinese, Japanese, Thai, Lao, Khmer, Burmese or Tibetan counts for each letter or
    digit of these scripts, and for each run of others.
    """
    return sum(len(words(piece)) if SPACELESS.search(piece) else 1 for piece in text.split())


def words(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation."""
    return WORD.findall(SPACELESS.sub(r" \g<0> ", text).lower())


def ngrams(tokens: list[str], n: int) -> list[Gram]:
    """Every run of n tokens, in order; none in a shorter list."""
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def distinct(text: str, n: int) -> float | None:
    """Distinct n-grams over n-grams (distinct-n, Li et al. 2016, §4.2); null if there is none."""
    grams = ngrams(words(text), n)
    return len(set(grams)) / len(grams) if grams else None


def repetition(text: str, n: int) -> float | None:
    """1 − distinct-n: seq-rep-n of Welleck et al. 2020 (§6.1), over words instead of tokens."""
    share = distinct(text, n)
    return None if share is None else 1 - share


def echo(question: str, answer: str, n: int = 4) -> float | None:
    """Share of the question's distinct n-grams that come back in the answer.

    A question under n words is one n-gram, all of it. Null where either text has no words.
    """
    asked, said = words(question), words(answer)
    if not asked or not said:
        return None
    size = min(n, len(asked))
    wanted = set(ngrams(asked, size))
    return len(wanted & set(ngrams(said, size))) / len(wanted)
