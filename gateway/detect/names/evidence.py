"""Evidence for names besides the model: lists of names, cues around a name, and names next to it.

Every word is checked in `Lists`: a common English word counts as a name only with further evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import regex

from gateway.detect.names import cues
from gateway.detect.names.lists import Lists
from gateway.detect.names.prose import english
from gateway.detect.names.tokens import Candidate, Token, adjacent, tokens
from gateway.detect.names.vocabulary import CLOSED, PARTICLES, THINGS, Vocabulary, words

SURE, NAMED, LISTED, CUED, ALONE = 0.8, 0.75, 0.7, 0.6, 0.5
TIME: Final = 1.0  # maximum seconds of a pattern on a piece; after that the search fails, and with it the call


_LONGEST: Final = 4  # maximum words of a name, including particles
_LINK: Final = regex.compile(r"(?:,? (?:and|or|&) |, ?)")
_LANGUAGE: Final = regex.compile(r"\b(?i:in|into|to|speaks?|speaking|spoke|learn|learning|fluent in|from) \Z")
_BEFORE: Final = regex.compile(r"(?<![.!?:] )\b(\p{Ll}+),? \Z")
_WHERE: Final = words("in near around outside towards visit visiting from via through reach leave reached left")
_WHOM: Final = words("at joins joined founded")
_AMBIGUOUS: Final = words("polish labour orthodox democratic pole scot finn thai jain turk")
_SHORT: Final = words("inc co ltd corp bros llc l plc c s a v n")


class Evidence:
    """Finds evidence for names, with one set of lists."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._vocabulary = Vocabulary(lists)
        self._longest = max(place.count(" ") for place in lists.places) + 1  # words

    def find(self, text: str, by_model: Sequence[Candidate]) -> list[Candidate]:
        """All candidates for names, which may overlap; `by_model` are those of the model."""
        text_words = tokens(text)
        prose = english(text)
        strange = (
            one
            for one in self._strange(text, text_words)
            if any(low <= one.start and one.end <= high for low, high in prose)
        )
        found = [*self._cued(text), *self._listed(text, text_words), *strange]
        return [*found, *self._beside(text, text_words, [*by_model, *found])]

    # Cues

    def _cued(self, text: str) -> Iterator[Candidate]:
        """Candidates in the places where cues expect a name."""
        for pattern, sure in cues.PERSONS:
            for match in pattern.finditer(text, overlapped=True, timeout=TIME):
                found = self._person(text, *match.span("name"), sure)
                if found is not None:
                    yield found
        for entity, patterns in (("ORGANIZATION", cues.ORGANIZATIONS), ("LOCATION", cues.LOCATIONS)):
            for pattern in patterns:
                for match in pattern.finditer(text, timeout=TIME):
                    yield from self._thing(text, *match.span("name"), entity)

    def _person(self, text: str, start: int, end: int, sure: bool) -> Candidate | None:
        """The name at the beginning of a stretch: up to the first word that is not part of a name."""
        lists = self._lists
        name: list[Token] = []
        around = tokens(text, start, min(len(text), end + 24))
        for token in around:
            if token.start >= end or (name and not adjacent(text, name[-1], token)):
                break
            if token.word in PARTICLES and name:
                name.append(token)
                continue
            if self._vocabulary.common(token) and not (
                token.capital and ((name and token.word in lists.family) or (sure and token.word in lists.given))
            ):
                break
            known = lists.known(token.word)
            if not known and (not token.capital or (token.shouted and not text.isupper())):
                break
            name.append(token)
        while name and name[-1].word in PARTICLES:
            name.pop()
        if not name or (len(name) == 1 and name[0].initial):
            return None
        following = next((t for t in around if t.start >= name[-1].end), None)
        if not sure and following and following.word in THINGS and adjacent(text, name[-1], following):
            return None
        phrase = " ".join(token.word for token in name)
        if any(token.word in THINGS for token in name[1:]) or (phrase in lists.places and not sure):
            return None
        known = any(lists.known(token.word) for token in name)
        if (
            not sure
            and not known
            and not any(self._vocabulary.unheard(text, token) for token in name if not token.initial)
        ):
            return None
        stop = name[-1].end + (name[-1].initial and text[name[-1].end : name[-1].end + 1] == ".")
        return Candidate(name[0].start, stop, "PERSON", SURE if sure else NAMED if known else CUED)

    def _thing(self, text: str, start: int, end: int, entity: str) -> Iterator[Candidate]:
        """An organization or a place after a cue, without common words before it."""
        text_words = tokens(text, start, end)
        while text_words and (
            self._vocabulary.common(text_words[0]) or (entity == "LOCATION" and text_words[0].word in PARTICLES)
        ):
            if (
                entity == "ORGANIZATION"
                and len(text_words) > 1
                and text_words[0].start > 0
                and text[text_words[0].start - 2] not in ".\n"
            ):
                break  # the first word of a name such as General Electric, and not of a sentence
            text_words.pop(0)
        if text_words and text_words[0].capital and not all(map(self._vocabulary.common, text_words)):
            if text[end - 1] == "." and text_words[-1].word not in _SHORT:
                end -= 1
            yield Candidate(text_words[0].start, end, entity, CUED + 0.05)

    # Lists

    def _listed(self, text: str, text_words: Sequence[Token]) -> Iterator[Candidate]:
        """Full names, single names that are not English words, places, peoples."""
        at = 0
        while at < len(text_words):
            token = text_words[at]
            place = self._place(text, text_words, at)
            run = self._run(text, text_words, at)
            score = self._full_name(run)
            if score and len(run) >= place:
                stop = at + len(run)
                thing = (
                    stop < len(text_words)
                    and text_words[stop].word in THINGS
                    and adjacent(text, run[-1], text_words[stop])
                )
                if not thing:
                    yield Candidate(token.start, run[-1].end, "PERSON", score)
                    at = stop
                    continue
            if place:
                yield Candidate(token.start, text_words[at + place - 1].end, "LOCATION", LISTED - 0.02)
                at += place
                continue
            if token.capital and self._group(text, token):
                yield Candidate(token.start, token.end, "NRP", LISTED)
            at += 1

    def _group(self, text: str, token: Token) -> bool:
        """Whether a word is a people or a religion, and neither a language nor the first word of a sentence."""
        word, before = token.word, text[max(0, token.start - 12) : token.start]
        if word not in self._lists.groups or token.shouted or _LANGUAGE.search(before):
            return False
        return word not in _AMBIGUOUS or bool(_BEFORE.search(before))

    def _run(self, text: str, text_words: Sequence[Token], at: int) -> list[Token]:
        """The words from here on that could be one name."""
        run: list[Token] = []
        for token in text_words[at : at + _LONGEST + 1]:
            if run and not adjacent(text, run[-1], token):
                break
            if not token.capital and not (run and token.word in PARTICLES):
                break
            if token.word in self._lists.groups or (run and token.word in THINGS):
                break
            if run and token.shouted and self._vocabulary.common(token) and token.word not in self._lists.family:
                break
            run.append(token)
        while run and (run[-1].word in PARTICLES and not run[-1].capital):
            run.pop()
        return run[:_LONGEST]

    def _full_name(self, run: list[Token]) -> float:
        """The score of a run of words as the name of a person; 0 if it is not. Shortens the run to the name."""
        lists = self._lists
        if not run or run[0].word in CLOSED:
            return 0
        first, rest = run[0], [token for token in run[1:] if not token.initial and token.word not in PARTICLES]
        usual = first.word in lists.common
        if rest:
            family = [token for token in rest if lists.known(token.word)]
            strange = [token for token in rest if token.word not in lists.common and not token.shouted]
            sure = [token for token in family if token.word not in lists.common and not token.shouted]
            if first.word in lists.given and not usual and (family or strange):
                return LISTED
            if first.word in lists.given and sure:
                return CUED
            if first.word in lists.family and not usual and any(token.word in lists.given for token in sure):
                return CUED
            if first.initial and sure:
                return CUED
            if not usual and strange and any(token.initial for token in run[1:-1]) and not first.shouted:
                return CUED  # Ann B. Strange: only names have this form
        del run[1:]
        alone = first.word in lists.given and first.word not in lists.places and len(first.word) > 2
        return ALONE if alone and not usual and not first.shouted else 0

    def _place(self, text: str, text_words: Sequence[Token], at: int) -> int:
        """How many words from here on are a place in the lists."""
        if not text_words[at].capital:
            return 0
        best, phrase = 0, ""
        for count, token in enumerate(text_words[at : at + self._longest], 1):
            if count > 1 and not adjacent(text, text_words[at + count - 2], token):
                break
            phrase = f"{phrase} {token.word}" if phrase else token.word
            if phrase in self._lists.places and (count > 1 or not token.shouted or len(token.word) > 3):
                best = count
        return best

    def _strange(self, text: str, text_words: Sequence[Token]) -> Iterator[Candidate]:
        """Unknown capitalized words: two together are most likely a person; the type of one depends on its context."""
        at = 0
        while at < len(text_words):
            run: list[Token] = []
            while (
                at < len(text_words)
                and self._vocabulary.unheard(text, text_words[at])
                and (not run or adjacent(text, run[-1], text_words[at]))
            ):
                run.append(text_words[at])
                at += 1
            following = text_words[at] if at < len(text_words) else None
            thing = run and following and following.word in THINGS and adjacent(text, run[-1], following)
            names = [token for token in run if not token.initial]
            if len(names) >= 2 and len(run) <= _LONGEST and not thing and not any(token.shouted for token in run):
                yield Candidate(run[0].start, run[-1].end, "PERSON", ALONE - 0.05)
            if names and run[0] is names[0]:
                yield from self._alone(text, run, names, bool(thing))
            at += not run

    def _alone(self, text: str, run: Sequence[Token], names: Sequence[Token], thing: bool) -> Iterator[Candidate]:
        """The type of an unknown name, by the word before it."""
        start, end = run[0].start, run[-1].end
        before = _BEFORE.search(text, max(0, start - 12), start)
        if before is None:
            if len(names) == 1 and not thing and not run[0].shouted:
                yield Candidate(start, end, "PERSON", ALONE - 0.08)
            return
        known = len(names) == 1 and names[0].word in self._lists.given
        if before[1] in _WHERE and not known:
            yield Candidate(start, end, "LOCATION", ALONE)
        elif before[1] in _WHOM and not known:
            yield Candidate(start, end, "ORGANIZATION", ALONE)
        elif len(names) == 1 and not thing and not run[0].shouted:
            yield Candidate(start, end, "PERSON", ALONE - 0.08)

    # Names beside names

    def _beside(self, text: str, text_words: Sequence[Token], found: Sequence[Candidate]) -> Iterator[Candidate]:
        """In "Ann, Hleb and Bo" all are names if one is; a family name counts beside another."""
        people = {one.start for one in found if one.entity == "PERSON"}
        ends = {one.end for one in found if one.entity == "PERSON"}
        row: list[Token] = []
        for at, token in enumerate(text_words, 1):
            following = text_words[at] if at < len(text_words) else None
            if not token.capital or token.shouted or self._vocabulary.common(token):
                row = []
                continue
            row.append(token)
            if following is not None and _LINK.fullmatch(text, token.end, following.start):
                continue
            if (
                following is not None
                and following.word in ("and", "or")
                and text[token.end : following.start] in (" ", ", ")
            ):
                continue
            family = [one for one in row if one.word in self._lists.family]
            named = [one for one in row if one.start in people or one.end in ends]
            if len(row) > 1 and (len(family) > 1 or named):
                for one in row:
                    if one.start not in people and one.end not in ends:
                        yield Candidate(one.start, one.end, "PERSON", ALONE - 0.05)
            row = []
