"""Presidio's recognizers in a table, from the installed versions of Presidio and spaCy: `make reference` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from presidio_analyzer import predefined_recognizers
from spacy.lang.en.stop_words import STOP_WORDS

from gateway.detect.personal.identities import IDENTITIES

TABLE = Path(__file__).parent.parent / "gateway" / "detect" / "personal" / "presidio.json"
_OTHERS = ("EmailRecognizer", "IpRecognizer", "MacAddressRecognizer", "PhoneRecognizer")


def classes() -> list[str]:
    """The classes of Presidio that are in use."""
    return sorted({one.recognizer for one in IDENTITIES if "." not in one.recognizer}.union(_OTHERS))


def written() -> str:
    """The file, with a line for each recognizer."""
    entries = (f"{json.dumps(name)}: {json.dumps(_entry(name), ensure_ascii=False)}" for name in classes())
    words = json.dumps(sorted(STOP_WORDS), ensure_ascii=False)
    return '{"stop_words": ' + words + ',\n"recognizers": {\n' + ",\n".join(entries) + "\n}}\n"


def _entry(name: str) -> dict[str, Any]:
    one = getattr(predefined_recognizers, name)()
    entry: dict[str, Any] = {
        "name": one.name,
        "module": type(one).__module__.removeprefix("presidio_analyzer."),
        "entities": one.supported_entities,
    }
    if patterns := getattr(one, "patterns", None):
        entry["patterns"] = [(each.name, each.regex, each.score) for each in patterns]
        entry["flags"] = int(one.global_regex_flags)
    if name in _OTHERS:
        entry["context"] = one.context
    if hasattr(one, "SCORE"):
        entry["score"] = one.SCORE
    if (pairs := getattr(one, "replacement_pairs", None)) is not None:
        entry["replacement_pairs"] = pairs
    return entry


if __name__ == "__main__":
    TABLE.write_text(written(), encoding="utf-8")
