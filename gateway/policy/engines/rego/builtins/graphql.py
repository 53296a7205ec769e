"""GraphQL: documents to syntax trees, and whether a schema is valid.

Builtins that check a query against a schema (`graphql.is_valid`, `parse`, `parse_and_verify`) are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.graphql_language import parse_query, parse_schema
from gateway.policy.engines.rego.builtins.graphql_scanner import SyntaxFault
from gateway.policy.engines.rego.builtins.graphql_schema import Invalid, check_schema
from gateway.policy.engines.rego.builtins.operands import string
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value, to_json


@builtin("graphql.parse_query", context=True)
def query(context: Context, text: Value) -> Value:
    return _parsed(context, "graphql.parse_query", text, parse_query)


@builtin("graphql.parse_schema", context=True)
def schema(context: Context, text: Value) -> Value:
    return _parsed(context, "graphql.parse_schema", text, parse_schema)


def _parsed(context: Context, name: str, text: Value, parse: Callable[[str], Any]) -> Value:
    whole = string(name, 1, text)
    context.tick(len(whole))
    try:
        return parse(whole)
    except SyntaxFault as fault:
        raise BuiltinError(f"{name}: {fault}") from None
    except RecursionError:
        raise BuiltinError(f"{name}: the document is nested too deeply") from None


@builtin("graphql.schema_is_valid", context=True)
def schema_is_valid(context: Context, document: Value) -> bool:
    try:
        if type(document) is str:
            context.tick(4 * len(document))
            check_schema(parse_schema(document))
        elif type(document) is dict:
            context.tick(1000)
            check_schema(to_json(document))
        else:
            return False
    except (SyntaxFault, Invalid, TypeError, ValueError, KeyError, AttributeError, RecursionError):
        return False
    return True
