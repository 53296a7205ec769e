"""`strings.render_template`: the templates of Go, as far as they are about text.

Fields, variables, `if`, `range`, `with`, comparisons, `and`, `or`, `not`, `len`, `index`, `print`, `printf`, `html` and
`urlquery`. What is not here (`define`, `template`, `block`, `break`, `js`, types of Go in `printf`, ...)
ends the evaluation: a text that is left out must not decide.
https://pkg.go.dev/text/template
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.formats import formatted
from gateway.policy.engines.rego.builtins.operands import object_, string
from gateway.policy.engines.rego.errors import BUILTIN, BuiltinError, Halt
from gateway.policy.engines.rego.values import UNDEFINED, Value, dumps, is_number, key, keys_of, number_text, unkey

_ACTION = re.compile(r"\{\{(- )?((?:\"(?:\\.|[^\"\\])*+\"|`[^`]*+`|(?!(?: -)?\}\}).)*+)( -)?\}\}", re.DOTALL)
_WORD = re.compile(
    r'\s*(?:(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)|(?P<number>[-+]?\d+)(?![\w.])|(?P<path>\$?\w*(?:\.\w+)+|\.|\$\w*)'
    r"|(?P<name>[A-Za-z]\w*)|(?P<sign>:=|[()|,=]))"
)
_NOTHING = "<no value>"
NAME = "strings.render_template"


def _not_here(what: str) -> Halt:
    return Halt(BUILTIN, f"{NAME}: {what} is not available in the embedded engine")


def _wrong(what: str) -> BuiltinError:
    return BuiltinError(f"{NAME}: template: {what}")


@builtin(NAME, context=True)
def render_template(context: Context, template: Value, values: Value) -> str:
    text, given = string(NAME, 1, template), object_(NAME, 2, values)
    context.tick(len(text))
    parts = list(_parts(text))
    try:
        nodes, left = _parse(parts, 0, ())
    except RecursionError:
        raise _wrong("nested too deeply") from None
    assert left == len(parts)
    run = _Run(context)
    whole = _plain(given)
    run.block(nodes, whole, [("$", whole)])
    return "".join(run.out).replace(_NOTHING, "<undefined>")


def _plain(value: Value) -> Value:
    """A value as Go's templates see it: a number of a policy is the text of its digits."""
    if type(value) is dict:
        return {_name(form): _plain(item) for form, item in value.items()}
    if type(value) is list:
        return [_plain(item) for item in value]
    if type(value) is set:
        raise BuiltinError(f"{NAME}: a set is no value of a template")
    return number_text(value) if is_number(value) else value


def _name(form: Any) -> str:
    return form if type(form) is str else dumps(unkey(form))


def _parts(text: str) -> Iterator[tuple[str, Any]]:
    """Texts, and actions as lists of words."""
    at, trim = 0, False
    while (start := text.find("{{", at)) >= 0:
        match = _ACTION.match(text, start)
        if match is None:
            raise _wrong("unclosed action")
        before = text[at : match.start()]
        before = before.lstrip() if trim else before
        before = before.rstrip() if match[1] else before
        if before:
            yield "text", before
        trim = bool(match[3])
        at = match.end()
        body = match[2].strip()
        if not (body.startswith("/*") and body.endswith("*/")):
            yield "action", list(_words(body))
    rest = text[at:]
    yield "text", rest.lstrip() if trim else rest


def _words(body: str) -> Iterator[tuple[str, str]]:
    at = 0
    if not body:
        raise _wrong("missing value for command")
    while at < len(body):
        match = _WORD.match(body, at)
        if match is None:
            raise _not_here(f"`{body}` in a template")
        yield str(match.lastgroup), match[str(match.lastgroup)]
        at = match.end()
        while at < len(body) and body[at].isspace():
            at += 1


def _parse(parts: list[tuple[str, Any]], at: int, ends: tuple[str, ...]) -> tuple[list[Any], int]:
    """Nodes up to one of the words that end a block."""
    nodes: list[Any] = []
    while at < len(parts):
        kind, words = parts[at]
        if kind == "text":
            nodes.append(("text", words))
            at += 1
            continue
        first = words[0][1] if words[0][0] == "name" else ""
        if first in ends:
            return nodes, at
        if first in ("if", "range", "with"):
            node, at = _branch(parts, at, first, words[1:])
            nodes.append(node)
        elif first in ("else", "end"):
            raise _wrong(f"unexpected {{{{{first}}}}}")
        else:
            nodes.append(("print", words))
            at += 1
    if ends:
        raise _wrong("unexpected EOF")
    return nodes, at


