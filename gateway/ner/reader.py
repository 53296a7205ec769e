"""What a NER worker makes of a text: the model's entities, those of lists and cues, and what is none of them after all.

A model alone misses names that its training text did not have, and takes headings, products and identifiers for
names. So three witnesses speak: the model (score 0.85), a cue around the name (0.8; 0.6 where other words may follow
it), a list that knows it (0.7 for a full name, 0.5 for a single word).

Config keys: `pii.ner.model`, `entities`, `score`.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import regex

from gateway.ner import cues
from gateway.ner.lists import Lists, fold, load

LABELS: Final = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "NORP": "NRP",
}
"""What models call entities -> what they are called here."""
_PARTS: Final = frozenset({"tok2vec", "transformer", "curated_transformer", "ner", "beam_ner", "entity_ruler"})
_MODEL, _SURE, _CUED, _LISTED, _ALONE = 0.85, 0.8, 0.6, 0.7, 0.5
_TIME: Final = 1.0  # seconds a pattern may take on a piece; what takes longer fails, and with it the call
# What is no prose: code, addresses of the net, e-mail, identifiers, our own placeholders.
_NO_PROSE: Final = regex.compile(
    r"```[\s\S]*?(?:```|\Z)|`[^`\n]+`|<[A-Z][A-Z0-9_]*_\d+>|\b(?:https?|ftp|file)://\S+|\bwww\.\S+|\S+@\S+\.\w+|"
    r"(?:\.{0,2}/)?(?:[\w.\-]+/){2,}[\w.\-]*|\b\w*(?:\d\w*_|_\w*)\w*\b|\b\p{Ll}+\p{Lu}\w*\b|\{[a-z_]+\}|\$\w+"
)
_FENCE: Final = regex.compile(r"```|`")
_WORD: Final = regex.compile(cues.WORD)
_GAP: Final = regex.compile(r"[ \u00a0]|\.[ \u00a0]")
_ENDS: Final = regex.compile(r"(?:^|[.!?:;\n\"“(\[>*#\-–—•|])[\s\"'“(\[*#]*\Z")


class ModelError(Exception):
    """The model cannot be used: why, and what to do."""


class Candidate(NamedTuple):
    """An entity that may be one: [start, end), type, how sure."""

    start: int
    end: int
    entity: str
    score: float


class _Token(NamedTuple):
    start: int
    end: int
    word: str  # folded
    capital: bool


class Reader:
    """Finds the wanted entities. Raises ModelError for a model that is not there or finds nothing."""

    def __init__(self, model: str, entities: Iterable[str], score: float, lists: Lists | None = None) -> None:
        self._wanted = frozenset(entities)
        self._score = score
        self._lists = lists or load()
        self._nlp = _load(model) if model else None

    def read(self, texts: Sequence[str]) -> list[list[Candidate]]:
        """The entities of each text; some may overlap."""
        clean = [text.encode("utf-8", "replace").decode() for text in texts]  # lone surrogates are no text for a model
        told = self._ask(clean)
        return [self._weigh(text, list(said)) for text, said in zip(clean, told, strict=True)]

    def _ask(self, texts: list[str]) -> Iterable[Iterable[Candidate]]:
        """What the model says."""
        if self._nlp is None:
            return [()] * len(texts)
        cased = [self._cased(text) for text in texts]
        with self._nlp.memory_zone():  # else every new word would be kept for good
            return [
                [
                    Candidate(entity.start_char, entity.end_char, LABELS[entity.label_], _MODEL)
                    for entity in doc.ents
                    if entity.label_ in LABELS
                ]
                for doc in self._nlp.pipe(cased)
            ]

    def _cased(self, text: str) -> str:
        """A text without capitals, as chats have it, with those of the words that lists know: models go by them."""
        if any(map(str.isupper, text)):
            return text
        lists = self._lists

        def capital(match: regex.Match[str]) -> str:
            word = match.group()
            folded = fold(word)
            known = lists.known(folded) or folded in lists.places or folded in lists.groups
            title = word[0].upper() + word[1:]
            return title if known and folded not in lists.common and len(title) == len(word) else word

        return _WORD.sub(capital, text)

    def _weigh(self, text: str, said: list[Candidate]) -> list[Candidate]:
        """All witnesses together, less what is no name."""
        closed = [match.span() for match in _NO_PROSE.finditer(text, timeout=_TIME)]
        found = [self._trimmed(text, one) for one in said]
        found += self._cued(text)
        found += self._listed(text)
        return [
            one
            for one in _settled(one for one in found if one is not None)
            if one.entity in self._wanted
            and one.score >= self._score
            and not any(start < one.end and one.start < end for start, end in closed)
        ]

    def _trimmed(self, text: str, one: Candidate) -> Candidate | None:
        """A model's entity without the words around a name; None where nothing is left or it is no name."""
        tokens = self._tokens(text, one.start, one.end)
        if one.entity in ("LOCATION", "ORGANIZATION"):
            if tokens and tokens[0].word == "the":
                tokens.pop(0)
        elif one.entity == "PERSON":
            while tokens and (tokens[0].word in _LEADING or not tokens[0].capital):
                tokens.pop(0)
            if any(char.isdigit() for char in text[one.start : one.end]):
                return None
        if not tokens or (
            all(token.word in self._lists.common and token.word not in self._lists.given for token in tokens)
            and one.entity == "PERSON"
        ):
            return None
        return one._replace(start=tokens[0].start)

    def _cued(self, text: str) -> Iterator[Candidate]:
        """What stands where a name would stand."""
        for pattern, sure in cues.PERSONS:
            for match in pattern.finditer(text, overlapped=True, timeout=_TIME):
                found = self._person(text, *match.span("name"), sure)
                if found is not None:
                    yield found
        for pattern in cues.ORGANIZATIONS:
            for match in pattern.finditer(text, timeout=_TIME):
                yield from self._named(text, match, "ORGANIZATION")
        for pattern in cues.LOCATIONS:
            for match in pattern.finditer(text, timeout=_TIME):
                yield from self._named(text, match, "LOCATION")

    def _person(self, text: str, start: int, end: int, sure: bool) -> Candidate | None:
        """The name at the beginning of a stretch: up to the first word that is none."""
        lists = self._lists
        name: list[_Token] = []
        for token in self._tokens(text, start, end):
            if name and not _GAP.fullmatch(text, name[-1].end, token.start):
                break
            if (token.word in lists.common or token.word in lists.groups) and not (
                token.capital and ((name and token.word in lists.family) or (sure and token.word in lists.given))
            ):
                break
            if not token.capital and not lists.known(token.word) and token.word not in _PARTICLES:
                break
            name.append(token)
        while name and name[-1].word in _PARTICLES and not name[-1].capital:
            name.pop()
        if not name:
            return None
        words = [token.word for token in name]
        known = any(map(lists.known, words))
        if " ".join(words) in lists.places and not sure:
            return None
        if not name[0].capital and not known:
            return None
        stop = name[-1].end + (len(name[-1].word) == 1 and text[name[-1].end : name[-1].end + 1] == ".")
        return Candidate(name[0].start, stop, "PERSON", _SURE if sure or known else _CUED)

    def _named(self, text: str, match: regex.Match[str], entity: str) -> Iterator[Candidate]:
        """An organisation or a place that a cue names, less common words in front of it."""
        start, end = match.span("name")
        tokens = self._tokens(text, start, end)
        while tokens and (tokens[0].word in self._lists.common or tokens[0].word in self._lists.groups):
            if entity == "ORGANIZATION" and len(tokens) > 1 and not self._begins(text, tokens[0].start):
                break
            tokens.pop(0)
        if tokens and tokens[0].capital:
            yield Candidate(tokens[0].start, end, entity, _CUED + 0.05)

    def _listed(self, text: str) -> Iterator[Candidate]:
        """What lists know: full names, single names that are no English word, places, peoples."""
        lists = self._lists
        tokens = self._tokens(text, 0, len(text))
        lower = not any(token.capital for token in tokens)
        at = 0
        while at < len(tokens):
            token = tokens[at]
            place = self._place(text, tokens, at)
            if token.capital or lower:
                run = self._run(text, tokens, at, lower)
                score = self._full_name(run, lower)
                if score and len(run) >= place:
                    yield Candidate(token.start, run[-1].end, "PERSON", score)
                    at += len(run)
                    continue
            if place:
                yield Candidate(token.start, tokens[at + place - 1].end, "LOCATION", _LISTED - 0.02)
                at += place
                continue
            if token.word in lists.groups and token.capital:
                yield Candidate(token.start, token.end, "NRP", _LISTED)
            at += 1

    def _run(self, text: str, tokens: Sequence[_Token], at: int, lower: bool) -> list[_Token]:
        """The words from here on that could be one name."""
        run = [tokens[at]]
        for token in tokens[at + 1 : at + 6]:
            if not _GAP.fullmatch(text, run[-1].end, token.start):
                break
            if "." in text[run[-1].end : token.start] and len(run[-1].word) > 1:
                break
            if not (token.capital or lower) and token.word not in _PARTICLES:
                break
            if token.word in self._lists.groups or (lower and token.word in self._lists.common):
                break
            run.append(token)
        while len(run) > 1 and (run[-1].word in _PARTICLES or run[-1].word in _NEVER):
            run.pop()
        return run[:4]

    def _full_name(self, run: list[_Token], lower: bool) -> float:
        """How sure a run of words is somebody's name; 0: not. Shortens the run to the name."""
        lists = self._lists
        first = run[0].word
        if first in lists.common and not (len(run) > 1 and first in lists.given):
            return 0
        if len(run) > 1:
            rest = [token.word for token in run[1:] if len(token.word) > 1 and token.word not in _PARTICLES]
            family = [word for word in rest if lists.known(word)]
            strange = [word for word in rest if word not in lists.common]
            if first in lists.given and (family or (strange and not lower)) and first not in lists.common:
                return _LISTED
            if first in lists.given and family and not lower and not (set(family) <= lists.common):
                return _LISTED - 0.1
            if first in lists.family and any(word in lists.given for word in rest) and not lower:
                return _LISTED - 0.1
            if len(first) == 1 and family and not lower:
                return _LISTED - 0.1
        del run[1:]
        alone = first in lists.given and first not in lists.places and len(first) > 2
        return _ALONE if alone and not lower and first not in lists.common else 0

    def _place(self, text: str, tokens: Sequence[_Token], at: int) -> int:
        """How many words from here on are a place that the lists know; 0: none."""
        if not tokens[at].capital:
            return 0
        best = 0
        phrase = ""
        for count, token in enumerate(tokens[at : at + self._lists.longest_place], 1):
            if count > 1 and not _GAP.fullmatch(text, tokens[at + count - 2].end, token.start):
                break
            phrase = f"{phrase} {token.word}" if phrase else token.word
            if phrase in self._lists.places:
                best = count
        return best

    def _begins(self, text: str, at: int) -> bool:
        """Whether a sentence, a line or a heading begins here, where a capital says nothing."""
        return bool(_ENDS.search(text, max(0, at - 8), at)) or at == 0

    def _tokens(self, text: str, start: int, end: int) -> list[_Token]:
        """The words of a stretch."""
        tokens = []
        for match in _WORD.finditer(text, start, end):
            low, high = match.span()
            word = match.group()
            if word[-2:] in ("'s", "’s"):
                word, high = word[:-2], high - 2
            tokens.append(_Token(low, high, fold(word), word[0].isupper()))
        return tokens


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_PARTICLES: Final = _set(
    "van von de der den del della di da dos das do du la le el al bin bint ibn ben ter ten zu zum af av"
)
_LEADING: Final = _set("mr mrs ms miss mx dr prof sir madam hi hello dear hey the thanks regards")
_NEVER: Final = _set(
    "street road avenue lane drive st rd ave blvd inc ltd llc gmbh corp company university hospital bank"
)


