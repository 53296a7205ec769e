"""Precision and recall of each kind of finding, compared with Presidio alone.

`python -m benchmarks.detection` scores the development samples of `shared/data`, and a corpus generated at run time:
values of Faker in many locales, in sentences of `TEMPLATES`, mixed with `HARMLESS` sentences. A finding counts if it
covers at least half of a label of its kind. Other modules add a section with a function in `SECTIONS`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from faker import Faker

from benchmarks import dialled, harmless, national, streets
from gateway.config.sections import Pii
from gateway.detect.personal.scanner import PiiScanner, canonical

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "pii_dev.jsonl"
LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "sv_SE", "pl_PL", "pt_BR", "en_AU", "da_DK")

Label = tuple[int, int, str]
Scan = Callable[[str], Iterable[Label]]


class Kind(NamedTuple):
    """Sentences with `{}` for a value, and the function that makes a value."""

    templates: tuple[str, ...]
    make: Callable[[Faker], str]


TEMPLATES: dict[str, Kind] = {
    "CREDIT_CARD": Kind(("Charge it to {}.", "My card {} was stolen", "{} expires"), lambda f: f.credit_card_number()),
    "EMAIL": Kind(("Write to {}.", "cc: {}", "<{}> wrote:"), lambda f: f.email()),
    "IBAN_CODE": Kind(("Pay into {} by Friday", "IBAN: {}", "Konto {}"), lambda f: f.iban()),
    "PHONE": Kind(("Call me on {} tonight", "Phone: {}", "My mobile is {}.", "Tel. {}"), lambda f: f.phone_number()),
    "IP_ADDRESS": Kind(("Host {} is down", "from {} port 22"), lambda f: random.choice((f.ipv4(), f.ipv6()))),
    "MAC_ADDRESS": Kind(("device {} joined", "MAC {}"), lambda f: f.mac_address()),
    "DATE_OF_BIRTH": Kind(
        ("She was born on {}.", "DOB: {}", "Date of birth {}", "geboren am {}", "né le {}"),
        lambda f: f.date_of_birth().strftime(random.choice(("%d.%m.%Y", "%Y-%m-%d", "%m/%d/%Y", "%d %B %Y"))),
    ),
    "STREET_ADDRESS": Kind(("I live at {}.", "Ship it to {} today"), lambda f: f.street_address()),
    "US_SSN": Kind(("My SSN is {}.", "Social security number: {}"), lambda _: Faker("en_US").ssn()),
    "ES_NIF": Kind(("Mi DNI es {}", "NIF {}"), lambda _: Faker("es_ES").nif()),
    "PL_PESEL": Kind(("PESEL: {}", "mój numer {}"), lambda _: Faker("pl_PL").pesel()),
    "URL_CREDENTIALS": Kind(("fetch {}/data", "DSN {}"), lambda f: f"ftp://{f.user_name()}:{f.password(special_chars=False)}@{f.domain_name()}"),
}  # fmt: skip
HARMLESS: tuple[Callable[[Faker], str], ...] = (
    lambda f: f"Order {f.random_number(9, True)} of {f.date()} came to {f.pyfloat(2, 2, True)} EUR.",
    lambda f: f"Build {f.random_number(5)} took {f.random_number(3)} s at {f.iso8601()}.",
    lambda f: f"Row {f.random_number(12, True)}: status {f.random_int(100, 599)}, id {f.uuid4()}.",
    lambda f: f"Commit {f.sha1()} bumps version {f.random_digit()}.{f.random_int(0, 30)}.{f.random_int(0, 30)}.",
    lambda f: f"In {f.year()} we sold {f.random_int(1000, 90000)} units; see chapter {f.random_int(1, 20)}.",
    lambda f: f.paragraph(),
)


def corpus(seed: int, size: int) -> list[tuple[str, list[Label]]]:
    """`size` sentences of each kind, and as many of each kind of harmless sentence."""
    random.seed(seed)
    Faker.seed(seed)
    fakers = [Faker(locale) for locale in LOCALES]
    made: list[tuple[str, list[Label]]] = []
    for entity, kind in TEMPLATES.items():
        for number in range(size):
            value = kind.make(fakers[number % len(fakers)])
            before, _, after = random.choice(kind.templates).partition("{}")
            made.append((before + value + after, [(len(before), len(before) + len(value), entity)]))
    made += [(harmless(random.choice(fakers)), []) for harmless in HARMLESS for _ in range(size)]
    return made


def samples() -> list[tuple[str, list[Label]]]:
    """The development samples; empty if they are missing."""
    if not DATA.is_file():
        return []
    read = map(json.loads, DATA.read_text().splitlines())
    return [(one["text"], [(s, e, canonical(kind)) for s, e, kind in one["spans"]]) for one in read]


class Score(NamedTuple):
    """Counts of labels, found labels, findings, and correct findings."""

    labels: int
    found: int
    findings: int
    right: int


def score(texts: Sequence[tuple[str, list[Label]]], scan: Scan) -> dict[str, Score]:
    """The counts of each kind that is labeled in the texts."""
    kinds = {label[2] for _, labels in texts for label in labels}
    labeled, found, findings, right = (Counter[str]() for _ in range(4))
    for text, labels in texts:
        told = [one for one in scan(text) if one[2] in kinds]
        labeled.update(label[2] for label in labels)
        findings.update(one[2] for one in told)
        found.update(label[2] for label in labels if any(_same(label, one) for one in told))
        right.update(one[2] for one in told if any(_same(label, one) for label in labels))
    return {kind: Score(labeled[kind], found[kind], findings[kind], right[kind]) for kind in sorted(kinds)}


def _same(label: Label, one: Label) -> bool:
    shared = min(label[1], one[1]) - max(label[0], one[0])
    return label[2] == one[2] and 2 * shared >= min(label[1] - label[0], one[1] - one[0])


def _presidio() -> Scan:
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Blank(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__()
            self.nlp = {"en": spacy.blank("en")}  # type: ignore[assignment]

        def load(self) -> None: ...

    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    engine = AnalyzerEngine(registry=registry, nlp_engine=Blank())
    return lambda text: [
        (one.start, one.end, canonical(one.entity_type)) for one in engine.analyze(text, "en", score_threshold=0.4)
    ]


def patterns(size: int, seed: int) -> list[str]:
    """The section on findings of patterns."""
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, ROOT / "var")
    theirs = _presidio()
    lines = []
    for title, texts in (("Made at run time", corpus(seed, size)), ("Development samples", samples())):
        ours = score(texts, lambda text: [one[:3] for one in scanner.scan(text)])
        other = score(texts, theirs)
        head = "| kind | labels | recall | precision | Presidio: recall | precision |"
        lines += [f"## {title}: {len(texts)} texts", "", head, "|---|---|---|---|---|---|"]  # fmt: skip
        for kind, one in ours.items():
            if one.findings or other[kind].findings:
                lines.append(f"| {kind} | {one.labels} | {_rates(one)} | {_rates(other[kind])} |")
        lines.append("")
    return lines


def _rates(one: Score) -> str:
    recall = f"{one.found / one.labels:.2f}" if one.labels else "-"
    return f"{recall} | {one.right / one.findings:.2f}" if one.findings else f"{recall} | -"


PHONES: dict[str, tuple[str, ...]] = {
    "a word before it": TEMPLATES["PHONE"].templates,
    "a word after it": ("{} (mobile)", "{} is my phone number", "{} - office"),
    "no word": ("Anna, {}, Berlin", "- {}", "Try {} or come by."),
}
ABROAD = ("fi_FI", "cs_CZ", "tr_TR", "ko_KR", "hu_HU", "pt_PT", "el_GR", "no_NO", "ro_RO", "sk_SK")


def phones(size: int, seed: int) -> list[str]:
    """The section on phone numbers: by region and by the words around them."""
    random.seed(seed)
    Faker.seed(seed)
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, ROOT / "var")
    lines = ["## Phone numbers by region and by the words around them", ""]
    lines += ["| numbers of | a word before | a word after | no word |", "|---|---|---|---|"]
    for title, locales in (("the regions of the configuration", LOCALES), ("other regions", ABROAD)):
        fakers = [Faker(locale) for locale in locales]
        cells = []
        for templates in PHONES.values():
            found = 0
            for number in range(size):
                value = fakers[number % len(fakers)].phone_number()
                text = random.choice(templates).replace("{}", value)
                at = text.index(value)
                label = (at, at + len(value), "PHONE")
                found += any(_same(label, (one.start, one.end, one.entity)) for one in scanner.scan(text))
            cells.append(f"{found / size:.2f}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "Recall. What stands after a number counts for nothing: a stream would have to wait for it.",
        "",
    ]


def names(size: int, seed: int) -> list[str]:  # noqa: ARG001  # its corpus has seeds of its own
    """The section on names, places and organizations: without a model, and with each of `MODELS` that is installed."""
    from benchmarks.names import report

    lines = []
    for model in ("", *(name for name in MODELS if find_spec(name))):
        lines += [
            f"## Names: {f'with the spaCy package {model}' if model else 'without a model'}",
            "",
            *report(model),
            "",
        ]
    return lines


def secrets(size: int, seed: int) -> list[str]:  # noqa: ARG001  # samples and installed text are what they are
    """The section on keys, tokens and passwords."""
    from benchmarks.secrets import section

    return ["## Secrets", "", section(), ""]


def others(size: int, seed: int) -> list[str]:  # noqa: ARG001  # as above
    """The sections on SQL, injection and URLs."""
    from benchmarks import injection, sql, urls

    lines = ["## SQL", "", *sql.section(), ""]
    lines += ["## Instructions to the model: share of texts that score so much", "", injection.section(), ""]
    return [*lines, "## URLs that are ordinary, and refused", "", urls.section(), ""]


MODELS = ("en_core_web_sm", "en_core_web_md", "en_core_web_lg")
SECTIONS: tuple[Callable[[int, int], list[str]], ...] = (
    patterns,
    phones,
    dialled.section,
    streets.section,
    harmless.section,
    national.section,
    secrets,
    names,
    others,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Score and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description="Precision and recall.")
    parser.add_argument("--size", type=int, default=120, help="sentences of each kind")
    parser.add_argument("--seed", type=int, default=20, help="of the corpus")
    parser.add_argument("--out", type=Path, help="where detection.md goes; left out: printed only")
    options = parser.parse_args(argv)
    lines = ["# What is found", "", f"`python -m benchmarks.detection --seed {options.seed} --size {options.size}`", ""]
    for section in SECTIONS:
        lines += section(options.size, options.seed)
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if options.out:
        (options.out / "detection.md").write_text(text)
        (options.out / "detection.json").write_text(json.dumps({"rows": _rows(text)}, indent=1) + "\n")
    return 0


def _rows(text: str) -> list[Any]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


if __name__ == "__main__":
    raise SystemExit(main())
