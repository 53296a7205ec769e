"""All secrets of a configuration, for `detect.secrets.own`, which finds them in texts.

Collected by the type of fields, so that new fields are covered: fields with `repr=False`, key files, and credentials in
URLs. Headers and parts of URLs are secrets by their name, or by their value unless anybody may see it (`public`). Key
files are read as by their users; a missing one is created by its user only.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit

from pydantic import BaseModel

from gateway.config.grammar import Config
from gateway.config.sections import BundleKey
from gateway.detect.secrets.public import is_public
from gateway.identity.keyfiles import read_key_file

_CREDENTIAL = re.compile(
    r"(?i)key|token|secret|auth(?!ors?$)|cookie|pass(?!-?through)|pwd|jwt|credential|session|code$|sig$|signature$|(?:^|[-_])(?:sas|pin|otp|pat)$"
)
"""In the name of what is secret whatever the value."""
_NAMED = re.compile(r"(?i)organi[sz]ation$|project$|user-?agent$|referer$|(?:^|[-_])(?:title|version|beta|region)$")
"""In the name of what anybody may see: providers name these in errors and answers."""
_BETWEEN = re.compile(r"[\s,;=]+")
_PART = 16  # characters of a part of a path that may be a credential, as in the URL of a webhook


def values(config: Config) -> Iterator[str]:
    """Every secret of a configuration, as written and as sent. Raises ConfigError for a key file that is not valid."""
    yield from _of_section(config)
    if config.pii is not None:
        yield from _key_material(config)


def _of_section(section: BaseModel) -> Iterator[str]:
    if isinstance(section, BundleKey) and not section.algorithm.startswith("HS"):
        return  # a public key
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name.endswith("key_file"):
            yield from _of_file(section, value)
        elif isinstance(value, Mapping) and not field.repr:
            yield from credentials(value)
        elif isinstance(value, str) and not field.repr and "://" not in value:
            yield value
        elif isinstance(value, tuple) and not field.repr:
            yield from value
        else:
            yield from _below(value)


def _below(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from _of_section(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _below(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _below(inner)
    elif isinstance(value, str) and "://" in value:
        yield from of_url(value)


def of_url(url: str) -> Iterator[str]:
    """The credentials in a URL, as written and decoded: the password, else the user, parameters, parts of the path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    found = [password or user]
    if parts.scheme in ("http", "https"):  # elsewhere a path is one of this machine, or names a database
        found += (part for part in parts.path.split("/") if len(part) >= _PART and not is_public(unquote(part)))
    for pair in re.split("[&;]", parts.query):
        name, _, value = pair.partition("=")
        if _is_secret(name, unquote_plus(value)):
            found += (value, unquote_plus(value))
    for one in found:
        yield one
        yield unquote(one)


def credentials(headers: Mapping[str, str]) -> Iterator[str]:
    """The values of secret headers, and those of their parts that are secret by themselves."""
    for name, value in headers.items():
        if not _is_secret(name, value):
            continue
        yield value
        scheme, _, credential = value.partition(" ")
        if " " not in credential:
            yield credential
        if scheme.lower() == "basic":
            yield from _of_basic(credential)
        if "cookie" in name.lower():
            yield from (pair.partition("=")[2].strip() for pair in value.split(";"))
        yield from (part for part in _BETWEEN.split(value) if not is_public(part))


def _of_basic(credential: str) -> Iterator[str]:
    """User and password together, and the password (RFC 7617)."""
    with suppress(ValueError):
        pair = base64.b64decode(credential).decode()
        yield pair
        yield pair.partition(":")[2]


def _is_secret(name: str, value: str) -> bool:
    if _CREDENTIAL.search(name):
        return True
    return not _NAMED.search(name) and not is_public(value)


def _of_file(section: BaseModel, path: str) -> Iterator[str]:
    if path and isinstance(section, BundleKey):
        with suppress(OSError, UnicodeDecodeError):  # the user of the file reports the error
            yield Path(path).read_text(encoding="utf-8").strip()
    elif path and Path(path).exists():
        yield read_key_file(Path(path))


def _key_material(config: Config) -> Iterator[str]:
    """The key of the vault in the usual encodings."""
    key = b""
    with suppress(ValueError, OSError):
        if config.pii is not None and config.pii.vault_key:
            key = base64.b64decode(config.pii.vault_key)
        elif config.state.url.startswith("sqlite:///"):
            key = Path(config.state.url.removeprefix("sqlite:///")).with_suffix(".key").read_bytes()
    if key:
        yield base64.b64encode(key).decode()
        yield base64.urlsafe_b64encode(key).decode()
        yield key.hex()