def _settled(found: Iterable[Candidate]) -> list[Candidate]:
    """Overlaps decided: the surest wins, then the longest; what touches a longer one of its own kind joins it."""
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda one: (-one.score, one.start - one.end, one)):
        clash = [other for other in kept if other.start < one.end and one.start < other.end]
        if not clash:
            kept.append(one)
        elif all(other.entity == one.entity for other in clash):
            for other in clash:
                kept.remove(other)
            low, high = min(one.start, *(o.start for o in clash)), max(one.end, *(o.end for o in clash))
            kept.append(Candidate(low, high, one.entity, max(other.score for other in clash)))
    return sorted(kept)


def _load(model: str) -> Any:
    """The parts of an installed spaCy pipeline that find entities."""
    try:
        importlib.metadata.distribution(model)
    except importlib.metadata.PackageNotFoundError:
        raise ModelError(f"the spaCy model {model} is not installed: run python -m spacy download {model}") from None
    import spacy

    # Named by folder and version, as spaCy's packages are: the settings are read before anything is loaded.
    package = spacy.util.get_package_path(model)
    meta = json.loads((package / "meta.json").read_text(encoding="utf-8"))
    folder = package / f"{meta['lang']}_{meta['name']}-{meta['version']}"
    components = spacy.util.load_config(folder / "config.cfg")["components"]
    nlp = spacy.load(model, exclude=[name for name, part in components.items() if part["factory"] not in _PARTS])
    if not nlp.pipe_names:
        raise ModelError(f"the spaCy model {model} has nothing that finds entities; it has {', '.join(components)}")
    return nlp
