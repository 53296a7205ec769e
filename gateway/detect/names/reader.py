"""Finds entities in a NER worker: those of the model, of lists and of cues, without false positives.

A model alone misses names that its training text did not have, and takes headings, products and identifiers for names.
So there are three sources: the model (score 0.85), a cue around the name (0.8; 0.6 if other words may follow the cue),
and the lists (0.7 for a full name, 0.5 for a single word).

Config keys: `pii.ner.model`, `entities`, `score`.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import regex

from gateway.detect.names import cues
from gateway.detect.names.evidence import TIME, Evidence
from gateway.detect.names.lists import Lists, fold, load
from gateway.detect.names.tokens import Candidate, tokens
from gateway.detect.names.vocabulary import Vocabulary, words

LABELS: Final = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "NORP": "NRP",
}
"""Label of an entity in models -> its name in the gateway."""
_PARTS: Final = frozenset({"tok2vec", "transformer", "curated_transformer", "ner", "beam_ner", "entity_ruler"})
_MODEL: Final = 0.85  # the score of Presidio for entities of a model
_LEADING: Final = words("mr mrs ms miss mx dr prof sir madam hi hello dear hey the thanks regards")
# Text that is not prose: code, URLs, e-mail addresses, identifiers, placeholders.
_NO_PROSE: Final = regex.compile(
    r"```[\s\S]*?(?:```|\Z)|`[^`\n]+`|<[A-Z][A-Z0-9_]*_\d+>|\b(?:https?|ftp|file)://\S+|\bwww\.\S+|"
    r"(?:(?<!\S)|\G)\S[^\s@]{0,511}+@\S{1,511}\.\w+|"
    r"(?:\.{0,2}/|(?<![\w.\-])|\G(?=[\w.\-]{1,128}+/))(?:[\w.\-]++/){2,}+[\w.\-]*+|"
    r"\b[^\W_]*+_\w*+|\b\p{Ll}++\p{Lu}\w*+|\{[a-z_]+\}|\$\w+"
)
_FENCE: Final = regex.compile(r"```|`")
_WORD: Final = regex.compile(cues.WORD)
_GAP: Final = regex.compile(r"[ \u00a0]|\.[ \u00a0]")


class ModelError(Exception):
    """The model cannot be used. The message is the reason, and what to do."""


class Reader:
    """Finds the requested entities. Raises ModelError for a model that is not installed or finds no entities."""

    def __init__(self, model: str, entities: Iterable[str], score: float, lists: Lists | None = None) -> None:
        self._wanted = frozenset(entities)
        self._score = score
        self._lists = lists or load()
        self._evidence = Evidence(self._lists)
        self._vocabulary = Vocabulary(self._lists)
        self._nlp = _load(model) if model else None

    def read(self, texts: Sequence[str]) -> list[list[Candidate]]:
        """The entities of each text; some may overlap."""
        clean = [text.encode("utf-8", "replace").decode() for text in texts]  # models do not accept lone surrogates
        by_model = self._ask(clean)
        return [self._weigh(text, list(entities)) for text, entities in zip(clean, by_model, strict=True)]

    def _ask(self, texts: list[str]) -> Iterable[Iterable[Candidate]]:
        """The entities of the model."""
        if self._nlp is None:
            return [()] * len(texts)
        cased = [self._cased(text) for text in texts]
        with self._nlp.memory_zone():  # otherwise every new word would be kept forever
            return [
                [
                    Candidate(entity.start_char, entity.end_char, LABELS[entity.label_], _MODEL)
                    for entity in doc.ents
                    if entity.label_ in LABELS
                ]
                for doc in self._nlp.pipe(cased)
            ]

    def _cased(self, text: str) -> str:
        """A text without capitals, such as a chat, with known names capitalized, because models depend on capitals."""
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

    def _weigh(self, text: str, entities: list[Candidate]) -> list[Candidate]:
        """The candidates of all sources, without those that are not names."""
        closed = [match.span() for match in _NO_PROSE.finditer(text, timeout=TIME)]
        by_model = [one for one in (self._trimmed(text, one) for one in entities) if one is not None]
        # In a text without capitals, known words are capitalized: see `_cased`.
        found = [*by_model, *self._evidence.find(self._cased(text), by_model)]
        return [
            one
            for one in _settled(found)
            if one.entity in self._wanted
            and one.score >= self._score
            and not any(start < one.end and one.start < end for start, end in closed)
        ]

    def _trimmed(self, text: str, one: Candidate) -> Candidate | None:
        """A model's entity without the words around the name; None if nothing is left or it is not a name."""
        name = tokens(text, one.start, one.end)
        if one.entity in ("LOCATION", "ORGANIZATION"):
            if name and name[0].word == "the":
                name.pop(0)
        elif one.entity == "PERSON":
            while name and (name[0].word in _LEADING or not name[0].capital):
                name.pop(0)
            if any(char.isdigit() for char in text[one.start : one.end]) or all(map(self._vocabulary.common, name)):
                return None
        return one._replace(start=name[0].start) if name else None


def _settled(found: Iterable[Candidate]) -> list[Candidate]:
    """Candidates without overlaps: the highest score wins, then the longest.

    A candidate that touches a longer one of the same type is joined with it.
    """
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

    # spaCy's packages are named by folder and version: the settings are read before anything is loaded.
    package = spacy.util.get_package_path(model)
    meta = json.loads((package / "meta.json").read_text(encoding="utf-8"))
    folder = package / f"{meta['lang']}_{meta['name']}-{meta['version']}"
    components = spacy.util.load_config(folder / "config.cfg")["components"]
    nlp = spacy.load(model, exclude=[name for name, part in components.items() if part["factory"] not in _PARTS])
    if not nlp.pipe_names:
        raise ModelError(f"the spaCy model {model} has nothing that finds entities; it has {', '.join(components)}")
    return nlp
