"""Signatures of requests to AWS: `providers.aws.sign_req`.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.operands import number, object_, wrong
from gateway.policy.engines.rego.builtins.uris import Uri, as_text, parse_uri
from gateway.policy.engines.rego.errors import TYPE_EVAL, BuiltinError
from gateway.policy.engines.rego.values import Value, dumps, spell

_NAME = "providers.aws.sign_req"
_SETTINGS = ("aws_access_key", "aws_region", "aws_secret_access_key", "aws_service")
_REQUEST = ("method", "url")
_ALLOWED = frozenset((
    "method", "url", "body", "enable_redirect", "force_json_decode", "force_yaml_decode", "headers", "raw_body",
    "tls_use_system_certs", "tls_ca_cert", "tls_ca_cert_file", "tls_ca_cert_env_variable", "tls_client_cert",
    "tls_client_cert_file", "tls_client_cert_env_variable", "tls_client_key", "tls_client_key_file",
    "tls_client_key_env_variable", "tls_insecure_skip_verify", "tls_server_name", "timeout", "cache",
    "force_cache", "force_cache_duration_seconds", "raise_error", "caching_mode", "max_retry_attempts",
    "cache_ignored_headers",
))  # fmt: skip
"""The keys of a request, as `http.send` has them."""
_UNSIGNED = frozenset({"authorization", "user-agent", "x-amzn-trace-id"})
"""Headers that a proxy may change."""


def _fail(position: int, words: str, names: Iterable[Any] = ()) -> BuiltinError:
    listed = spell(set(names))
    return BuiltinError(f"{_NAME}: operand {position} {words}{': ' + listed if names else ''}", TYPE_EVAL)


@builtin(_NAME, context=True)
def sign_req(context: Context, request: Value, settings: Value, time_ns: Value) -> dict[Any, Value]:
    asked, given = object_(_NAME, 1, request), object_(_NAME, 1, settings)
    _check_settings(given)
    now = number(_NAME, 1, time_ns)
    if type(now) is not int or not -(2**63) <= now < 2**63:
        raise _fail(3, "could not convert time_ns value into a unix timestamp")
    headers = _checked_headers(asked)
    uri, body = parse_uri(_NAME, asked["url"]), _body(asked)
    context.tick(50 + len(body) // 256)
    unsigned = given.get("disable_payload_signing", False)
    if type(unsigned) is not bool:
        raise _fail(2, "invalid value for 'disable_payload_signing' in AWS config")
    digest = "UNSIGNED-PAYLOAD" if unsigned else hashlib.sha256(body).hexdigest()
    own = {"host": uri.host, "x-amz-date": _time(now)}
    if given["aws_service"] in ("s3", "glacier"):
        own["x-amz-content-sha256"] = digest
    if token := _string(given.get("aws_session_token")):
        own["x-amz-security-token"] = token
    signed = own | {name.lower(): value for name, value in headers.items() if name.lower() not in _UNSIGNED}
    headers["Authorization"] = _authorization(asked["method"], uri, signed, digest, given, own["x-amz-date"])
    return {**asked, "headers": headers | own | {"host": as_text(uri.host)}}


def _check_settings(given: Mapping[Any, Value]) -> None:
    if missing := [name for name in _SETTINGS if name not in given]:
        raise _fail(2, "missing required AWS config parameters(s)", missing)
    if bad := [name for name in _SETTINGS if type(given[name]) is not str]:
        raise _fail(2, "invalid values for required AWS config parameters(s)", bad)


def _checked_headers(asked: Mapping[Any, Value]) -> dict[str, str]:
    """The headers of a request, once its parts are checked. Raises BuiltinError."""
    if unknown := asked.keys() - _ALLOWED:
        raise _fail(1, "invalid request parameters(s)", unknown)
    if missing := [name for name in _REQUEST if name not in asked]:
        raise _fail(1, "missing required request parameters(s)", missing)
    headers = asked.get("headers", {})
    if type(headers) is not dict:
        raise wrong(_NAME, 0, headers, "object")
    if bad := [name for name in _REQUEST if type(asked[name]) is not str]:
        raise _fail(1, "invalid values for required request parameters(s)", bad)
    return {_string(name): _string(value) for name, value in headers.items()}


def _string(value: Value) -> str:
    """A string; "" for any other value, as in OPA."""
    return value if type(value) is str else ""


def _body(asked: Mapping[Any, Value]) -> bytes:
    if "raw_body" in asked:
        return _string(asked["raw_body"]).encode()
    return dumps(asked["body"]).encode() if "body" in asked else b""


def _time(now_ns: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now_ns // 10**9)).strftime("%Y%m%dT%H%M%SZ")


def _authorization(
    method: str, uri: Uri, headers: Mapping[str, str], digest: str, given: Mapping[Any, str], time: str
) -> str:
    """The header that holds the signature of a request with its headers (names in lower case)."""
    names = ";".join(sorted(headers))
    lines = [method, uri.escaped_path(), uri.query, *(f"{name}:{headers[name]}" for name in sorted(headers))]
    request = "\n".join([*lines, "", names, digest])
    steps = (time[:8], given["aws_region"], given["aws_service"], "aws4_request")
    scope = "/".join(steps)
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(_bytes(request)).hexdigest()])
    key = _bytes("AWS4" + given["aws_secret_access_key"])
    for step in (*steps, text):
        key = hmac.digest(key, _bytes(step), "sha256")
    credential = f"{given['aws_access_key']}/{scope}"
    return f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={key.hex()}"


def _bytes(text: str) -> bytes:
    """UTF-8, with bytes of percent escapes that are no UTF-8 as they were."""
    return text.encode("utf-8", "surrogateescape")
