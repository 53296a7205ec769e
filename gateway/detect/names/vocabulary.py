"""Classifies words as names, common words or unknown words, by the lists and by how a word is written."""

from __future__ import annotations

from typing import Final

import regex

from gateway.detect.names.lists import Lists, fold
from gateway.detect.names.tokens import Token


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


# Words with which names do not begin, although some are in the lists of names.
CLOSED: Final = words(
    "a an the this that these those my your his her its our their i we you he she it they me him us them who what "
    "where when why how which and or but if so not no yes as at by for from in into of off on onto out over to up "
    "with is are was were be been am do does did don can t couldn wouldn let there here then than"
)
# Small words within a name.
PARTICLES: Final = words(
    "van von de der den del della di da dos das do du la le el al bin bint ibn ben ter ten zu zum af av"
)
# Words that follow the name of a street, a company or a building, but never that of a person.
THINGS: Final = words(
    "street road avenue lane drive st rd ave blvd boulevard court place square terrace way parkway highway trail "
    "turnpike bypass loop crescent close alley plaza harbor union greens gateway hill hills suite apt building tower "
    "bridge river lake mountain airport station park center centre inc ltd llc gmbh corp corporation company group "
    "bank university college institute hospital foundation orchestra museum church school investments partners "
    "associates technologies systems solutions services insurance holdings industries award prize cup stadium theatre "
    "theater law theorem algorithm test"
)
# A capital inside a word indicates a product or a class, except in McDonald, O'Hara and Anna-Maria.
_INNER: Final = regex.compile(r"(?<!\b(?:Mc|Mac|De|Di|La|Le|Van|Fitz))(?<=[\p{L}])\p{Lu}")
# Prefixes and suffixes of derived words: Transpiling, Specifiers, Unshared.
_DERIVED: Final = regex.compile(
    r"^(?:un|re|pre|non|de|dis|mis|over|sub|super|multi|auto|anti|co|inter)(?=\p{L}{3})|"
    r"(?<=\p{L}{3})(?:ings?|e?s|ed|ly|ers?|ors?|able|ible|ations?|less|ness|ful|isms?|ists?|i[sz]e[drs]?|ability|like)$"
)


class Vocabulary:
    """The lists, applied to words as written in a text."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def common(self, token: Token) -> bool:
        """Whether a word is common, and no evidence for a name."""
        word = token.word
        if "'" in word and word.partition("'")[0] in CLOSED:  # I'm, they've
            return True
        return word in self.lists.common or word in self.lists.groups

    def unheard(self, text: str, token: Token) -> bool:
        """Whether a word is written like a name and is not commonly known."""
        if token.initial:
            return True
        if not token.capital or self.common(token) or token.word in THINGS or token.word in CLOSED:
            return False
        written = text[token.start : token.end]
        if (token.shouted and len(written) < 5) or _INNER.search(written):
            return False
        return self.lists.known(token.word) or not any(map(self._heard, (written, *regex.split("[-'’]", written))))

    def _heard(self, part: str) -> bool:
        """Whether a word, or one of the words that a hyphen joins, is commonly known."""
        word = fold(part)
        if part in self.lists.famous or len(word) < 2 or word in self.lists.common:
            return True
        stem = _DERIVED.sub("", word)
        return len(stem) > 2 and any(base in self.lists.common for base in (stem, stem + "e", stem + "y", stem[:-1]))