def _branch(parts: list[tuple[str, Any]], at: int, kind: str, words: list[Any]) -> tuple[Any, int]:
    then, at = _parse(parts, at + 1, ("else", "end"))
    otherwise: list[Any] = []
    ended = parts[at][1]
    if ended[0][1] == "else":
        if len(ended) > 1:
            inner = ended[1][1]
            if inner not in ("if", "with"):
                raise _wrong("unexpected word after else")
            node, at = _branch(parts, at, inner, ended[2:])
            return (kind, words, then, [node]), at
        otherwise, at = _parse(parts, at + 1, ("end",))
    return (kind, words, then, otherwise), at + 1


class _Run:
    """One rendering."""

    def __init__(self, context: Context) -> None:
        self.context, self.out = context, [""]

    def block(self, nodes: list[Any], dot: Value, names: list[tuple[str, Value]]) -> None:
        names = list(names)
        for node in nodes:
            kind = node[0]
            self.context.tick(1)
            if kind == "text":
                self.out.append(node[1])
            elif kind == "print":
                self.printed(node[1], dot, names)
            else:
                self.branch(node, dot, names)

    def printed(self, words: list[Any], dot: Value, names: list[tuple[str, Value]]) -> None:
        if len(words) > 2 and words[0][1][:1] == "$" and words[1][1] in (":=", "="):
            value = self.pipeline(words[2:], dot, names)
            if words[1][1] == "=":
                at = next((i for i in range(len(names) - 1, -1, -1) if names[i][0] == words[0][1]), -1)
                if at < 0:
                    raise _wrong(f"undefined variable {words[0][1]!r}")
                raise _not_here("a change of a variable")
            names.append((words[0][1], value))
            return
        text = shown(self.pipeline(words, dot, names))
        self.context.tick(len(text) // 16)
        self.out.append(text)

    def branch(self, node: Any, dot: Value, names: list[tuple[str, Value]]) -> None:
        kind, words, then, otherwise = node
        bound = []
        signs = [index for index, word in enumerate(words) if word == ("sign", ":=")]
        if signs:
            bound = [word[1] for word in words[: signs[0]] if word[0] == "path"]
            words = words[signs[0] + 1 :]
        value = self.pipeline(words, dot, names)
        if kind == "range":
            self.ranged(value, bound, node, dot, names)
        elif true(value):
            inner = [*names, *((name, value) for name in bound)]
            self.block(then, value if kind == "with" else dot, inner)
        else:
            self.block(otherwise, dot, names)

    def ranged(self, value: Value, bound: list[str], node: Any, dot: Value, names: list[tuple[str, Value]]) -> None:
        pairs: list[tuple[Value, Value]]
        if type(value) is list:
            pairs = list(enumerate(value))
        elif type(value) is dict:
            pairs = [(unkey(form), value[form]) for form in keys_of(value)]
        elif value is None or value is UNDEFINED:
            pairs = []
        else:
            raise _wrong(f"range can't iterate over {shown(value)}")
        for index, item in pairs:
            given = [index, item] if len(bound) == 2 else [item]
            self.block(node[2], item, [*names, *zip(bound, given, strict=False)])
        if not pairs:
            self.block(node[3], dot, names)

    def pipeline(self, words: list[Any], dot: Value, names: list[tuple[str, Value]]) -> Value:
        """The value of commands, each given what the one before came to."""
        commands: list[list[Any]] = [[]]
        depth = 0
        for word in words:
            depth += (word == ("sign", "(")) - (word == ("sign", ")"))
            if word == ("sign", "|") and depth == 0:
                commands.append([])
            else:
                commands[-1].append(word)
        value: list[Value] = []
        for command in commands:
            value = [self.command(command, value, dot, names)]
        return value[0]

    def command(self, words: list[Any], last: list[Value], dot: Value, names: list[tuple[str, Value]]) -> Value:
        if not words:
            raise _wrong("missing value for command")
        if words[0][0] == "name" and words[0][1] not in ("true", "false", "nil"):
            return called(words[0][1], [*self.operands(words[1:], dot, names), *last])
        found = self.operands(words, dot, names)
        if len(found) != 1 or last:
            raise _wrong("can't give argument to non-function")
        return found[0]

    def operands(self, words: list[Any], dot: Value, names: list[tuple[str, Value]]) -> list[Value]:
        found: list[Value] = []
        at = 0
        while at < len(words):
            kind, text = words[at]
            at += 1
            if kind == "string":
                found.append(_literal(text))
            elif kind == "number":
                found.append(int(text))
            elif kind == "path":
                found.append(self.path(text, dot, names))
            elif (kind, text) == ("sign", "("):
                end, depth = at, 1
                while depth:
                    if end == len(words):
                        raise _wrong("unclosed left paren")
                    depth += (words[end] == ("sign", "(")) - (words[end] == ("sign", ")"))
                    end += 1
                found.append(self.pipeline(words[at : end - 1], dot, names))
                at = end
            elif kind == "name" and text in ("true", "false"):
                found.append(text == "true")
            else:
                raise _not_here(f"`{text}` in a template")
        return found

    def path(self, text: str, dot: Value, names: list[tuple[str, Value]]) -> Value:
        head, *fields = text.split(".")
        value = dot
        if head:
            known = [one for name, one in reversed(names) if name == head]
            if not known:
                raise _wrong(f"undefined variable {head!r}")
            value = known[0]
        for field in fields if fields != [""] else ():
            if value is UNDEFINED:
                continue
            if value is None:
                raise _wrong(f"nil data; no entry for key {field!r}")
            if type(value) is not dict:
                raise _wrong(f"can't evaluate field {field} in {shown(value)}")
            value = value.get(field, UNDEFINED)
        return value


def _literal(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    if re.search(r"\\[^\"\\ntr]", text):
        raise _not_here(f"the escape in {text}")
    return re.sub(r"\\(.)", lambda one: {"n": "\n", "t": "\t", "r": "\r"}.get(one[1], one[1]), text[1:-1])


def true(value: Value) -> bool:
    """What `if` takes for true."""
    if type(value) in (bool, int, str, list, dict):
        return bool(value)
    return value is not None and value is not UNDEFINED


def shown(value: Value) -> str:
    """A value as Go prints it."""
    if value is None or value is UNDEFINED:
        return _NOTHING
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is str:
        return value
    if type(value) is list:
        return f"[{' '.join('<nil>' if item is None else shown(item) for item in value)}]"
    if type(value) is dict:
        pairs = [(str(unkey(form)), value[form]) for form in keys_of(value)]
        return f"map[{' '.join(f'{name}:' + ('<nil>' if item is None else shown(item)) for name, item in pairs)}]"
    return number_text(value)


_HTML = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_VERB = re.compile(r"%(?:%|([-0-9.]*)([svqd]))")


def _sprint(args: list[Value]) -> str:
    """The values one after the other, with a space between two of which neither is a text."""
    out: list[str] = []
    for index, one in enumerate(args):
        if index and type(one) is not str and type(args[index - 1]) is not str:
            out.append(" ")
        out.append(shown(one))
    return "".join(out)


def _printf(template: Value, args: list[Value]) -> str:
    """`printf` as far as the type that a value has in Go does not show."""
    if type(template) is not str:
        raise _wrong("error calling printf: wrong type for value; expected string")
    verbs = [(match[1], match[2]) for match in _VERB.finditer(template) if match[2]]
    if "%" in _VERB.sub("", template) or len(verbs) != len(args):
        raise _not_here("such a call of printf in a template")
    given: list[Value] = []
    for (flags, verb), one in zip(verbs, args, strict=True):
        if (type(one) is str and verb != "d") or (type(one) is int and verb in "dv"):
            given.append(one)
        elif type(one) in (bool, list, dict) and verb == "v" and not flags:
            given.append(shown(one))
        else:
            raise _not_here(f"%{flags}{verb} of such a value in a template")
    return formatted(template, given)


def called(name: str, args: list[Value]) -> Value:
    """A function of templates."""
    if name == "not" and len(args) == 1:
        return not true(args[0])
    if name in ("and", "or") and args:
        stop = name == "or"
        return next((one for one in args[:-1] if true(one) is stop), args[-1])
    if name == "len" and len(args) == 1 and type(args[0]) in (str, list, dict):
        return len(args[0].encode() if type(args[0]) is str else args[0])
    if name == "index" and len(args) == 2 and type(args[0]) is list and type(args[1]) is int:
        if not 0 <= args[1] < len(args[0]):
            raise _wrong("error calling index: index out of range")
        return args[0][args[1]]
    if name == "index" and len(args) == 2 and type(args[0]) is dict and type(args[1]) is str:
        return args[0].get(key(args[1]), UNDEFINED)
    if name in ("eq", "ne") and len(args) == 2 and all(type(one) in (str, bool, int) for one in args):
        if type(args[0]) is not type(args[1]):
            raise _wrong(f"error calling {name}: incompatible types for comparison")
        return (args[0] == args[1]) is (name == "eq")
    if name in ("print", "println") and not any(one is None or one is UNDEFINED for one in args):
        return _sprint(args) if name == "print" else " ".join(map(shown, args)) + "\n"
    if name in ("html", "urlquery") and args:
        text = _sprint([_NOTHING if one is None or one is UNDEFINED else one for one in args])
        return text.translate(_HTML) if name == "html" else quote_plus(text, errors="replace")
    if name == "printf" and args:
        return _printf(args[0], args[1:])
    raise _not_here(f"{name} of {len(args)} such arguments in a template")
