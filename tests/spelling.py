"""Bodies as a hostile or careless client spells them: the same messages in other bytes, and bytes that are wrong.

Each message keeps its spelling over the calls of a story unless a change spells it anew.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st

STYLES: Final = ("plain", "ascii", "escaped", "slashes", "order")
ODD: Final = (
    *('{"role":"user","content":"x","content":"ann@example.org"}', '{"role":"user","parts":[],"role":"model"}'),
    *('"a text"', "[]", "{}", "null", "1"),
    *(
        f'{{"role":"user","content":"x","n":{number}}}'
        for number in ("1e400", "0.1000000000000000055", "4111111111111111")
    ),
    *(
        f'{{"role":"user","content":"{text}"}}'
        for text in ("\\ud800", "nul \\u0000 ann@example.org", "\\u003cEMAIL_1\\u003e")
    ),
    '{"messages":[{"role":"user","content":"inner"}],"role":"user","content":"x","ann@example.org":1}',
    '{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},'
    '{"type":"text","text":"ann@example.org"}]}',
    '{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}},{"text":"212-555-0123"}]}',
    '{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo="}]}',
    '{"role":"tool","content":"a result of no call","tool_call_id":"zz"}',
    '{"type":"item_reference","id":"rs_foreign"}',
    '{"role":"user","content":[{"type":"input_file","file_id":"file-foreign"}]}',
    '{"role":"user","content":"the key is mg-al\\u0069ce-secret"}',
)
"""Messages that some dialect refuses, or reads in full."""
TAILS: Final = (
    *('"user":"ann@example.org"', '"stream":false', '"metadata":{"a":"b"}', '"messages":[]', '"n":1'),
    *('"stop":["ann@example.org"]', '"temperature":0.1000000000000000055'),
)
CHANGES: Final = (
    *("grow", "grow", "grow", "grow", "grow", "odd", "odd", "respell", "drop", "twice", "byte", "key", "tail", "move"),
    *("fields", "letter", "flow"),
)


def escaped(text: str, style: str, chance: random.Random) -> str:
    """A string of JSON."""
    said = json.dumps(text, ensure_ascii=style != "plain")
    if style == "slashes":
        return said.replace("/", "\\/")
    if style != "escaped" or "\\" in said:
        return said
    return "".join(f"\\u{ord(char):04x}" if char.isalnum() and chance.random() < 0.2 else char for char in said)


def spelled(value: Any, style: str, chance: random.Random, blanks: Sequence[str] = ("",)) -> str:
    """A value as JSON; `blanks`: what may stand around what."""

    def blank() -> str:
        return chance.choice(blanks)

    if isinstance(value, dict):
        pairs = list(value.items())
        if style == "order":
            chance.shuffle(pairs)
        inner = [
            f"{escaped(key, style, chance)}{blank()}:{blank()}{spelled(it, style, chance, blanks)}" for key, it in pairs
        ]
        return "{" + ",".join(f"{blank()}{pair}{blank()}" for pair in inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(f"{blank()}{spelled(it, style, chance, blanks)}{blank()}" for it in value) + "]"
    return escaped(value, style, chance) if isinstance(value, str) else json.dumps(value)


class Story:
    """A conversation of spelled messages. `history`: the key of their list; `fields`: the other fields of bodies."""

    def __init__(self, draw: st.DrawFn, history: str, fields: dict[str, Any]) -> None:
        self._draw = draw
        self._history = history
        self._chance = random.Random(draw(st.integers(0, 2**32)))
        style = draw(st.sampled_from(STYLES))
        self._fields = [f"{json.dumps(key)}:{spelled(value, style, self._chance)}" for key, value in fields.items()]
        self._place = draw(st.integers(0, len(self._fields)))
        self._comma = draw(st.sampled_from([",", ", ", ",\n"]))
        self.said: list[str] = []

    def spell(self, message: Any) -> str:
        """A message, in a style of its own."""
        blanks = ("", " ", "\n", "\t ") if self._chance.random() < 0.3 else ("",)
        return spelled(message, self._draw(st.sampled_from(STYLES)), self._chance, blanks)

    def _anew(self, message: str) -> str:
        """A message in another style; as before, if another change has left no JSON."""
        try:
            value = json.loads(message)
        except json.JSONDecodeError:
            return message
        odd = message in ODD or "\\ud8" in message  # half a character has one spelling
        return message if odd else self.spell(value)

    def body(self, change: str, last: str) -> str:
        """The body after a change. `last`: the message that ends it."""
        draw, said, key, before, after = self._draw, [*self.said], json.dumps(self._history), "", ""
        at = draw(st.integers(0, max(0, len(said) - 1)))
        if change == "odd":
            said.insert(draw(st.sampled_from([at, len(said)])), draw(st.sampled_from(ODD)))
        elif change == "respell" and said:
            said[at] = self._anew(said[at])
        elif change == "drop":
            del said[at : at + draw(st.integers(1, 3))]
        elif change == "move" and said:
            said.append(said.pop(at))
        elif change == "letter" and said:
            old, new = (
                draw(st.sampled_from(["e", "1", " "])),
                draw(st.sampled_from(["E", "2", "\u200b", "\u0430", "@"])),
            )
            said[at] = said[at].replace(old, new, 1)
        elif change == "twice":
            again = (
                f"{escaped(self._history, draw(st.sampled_from(STYLES)), self._chance)}:[{self._comma.join(said[:at])}]"
            )
            before, after = draw(st.sampled_from([(f"{again},", ""), ("", f",{again}")]))
        elif change == "key":
            key = escaped(self._history, "escaped", self._chance)
        elif change == "tail":
            after = "," + draw(st.sampled_from(TAILS))
        elif change == "fields":
            self._fields.reverse()
        if change in ("odd", "respell", "drop", "move", "letter") and draw(st.booleans()):
            self.said = said
        inside = f"{before}{key}:[{self._comma.join([*said, last])}]{after}"
        raw = "{" + ",".join([*self._fields[: self._place], inside, *self._fields[self._place :]]) + "}"
        if change == "byte":
            cut = draw(st.integers(0, len(raw) - 1))
            raw = raw[:cut] + draw(st.sampled_from(["", " ", "x", "\\", '"', "}", "]", ",", "0"])) + raw[cut + 1 :]
        return raw
