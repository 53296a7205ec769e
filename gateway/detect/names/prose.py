"""Finds paragraphs of English prose, in which an unknown capitalized word may be a name.

German capitalizes every noun, code its classes, tables their headings. Three cheap measures decide: function words of
English compared with those of other languages, their share, and the number of signs of code between the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import regex

from gateway.detect.names.vocabulary import words

_ENGLISH: Final = words(
    "the of and to in is was for that it on with as at by this be are from or an have not you i he she they we his her "
    "their my your our has had but which who will would can could there been were if when what about into than then "
    "its a me him them us do does did please how where why all some no so up out just any more very after before "
    "because i'm it's don't i've i'll let's can't didn't hi hello dear thanks thank"
)
_OTHERS: Final = (
    words(
        "der das und ist nicht mit von den dem des ein eine einen einem einer auf für im zu sich auch wird wurde sind "
        "haben hat bei nach oder wie aus ich er wir ihr sie als zum zur über noch nur kann bitte unter durch dass daß "
        "le la les des et est une du dans pour qui que sur pas avec au aux par ce cette sont nous vous il elle ne je "
        "mais el los las un una y por con para del se lo su como más pero está al es esta "
        "il di che è non per sono della dei delle con gli nel alla anche questo "
        "het een van en niet dat zijn voor met aan wordt deze naar ook maar bij worden heeft "
        "o os um uma não com da dos das em no na ao mais são foi "
        "i w nie się na z jest do że och att det som är av för inte på den med til ikke og ja ei on että az egy és nem "
        "a hogy je se že"
    )
    - _ENGLISH
)
_PARAGRAPH: Final = regex.compile(r"\S(?:[^\n]|\n(?!\s*\n))*")
_WORD: Final = regex.compile(r"\p{L}+(?:['’]\p{L}+)*")
_CODE: Final = regex.compile(r"[{}\[\]();=<>|_\\\t\"#$@+*/]|\b\p{Ll}+\p{Lu}|\d{2}:\d{2}:\d{2}")
_SHORT: Final = 7  # maximum words of a text without function words: a name alone, a headline, a greeting
_FEWEST: Final = 0.1  # minimum share of function words in prose
_SIGNS: Final = 0.25  # signs of code for each word, at most


def english(text: str) -> list[tuple[int, int]]:
    """The stretches (start, end) of a text that are English prose, or too short to decide and nothing else."""
    return list(_stretches(text))


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    for match in _PARAGRAPH.finditer(text):
        tokens = [word.lower().replace("’", "'") for word in _WORD.findall(match.group())]
        if not tokens:
            continue
        ours = sum(word in _ENGLISH for word in tokens)
        theirs = sum(word in _OTHERS for word in tokens)
        signs = sum(1 for _ in _CODE.finditer(match.group()))
        if ours <= theirs and theirs:
            continue
        if signs > max(2, _SIGNS * len(tokens)):
            continue
        if ours >= _FEWEST * len(tokens) or len(tokens) <= _SHORT:
            yield match.span()
