"""Presidio alone, as the reference of the scanners: the same registry, a tokenizer instead of a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from presidio_analyzer.predefined_recognizers import PhoneRecognizer

from gateway.detect.core.context import TOKENS
from gateway.detect.core.rules import resolve
from gateway.detect.personal.patterns import LEFT_OUT
from gateway.detect.personal.scanner import canonical
from gateway.texts import Finding
from scan_samples import REGIONS

Reference = Callable[[str], list[Finding]]


class Words(NlpEngine):
    """A language engine without a model: splits words, and uses each word as its lemma."""

    def __init__(self, split: Callable[[str], Iterable[tuple[str, int]]]) -> None:
        self._split = split
        self._vocab = spacy.blank("en").vocab

    def load(self) -> None: ...

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        words = list(self._split(text))
        tokens = [word for word, _ in words]
        return NlpArtifacts([], tokens, [place for _, place in words], tokens, self, language)  # type: ignore[arg-type]

    def process_batch(self, texts: Any, language: str, *args: Any, **kwargs: Any) -> Any:
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return bool(self._vocab[word].is_stop)

    def is_punct(self, word: str, language: str) -> bool:
        return bool(self._vocab[word].is_punct)

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


def by_spacy() -> Words:
    """The words of spaCy's rule-based English tokenizer."""
    tokenize = spacy.blank("en").tokenizer
    return Words(lambda text: [(token.text, token.idx) for token in tokenize(text)])


def by_context() -> Words:
    """The words that `gateway.detect.core.context` sees."""
    return Words(lambda text: [(match.group(), match.start()) for match in TOKENS.finditer(text)])


def presidio(words: Words, regions: Sequence[str] = REGIONS, score: float = 0.4) -> Reference:
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())  # offline
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("PhoneRecognizer")
    registry.remove_recognizer("SpacyRecognizer")
    registry.add_recognizer(PhoneRecognizer(supported_regions=tuple(regions)))
    engine = AnalyzerEngine(registry=registry, nlp_engine=words)
    entities = [name for name in engine.get_supported_entities("en") if name not in LEFT_OUT]

    def findings(text: str) -> list[Finding]:
        results = engine.analyze(text, "en", entities=entities, score_threshold=score)
        return resolve(Finding(one.start, one.end, canonical(one.entity_type), one.score) for one in results)

    return findings
