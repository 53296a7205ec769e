"""Tokens to modules: the grammar of Rego v1, as OPA reads it.

https://www.openpolicyagent.org/docs/policy-reference#grammar
"""

from __future__ import annotations

from gateway.policy.engines.rego import ast
from gateway.policy.engines.rego.errors import PARSE, TOO_DEEP, Location, Problem, RegoError
from gateway.policy.engines.rego.literals import Literals
from gateway.policy.engines.rego.scanner import KEYWORDS, WORDS, Token, scan

FUTURE = frozenset({"not", "and", "or"})
"""Keywords that a module may import and v1 does not have by itself."""


def parse(file: str, source: str) -> ast.Module:
    """A module. Raises RegoError."""
    tokens, comments = scan(file, source)
    extra = _imported(tokens)
    if extra:
        tokens, comments = scan(file, source, extra - {"not"})
    try:
        module = Parser(file, tokens, not_bodies="not" in extra).module()
    except RecursionError:
        raise RegoError([Problem(PARSE, TOO_DEEP, Location(file, 1, 1))]) from None

    if any(comment.text.strip() == "METADATA" and comment.column == 1 for comment in comments):
        from gateway.policy.engines.rego.metadata import read_annotations  # needs YAML; most modules have none

        module.annotations = read_annotations(file, comments)
    return module


def _imported(tokens: list[Token]) -> frozenset[str]:
    found: set[str] = set()
    for index, token in enumerate(tokens[:-5]):
        if token.kind == "import" and [one.text for one in tokens[index + 1 : index + 4]] == [
            "future",
            ".",
            "keywords",
        ]:
            named = tokens[index + 5].text if tokens[index + 4].text == "." else ""
            found |= FUTURE & {named} if named else FUTURE
        if token.kind == "import" and [one.text for one in tokens[index + 1 : index + 4]] == ["rego", ".", "v2"]:
            found |= FUTURE
    return frozenset(found)


