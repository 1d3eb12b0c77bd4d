"""Words and sentences of a text, and how much of them repeats; training sets are filtered by them.

Apart from `style`, so that a rule of style can change without any training set. Rules are for
English; of scripts that put no space between words, each character is a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

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
    """How many words a text has; see `pieces`."""
    return len(pieces(text))


def pieces(text: str) -> list[str]:
    """The words of a text as they stand there, each with the punctuation around it.

    They are what stands between white space, as URIAL's table 1 counts them. One with Chinese,
    Japanese, Thai, Lao, Khmer, Burmese or Tibetan is cut before each letter or digit of these
    scripts, and before each run of others.
    """
    return [word for run in text.split() for word in _cut(run)]


def beginning(text: str, number: int) -> str:
    """Its first so many words, as `pieces` tells them, with single spaces where it has any."""
    whole, end = " ".join(text.split()), 0
    for piece in pieces(text)[:number]:
        end = whole.index(piece, end) + len(piece)
    return whole[:end]


def joined(found: Sequence[str]) -> str:
    """A text of such pieces: with a space between two, unless both are of a spaceless script."""
    spaceless = [bool(SPACELESS.search(piece)) for piece in found]
    gaps = ["" if all(pair) else " " for pair in pairwise(spaceless)]
    return "".join(chain.from_iterable(zip(["", *gaps], found, strict=False)))


def _cut(run: str) -> Iterator[str]:
    """What stands between white space, cut before every word but the first."""
    starts, at = [], 0
    for word in WORD.findall(spaced(run)) if SPACELESS.search(run) else ():
        starts.append(run.index(word, at))
        at = starts[-1] + len(word)
    for start, stop in pairwise([0, *starts[1:], len(run)]):
        yield run[start:stop]


def spaced(text: str) -> str:
    """The text with white space around each letter or digit of a spaceless script."""
    return SPACELESS.sub(r" \g<0> ", text)


def words(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation."""
    return WORD.findall(spaced(text).lower())


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
