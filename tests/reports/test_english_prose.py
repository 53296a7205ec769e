"""Unknown words are names only in English prose: not in other languages, code, data, logs and tables."""

from __future__ import annotations

import pytest

from gateway.detect.names.prose import english
from gateway.detect.names.reader import Reader


@pytest.fixture(scope="module")
def reader() -> Reader:
    """Without a model: lists and cues."""
    return Reader("", ["PERSON", "LOCATION"], 0.4)


@pytest.mark.parametrize(
    "text",
    [
        "Die Bundesregierung plant eine Reform der Krankenversicherung, damit die Beitragszahler entlastet werden.",
        "Bitte senden Sie die Rechnung an die Buchhaltung. Der Vertrag läuft am Jahresende aus.",
        "Le Conseil municipal a voté la Délibération. Les Lyonnais attendent la Rénovation du Quartier.",
        "class WidgetFactory(BaseBuilder):\n    def build(self, Spec):\n        return Gizmo(Spec)\n",
        "import Foozle from './foozle';\nexport const Barker = () => <Quux Zorp={Frob} />;",
        '{"Zorgle": "Blarf", "Frobnitz": {"Quux": "Xyzzy"}}',
        "2024-01-02 10:11:12 INFO Zookeepr: Qorum lost\n2024-01-02 10:11:13 WARN Frobd: Retrying Blarfd",
        "| Bezeichnung | Menge | Einzelpreis |\n|---|---|---|\n| Schraube | 4 | 2 |",
        "Artikel\tMenge\tPreis\nMutter\t3\t4\nUnterlegscheibe\t9\t1",
    ],
)
def test_capitals_elsewhere_are_no_names(reader: Reader, text: str) -> None:
    """Nouns, classes, keys, headings."""
    assert reader.read([text]) == [[]]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Please tell Oluwadamilola that the parcel is here.", "Oluwadamilola"),
        ("I met Hleb Kazlou at the station.", "Hleb Kazlou"),
        ("Yesterday my boss flew home and Szczepanek was in a hurry.", "Szczepanek"),
        ("Die Rechnung ist da.\n\nPlease tell Oluwadamilola that it is here.", "Oluwadamilola"),
    ],
)
def test_names_of_no_list_in_english(reader: Reader, text: str, name: str) -> None:
    """The paragraph decides, not the whole text."""
    [found] = reader.read([text])
    assert name in [text[one.start : one.end] for one in found]


def test_paragraphs() -> None:
    """Each for itself; stretches are those of the text."""
    text = "The first is about it.\n\nDas ist nicht so.\n\nAnd this is the last."
    assert [text[low:high] for low, high in english(text)] == ["The first is about it.", "And this is the last."]