class Parser(Literals):
    """Statements; bodies are in `literals`, terms in `terms`."""

    def module(self) -> ast.Module:
        first = self.token
        if first.kind == "end":
            self.fail("empty module", first)
        if first.kind != "package":
            self.fail("package expected", first)
        self.next()
        module = ast.Module(self.file, self.path("package"), self.where(first))
        while self.token.kind != "end":
            if self.token.kind == "package" and self.peek().kind not in (".", "[", ":=", "="):
                self.fail("unexpected package")
            if self.token.kind == "import" and self.peek().kind not in (".", "[", ":=", "="):
                module.imports.append(self.import_())
            else:
                rules = self.rules()
                for rule in rules:
                    one: ast.Rule | None = rule
                    while one is not None:
                        one.module = module
                        one = one.otherwise
                module.rules += rules
        return module

    def path(self, what: str) -> tuple[str, ...]:
        """The dotted name after `package` or `import`."""
        if self.token.kind != "name" and self.token.kind not in KEYWORDS:
            self.illegal()
        start = self.token
        parts = [self.next().text]
        while not self.token.spaced and self.token.kind in (".", "["):
            if self.next().kind == ".":
                if self.token.kind not in WORDS:
                    self.illegal("expected identifier")
                parts.append(self.next().text)
            else:
                if self.token.kind not in ("string", "raw"):
                    self.fail(f"unexpected {self.token.kind} token: expecting string")
                parts.append(self.string(self.next()))
                self.expect("]")
        if what == "package":
            return ("data", *parts)
        if parts[0] not in ("data", "input", "future", "rego"):
            self.fail(
                "unexpected import path, must begin with one of: "
                f"{{data, future, input, rego}}, got: {parts[0]} (hint: if this is unexpected, try updating OPA)",
                start,
            )
        return tuple(parts)

    def import_(self) -> ast.Import:
        at = self.next()
        path = self.path("import")
        alias = ""
        if self.token.kind == "as":
            self.next()
            if self.token.kind != "name" or self.token.text in ("data", "input"):
                self.illegal("expected var")
            alias = self.next().text
        elif path[0] not in ("future", "rego") and path[-1] in KEYWORDS:
            self.fail(
                f"unexpected import path, must not end with a keyword, got: {path[-1]} "
                "(hint: import a different path or use an alias)",
                at,
            )
        self.check_import(path, alias, at)
        return ast.Import(path, alias or path[-1], self.where(at))

    def check_import(self, path: tuple[str, ...], alias: str, at: Token) -> None:
        if path[0] == "rego" and path not in (("rego", "v1"), ("rego", "v2")):
            self.fail(f"invalid import `{'.'.join(path)}`, must be `rego.v1` or `rego.v2`", at)
        if path[0] == "future":
            if path[1:2] != ("keywords",) or len(path) > 3:
                self.fail("invalid import, must be `future.keywords`", at)
            if len(path) == 3 and path[2] not in FUTURE | {"in", "every", "if", "contains"}:
                self.fail(
                    f"unexpected keyword, must be one of {sorted(FUTURE | {'in', 'every', 'if', 'contains'})}", at
                )
        if path[0] in ("rego", "future") and alias:
            self.fail(f"`{path[0]}` imports cannot be aliased", at)

    def rules(self) -> list[ast.Rule]:
        self.forget()
        start = self.token
        default = start.kind == "default" and self.peek().kind not in (".", "[")
        if default:
            self.next()
        self.check_name()
        ref, args = self.head()
        name = self.spelled(ref)
        key: ast.Term | None = None
        value: ast.Term | None = None
        if self.token.kind == "contains":
            if args is not None:
                self.illegal(f"the contains keyword can only be used with multi-value rule definitions (e.g., {name})")
            self.next()
            key = self.term()
        elif self.token.kind in (":=", "="):
            self.next()
            value = self.term()
        rule = ast.Rule(ref, args, key, value, [], default, self.where(start))
        if value is not None and not default and self.token.kind == "with" and not self.reads_ref():
            self.withs()
            if self.token.newline or self.token.kind == "end":
                self.fail("expressions using with keyword cannot be used for rule head", start)
            self.illegal()
        if default:
            self.check_default(rule)
            return [rule]
        if self.token.kind == "if" and not self.reads_ref():
            self.next()
            rule.body = self.rule_body()
        elif self.token.kind == "{":
            kind = "function" if args is not None else "rule"
            if value is None and key is None and args is None and len(ref) == 2:
                self.fail("`if` keyword is required before rule body; `contains` keyword is required for sets", start)
            self.fail(f"`if` keyword is required before {kind} body", start)
        elif value is None and key is None:
            if args is None and len(ref) == 2:
                self.fail("`contains` keyword is required for partial set rules", start)
            kind = "function" if args is not None else "rule"
            self.fail(f"{kind} must have value assignment and/or body declaration", start)
        if key is None and value is None:
            rule.value = ast.Scalar(True, rule.at)
        if self.token.kind == "else" and self.peek().kind not in (".", "["):
            if any(not isinstance(part, ast.Scalar) for part in ref[1:]):
                self.fail("else keyword cannot be used on rules with variables in head")
            if key is not None:
                self.fail("else keyword cannot be used on multi-value rules")
            rule.otherwise = self.otherwise(rule)
        elif self.token.kind == "{":
            self.fail("expected else keyword" if rule.otherwise else "`if` keyword is required before rule body")
        rule.end = self.tokens[self.index - 1].row
        if not self.token.newline and self.token.kind != "end":
            self.illegal()
        return [rule]

    def check_name(self) -> None:
        kind = self.token.kind
        if kind in KEYWORDS and self.peek().kind not in (".", "["):
            self.fail(f"{kind} keyword cannot be used for rule name")
        if kind != "name" and kind not in KEYWORDS:
            if kind in ("string", "number", "raw", "[", "{"):
                self.fail(
                    f"{ {'[': 'array', '{': 'object', 'raw': 'string'}.get(kind, kind) } cannot be used for rule name"
                )
            self.illegal()

    def head(self) -> tuple[list[ast.Term], list[ast.Term] | None]:
        first = self.next()
        ref: list[ast.Term] = [ast.Var(first.text, self.where(first))]
        if first.text == "_":
            self.fail("rule name must not be a wildcard", first)
        while True:
            token = self.token
            if token.kind == "." and not token.spaced:
                self.next()
                if self.token.kind not in WORDS:
                    self.illegal("expected identifier")
                part = self.next()
                ref.append(ast.Scalar(part.text, self.where(part)))
            elif token.kind == "[" and not token.spaced:
                self.next()
                ref.append(self.term())
                self.expect("]")
            elif token.kind == "(" and not token.newline:
                self.next()
                args = self.listed(")")
                return ref, args
            else:
                return ref, None

    def spelled(self, ref: list[ast.Term]) -> str:
        return ".".join(part.name if isinstance(part, ast.Var) else str(getattr(part, "value", "_")) for part in ref)

    def rule_body(self) -> list[ast.Literal]:
        """After `if`: one literal, or several in braces."""
        if self.token.kind == "{":
            start = self.index
            try:
                literal = self.literal()
                single = not (
                    isinstance(literal.what, ast.Expr)
                    and isinstance(literal.what.term, ast.SetOf)
                    and not literal.withs
                )
                if single and isinstance(literal.what, ast.Expr | ast.Unify | ast.Logical):
                    return [literal]
            except RegoError:
                pass
            self.index = start
            return self.braced()
        return [self.literal()]

    def otherwise(self, rule: ast.Rule) -> ast.Rule:
        at = self.next()
        value: ast.Term | None = None
        if self.token.kind in (":=", "="):
            self.next()
            value = self.term()
        elif self.token.kind not in ("if", "{"):
            self.illegal("expected else value term or rule body")
        found = ast.Rule(
            rule.ref, rule.args, None, value or ast.Scalar(True, self.where(at)), [], False, self.where(at)
        )
        found.module = rule.module
        if self.token.kind == "if":
            self.next()
            found.body = self.braced() if self.token.kind == "{" else [self.literal()]
        elif self.token.kind == "{":
            self.fail("`if` keyword is required before rule body", at)
        if self.token.kind == "else" and self.peek().kind not in (".", "["):
            found.otherwise = self.otherwise(rule)
        return found

    def check_default(self, rule: ast.Rule) -> None:
        if rule.value is None:
            if rule.key is not None or self.token.kind in ("if", "{"):
                self.fail("illegal default rule (must have a value)", None, rule.at)
            self.fail("illegal default rule (must have a value)", None, rule.at)
        if self.token.kind == "{" or (self.token.kind == "if" and not self.reads_ref()):
            self.illegal("default rules have no body")
        if self.token.kind == "with" and not self.reads_ref():
            self.illegal()
        pending: list[ast.Term] = [rule.value]
        while pending:
            term = pending.pop()
            kind = {ast.Ref: "ref", ast.Var: "var", ast.Call: "call"}.get(type(term))
            if kind:
                self.fail(f"illegal default rule (value cannot contain {kind})", None, rule.at)
            pending += ast.children(term)
        names: set[str] = set()
        for arg in rule.args or ():
            if not isinstance(arg, ast.Var):
                self.fail("illegal default rule (arguments cannot contain values)", None, rule.at)
            if arg.name in names:
                self.fail(f"illegal default rule (arguments cannot be repeated {arg.name})", None, rule.at)
            names.add(arg.name)
