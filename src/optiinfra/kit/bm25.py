"""BM25: how well texts answer a question, by the words they share.

The weight of a word grows with its rarity among the texts and saturates with its count
(S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009).
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

K1: Final = 1.2
B: Final = 0.75
MAX_WORDS: Final = 2_000  # of one text; what follows is not looked at
_BETWEEN_PARTS: Final = re.compile(r"[.-]")
_WORD: Final = re.compile(r"[^\W_]+(?:[.-][^\W_]+)*")


def list_words(text: str) -> list[str]:
    """Words in lower case; of `tp-2` and `fp8.e4m3` the whole and the parts."""
    found: list[str] = []
    for match in _WORD.finditer(text.casefold()):
        word = match.group()
        found.append(word)
        if "." in word or "-" in word:
            found += _BETWEEN_PARTS.split(word)
        if len(found) >= MAX_WORDS:
            return found[:MAX_WORDS]
    return found


def to_sparse(text: str) -> tuple[list[int], list[float]]:
    """Numbers of the words, 32 bits and ascending, with 1 for each: who shares a word is found."""
    numbers = sorted({zlib.crc32(word.encode()) for word in list_words(text)})
    return numbers, [1.0] * len(numbers)


def compute_scores(query: str, texts: Sequence[str]) -> list[float]:
    """BM25 of each text, with rarity counted among these texts alone; 0 where no word is shared."""
    wanted = sorted(set(list_words(query)))
    counts = [Counter(list_words(text)) for text in texts]
    lengths = [count.total() for count in counts]
    mean = sum(lengths) / max(1, len(lengths)) or 1.0
    rarity = {}
    for word in wanted:
        num = sum(word in count for count in counts)
        rarity[word] = math.log(1 + (len(texts) - num + 0.5) / (num + 0.5))
    return [
        sum(
            rarity[word] * count[word] * (K1 + 1) / (count[word] + K1 * (1 - B + B * length / mean))
            for word in wanted
            if word in count
        )
        for count, length in zip(counts, lengths, strict=True)
    ]
