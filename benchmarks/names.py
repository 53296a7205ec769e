"""Precision and recall of names, places and organizations: `python -m benchmarks.names [--model PACKAGE]`.

Three sources: the development sample (`../shared/data`, if present); sentences written for this file, with names of
locales that are excluded from the lists; and text without personal data, for false positives. Cues were tuned on misses
of the first two sources, so expect less on new text. Without `--model`, no model is used.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import regex
from faker import Faker

from benchmarks.name_lists import collect
from gateway.detect.names.reader import Reader
from gateway.detect.names.tokens import Candidate

ENTITIES = ("PERSON", "LOCATION", "ORGANIZATION", "NRP")
LABELS = {"PERSON": "PERSON", "GPE": "LOCATION", "ORGANIZATION": "ORGANIZATION", "NRP": "NRP"}
SAMPLE = Path(__file__).parent.parent.parent / "shared" / "data" / "pii_dev.jsonl"
# Their names are not in the lists that are used for the second source.
UNKNOWN = ("nl_NL", "pl_PL", "tr_TR", "fi_FI", "pt_BR", "en_IN", "en_NG", "hu_HU", "id_ID", "ro_RO", "cs_CZ", "en_IE")
LATIN = regex.compile(r"[\p{Latin}\p{M}'’. \-&,]+")

TEMPLATES = (
    "Could you draft a reply to {PERSON}? She complained about the late delivery again.",
    "{PERSON} will be out of office until Monday, so please loop in {PERSON} instead.",
    "Summarize the call with {PERSON} from this morning in three bullet points.",
    "We signed the lease with {PERSON} last week; the flat is in {LOCATION}.",
    "Patient {PERSON}, 54, was admitted with chest pain and discharged after two days.",
    "Hi team,\n\nplease welcome {PERSON}, who joins us from {ORGANIZATION}.\n\nBest,\n{PERSON}",
    "Dear {PERSON},\n\nthank you for your order. It ships to {LOCATION} tomorrow.\n\nKind regards,\n{PERSON}",
    '{{"customer": {{"name": "{PERSON}", "city": "{LOCATION}"}}, "items": 3}}',
    "name: {PERSON}\nrole: site manager\nlocation: {LOCATION}",
    "my landlord {PERSON} won't give back the deposit, what can I do?",
    "Write a birthday poem for my colleague {PERSON}, who loves sailing.",
    "According to {PERSON}, the merger with {ORGANIZATION} will close in June.",
    "{PERSON} and {PERSON} got married in {LOCATION} in 2011.",
    "Is it true that {PERSON} used to work for {ORGANIZATION}?",
    "Book a table for two under the name {PERSON}, please.",
    "I have an interview at {ORGANIZATION} on Thursday. Any advice?",
    "The contract between {ORGANIZATION} and {ORGANIZATION} ends this year.",
    "My flight to {LOCATION} was cancelled and nobody answers the phone.",
    "What is the best way to get from {LOCATION} to {LOCATION} by train?",
    "We opened a second warehouse near {LOCATION} in spring.",
    "Invoice for {ORGANIZATION}, attention {PERSON}, due in 30 days.",
    "Prof. {PERSON} supervised my thesis on soil erosion.",
    "Remind {PERSON} that the samples must reach {LOCATION} before Friday.",
    "The suspect, identified as {PERSON}, was last seen in {LOCATION}.",
    "{PERSON}'s blood test came back normal, tell her mother.",
    "Meeting notes. Present: {PERSON}, {PERSON}, {PERSON}. Apologies: {PERSON}.",
    "User: who is my account manager?\nAgent: That would be {PERSON}.",
    "I'm {PERSON}, I lost my card and need a new one.",
    "The keynote was given by {PERSON}, head of research at {ORGANIZATION}.",
    "Translate this into French: '{PERSON} lives in {LOCATION} with his two sons.'",
    "please check whether {person} has paid the invoice from march",
    "this is {person}, i can't log in since yesterday",
    "Forward the payslip of {PERSON} to HR and cc {PERSON}.",
    "He grew up in {LOCATION}, studied law and later founded {ORGANIZATION}.",
    "Our {NRP} customers prefer to pay by bank transfer.",
    "She is {NRP}, but has lived in {LOCATION} since 2015.",
    "Candidate: {PERSON}\nStrengths: negotiation, planning\nWeaknesses: spelling",
    "Ticket 4411: {PERSON} reports that the printer on floor 3 is jammed.",
    "From: {PERSON} <info@example.org>\nTo: {PERSON} <sales@example.org>\nSubject: offer",
    "Tell me a story in which {PERSON} finds a treasure map in the attic.",
)
NATIONS = ("Dutch", "Polish", "Turkish", "Finnish", "Brazilian", "Nigerian", "Hungarian", "Czech", "Irish", "Romanian")

HARMLESS = (
    "Write a Python function that merges two sorted lists and returns the result. Add type hints and a docstring.",
    "Refactor the following class so that the constructor takes a Config object instead of six separate arguments.",
    "Explain the difference between a process and a thread. When would you use an async event loop instead of either?",
    "Our release notes should mention Faster Startup, Lower Memory Use and Better Error Messages, in this order.",
    "# Getting Started\n\n## Installation\n\nRun the installer and follow the steps. Restart your shell afterwards.\n",
    "The Settings page has three tabs: General, Privacy and Advanced. Open Advanced and switch Developer Mode on.",
    "Convert this CSV to JSON, sort it by Total Amount, and drop rows in which Status is Cancelled or Refunded.",
    "GET /v1/orders returns HTTP 500 when the Accept header is missing. Stack trace: ValueError in OrderSerializer.",
    "Give me a recipe for Tomato Soup with Basil. I have Olive Oil, Garlic and Onions at home, but no Cream.",
    "Question 3: Which of these is a mammal? A) Whale B) Shark C) Salmon D) Tuna. Please answer with one letter.",
    "SELECT Name, Total FROM Orders WHERE Status = 'Open' ORDER BY Total DESC; is slow on our largest table.",
    "To Do: Update Dependencies, Fix Login Bug, Write Release Notes, Review Pull Request, Deploy To Production.",
    "On Monday we plan, on Wednesday we review, and on Friday we ship. In December there is a freeze.",
    "Use Bold for headings, Italic for emphasis and Monospace for code. Keep Title Case out of body text.",
    "The Quick Start Guide says: Press And Hold The Power Button For Ten Seconds, Then Release It.",
    "Great Expectations? No, I just want the unit tests to pass. Thanks! Let me know if anything is unclear.",
    "Add a Dockerfile with a multi-stage build, expose port 8080, and set the Entrypoint to the compiled binary.",
    "What are the pros and cons of Microservices, Event Sourcing and Domain Driven Design for a small team?",
    "Our Privacy Policy, Terms of Service and Cookie Notice need a plain language version. Keep each under a page.",
    "Error: Cannot read properties of undefined (reading 'map'). The component is rendered before data has loaded.",
)


class Labeled(NamedTuple):
    """A text and its labels: (start, end, entity)."""

    text: str
    spans: list[tuple[int, int, str]]
    other: list[tuple[int, int]]  # personal data of other types, which is not scored


def sample() -> list[Labeled]:
    """The development sample; empty if it is missing."""
    if not SAMPLE.exists():
        return []
    rows = map(json.loads, SAMPLE.read_text(encoding="utf-8").splitlines())
    return [
        Labeled(
            row["text"],
            [(start, end, LABELS[label]) for start, end, label in row["spans"] if label in LABELS],
            [(start, end) for start, end, label in row["spans"] if label not in LABELS],
        )
        for row in rows
    ]


def written(rounds: int = 8, seed: int = 7) -> list[Labeled]:
    """The sentences of this file, filled with names of `UNKNOWN` locales in Latin script."""
    chance = random.Random(seed)
    Faker.seed(seed)
    fakers = [Faker(locale) for locale in UNKNOWN]

    def person(fake: Faker) -> str:
        return f"{fake.first_name()} {fake.last_name()}" if chance.random() < 0.8 else str(fake.first_name())

    makers: dict[str, Callable[[Faker], str]] = {
        "PERSON": person,
        "LOCATION": lambda fake: str(fake.city()),
        "ORGANIZATION": lambda fake: str(fake.company()),
        "NRP": lambda _: chance.choice(NATIONS),
    }

    def value(kind: str) -> str:
        while True:
            made = makers[kind.upper()](chance.choice(fakers))
            if LATIN.fullmatch(made):
                return made.lower() if kind.islower() else made

    return [_fill(template, value) for _ in range(rounds) for template in TEMPLATES]


def _fill(template: str, value: Callable[[str], str]) -> Labeled:
    text, spans, at = "", [], 0
    for match in regex.finditer(r"\{(\w+)\}|\{\{|\}\}", template):
        text += template[at : match.start()]
        if match[1]:
            name = value(match[1])
            spans.append((len(text), len(text) + len(name), match[1].upper()))
            text += name
        else:
            text += match.group()[0]
        at = match.end()
    return Labeled(text + template[at:], spans, [])


class Score(NamedTuple):
    """Counts of one entity: labels, found labels, findings, correct findings."""

    there: int
    found: int
    claimed: int
    right: int


def score(rows: Sequence[Labeled], found: Sequence[Sequence[Candidate]], entity: str) -> Score:
    """Count findings; a finding is correct if it overlaps a label of its type."""
    counts: Counter[str] = Counter()
    for row, claims in zip(rows, found, strict=True):
        spans = [span for span in row.spans if span[2] == entity]
        mine = [claim for claim in claims if claim.entity == entity]
        counts["there"] += len(spans)
        counts["found"] += sum(any(c.start < end and start < c.end for c in mine) for start, end, _ in spans)
        mine = [claim for claim in mine if not _within(claim, row.other)]
        counts["claimed"] += len(mine)
        counts["right"] += sum(any(c.start < end and start < c.end for start, end, _ in spans) for c in mine)
    return Score(counts["there"], counts["found"], counts["claimed"], counts["right"])


def _within(claim: Candidate, spans: Sequence[tuple[int, int]]) -> bool:
    return any(claim.start < end and start < claim.end for start, end in spans)


def characters(rows: Sequence[Labeled], found: Sequence[Sequence[Candidate]]) -> Score:
    """The same by character, regardless of type: the text that a reader of the redacted text would still see."""
    counts: Counter[str] = Counter()
    for row, claims in zip(rows, found, strict=True):
        there = {at for start, end, _ in row.spans for at in range(start, end)}
        other = {at for start, end in row.other for at in range(start, end)}
        claimed = {at for claim in claims for at in range(claim.start, claim.end)}
        counts["there"] += len(there)
        counts["found"] += len(there & claimed)
        counts["claimed"] += len(claimed)
        counts["right"] += len(claimed & (there | other))
    return Score(counts["there"], counts["found"], counts["claimed"], counts["right"])


def report(model: str = "") -> Iterator[str]:
    """The tables as lines of Markdown."""
    yield f"| source | entity | there | recall | precision |{chr(10)}|---|---|---|---|---|"
    every, blind = Reader(model, ENTITIES, 0.4), Reader(model, ENTITIES, 0.4, collect(UNKNOWN))
    for source, reader, rows in (("development sample", every, sample()), ("names of no list", blind, written())):
        found = reader.read([row.text for row in rows])
        for entity in ENTITIES if rows else ():
            yield _line(source, entity, score(rows, found, entity))
        if rows:
            yield _line(source, "characters", characters(rows, found))
    docs = Path(__file__).parent.parent
    prose = [*HARMLESS, *(path.read_text(encoding="utf-8") for path in sorted(docs.glob("docs/**/*.md")))]
    for source, texts in (("harmless requests", prose[: len(HARMLESS)]), ("our own manual", prose[len(HARMLESS) :])):
        words = sum(len(text.split()) for text in texts)
        claims = sum(map(len, every.read(texts)))
        yield f"\n{source}: {claims} findings in {words} words, {1000 * claims / words:.1f} in 1000"


def _line(source: str, entity: str, counts: Score) -> str:
    recall, precision = counts.found / max(1, counts.there), counts.right / max(1, counts.claimed)
    return f"| {source} | {entity} | {counts.there} | {recall:.3f} | {precision:.3f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="", help="an installed spaCy package")
    for line in report(parser.parse_args().model):
        print(line)


if __name__ == "__main__":
    main()
