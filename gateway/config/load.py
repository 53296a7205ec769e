"""Reads the configuration: a file becomes a `Config`, or one `ConfigError` that lists every mistake with its line.

Also reads a LiteLLM `config.yaml` (a file with `model_list`), and watches the file (`Watcher`). A file with a mistake
never replaces the running configuration. No message repeats a secret, or a value from the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import ValidationError

from gateway.config import kinds, litellm, messages, openapi, prices, yaml_file
from gateway.config.grammar import Config
from gateway.config.sections import Named
from gateway.config.yaml_file import Problem, YamlFile, spell
from gateway.errors import ConfigError

_IDLE = "the limit has no effect"
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
# Read only at the start: where the gateway listens and writes, and the bounds of the HTTP server,
# which every open connection already holds. Everything else of a changed file takes effect at once.
_RESTART = (
    ("state",),
    ("log",),
    ("audit", "path"),
    *(
        ("server", name)
        for name in (
            *("host", "port", "max_body", "max_header_bytes", "header_timeout", "body_timeout", "idle_timeout"),
            *("write_timeout", "max_connections", "address_share", "drain", "websockets"),
        )
    ),
)
# Seconds that a refused file must stay unchanged before the error is reported: it may still be being written.
SETTLED = 0.3
_log = logging.getLogger("meshgate.config")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, warnings for the operator, and the files that were read."""

    config: Config
    warnings: tuple[str, ...]
    files: tuple[Path, ...]


class NotLoaded(ConfigError):
    """A file with mistakes, and the `files` that were read: the mistake may be in any of them."""

    def __init__(self, words: str, files: tuple[Path, ...]) -> None:
        super().__init__(words)
        self.files = files


def load(path: Path, env: Mapping[str, str] = os.environ, *, scanners: bool = True) -> Loaded:
    """Read and check a configuration file. Raises one `ConfigError` with a line for each mistake.

    `scanners=False` skips the checks that need the scanners (entities, countries, recognizers). Their import takes a
    second, which commands that scan nothing can save.
    """
    return loads(text_of(path), str(path), env, scanners=scanners)


def loads(text: str, name: str, env: Mapping[str, str] = os.environ, *, scanners: bool = True) -> Loaded:
    """`load` for a text; `name` is the name of the file in messages."""
    doc = yaml_file.read(text, env)
    warnings: list[Problem] = []
    if isinstance(doc.data, dict):
        if "model_list" in doc.data:
            doc, warnings = litellm.translate(doc, env)
        else:
            warnings = []
        kinds.complete(doc, env)
        if scanners:
            warnings += _platform()
            own = _own(doc)
            doc.problems += [*own, *_entities(doc, own.entities), *_countries(doc), *_ner(doc)]
    config = None
    if doc.data is not None:
        try:
            config = Config.model_validate(doc.data)
        except ValidationError as error:
            broken = [problem.path for problem in doc.problems]
            found = (problem for detail in error.errors() for problem in messages.problems(detail, doc))
            # An unset variable is one mistake: the empty value and the section around it are not further ones.
            doc.problems += [p for p in found if not any(b[: len(p.path)] == p.path for b in broken)]
    if config is not None and not doc.problems:
        config = prices.applied(config)
        doc.problems += [*prices.check(config, doc), *_operations(config, doc)]
    if config is None or doc.problems:
        left_out = [
            warning for warning in warnings if "left out" in warning.text
        ]  # may explain why a target has no provider
        raise NotLoaded(_report(name, [*doc.problems, *left_out]), (Path(name), *_further(doc)))
    warnings += [
        *_in_clear(config, doc),
        *_idle_limits(config, doc),
        *_without_effect(config, doc),
    ]
    return Loaded(config, tuple(_report(name, warnings).splitlines()), (Path(name), *_further(doc)))


def _operations(config: Config, doc: YamlFile) -> Iterator[Problem]:
    """Mistakes in the documents of HTTP tools."""
    for name, row in config.tools.items():
        try:
            openapi.operations(row)
        except ValueError as fault:
            path: yaml_file.Path = ("tools", name, "openapi")
            yield Problem(doc.line(path), path, f": {row.openapi} {fault}")


def _further(doc: YamlFile) -> list[Path]:
    """Further files that the configuration names."""
    tools = _at(doc.data, ("tools",))
    named = [_at(doc.data, ("pii", "recognizers"))]
    named += [_at(doc.data, ("tools", name, "openapi")) for name in (tools if isinstance(tools, dict) else ())]
    return [Path(path) for path in named if isinstance(path, str) and path]


def text_of(path: Path) -> str:
    """The text of a file. Raises ConfigError that names the file and the reason."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start})") from None


def _report(name: str, problems: Iterable[Problem]) -> str:
    ordered = sorted(set(problems), key=lambda problem: (problem.line, spell(problem.path)))
    return "\n".join(f"{name}{f':{p.line}' if p.line else ''}: {_sentence(p)}" for p in ordered)


def _sentence(problem: Problem) -> str:
    joint = "" if problem.text.startswith(":") else " "
    return f"{spell(problem.path)}{joint}{problem.text}" if problem.path else problem.text.lstrip(": ")


def _platform() -> Iterator[Problem]:
    """Warnings about packages that this platform lacks, and the consequences."""
    if _scanner() is not None and not importlib.import_module("gateway.detect.core.index").linear():
        words = (
            "the package hyperscan has no wheel for this platform: patterns are matched by the package regex, which is "
            "slower, and custom recognizers (pii.recognizers) are refused"
        )
        yield Problem(0, (), words)


def _in_clear(config: Config, doc: YamlFile) -> Iterator[Problem]:
    url = urlsplit(config.jwt.jwks_url if config.jwt else "")
    if url.scheme == "http" and url.hostname not in _LOCAL:
        path: yaml_file.Path = ("jwt", "jwks_url")
        yield Problem(doc.line(path), path, "is not https: anyone on the network path can sign in as any agent")


def _without_effect(config: Config, doc: YamlFile) -> Iterator[Problem]:
    """Keys of older releases."""
    if config.pii is not None and config.pii.ttl is not None:
        path: yaml_file.Path = ("pii", "ttl")
        words = "has no effect: the vault keeps values as long as the record of their workflow, see quotas.ttl"
        yield Problem(doc.line(path), path, words)


def _idle_limits(config: Config, doc: YamlFile) -> Iterator[Problem]:
    """Warnings about limits that no call can match."""
    for index, limit in enumerate(config.limits):
        path: yaml_file.Path = ("limits", index)
        if (limit.per == "tool" or limit.match.tool != "*") and not config.tools:
            yield Problem(doc.line(path), path, f"counts calls of tools, but there is no section tools: {_IDLE}")
        if limit.per.startswith("claims.") and config.jwt is None:
            yield Problem(doc.line(path), path, f"counts by a claim of tokens, but there is no jwt section: {_IDLE}")
        if limit.per.startswith("attributes.") and (config.policy is None or config.policy.mode == "shadow"):
            yield Problem(doc.line(path), path, f"counts by an attribute, but no policy is enforced: {_IDLE}")


def _at(data: Any, path: yaml_file.Path) -> Any:
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    return data


class _Own(list[Problem]):
    """Mistakes in the custom recognizers, and the `entities` that they define."""

    entities: frozenset[str] = frozenset()


def _own(doc: YamlFile) -> _Own:
    """Read the file of `pii.recognizers`, and the patterns of `pii.allow`."""
    path, allow = _at(doc.data, ("pii", "recognizers")) or "", _at(doc.data, ("pii", "allow")) or []
    found = _Own()
    if not isinstance(path, str) or not isinstance(allow, list) or not all(isinstance(one, str) for one in allow):
        return found  # the grammar reports these mistakes
    if not path and not allow:
        return found
    pii, recognizers = _scanner(), importlib.import_module("gateway.detect.personal.recognizers")
    try:
        found.entities = recognizers.load(path, allow, pii.canonical).entities
    except recognizers.FileProblems as problems:
        place: yaml_file.Path = ("pii", "recognizers")
        found += [Problem(doc.line(place), place, f": {words}") for words in str(problems).splitlines()]
    except recognizers.AllowProblem as problem:
        found.append(Problem(doc.line(("pii", "allow")), ("pii", "allow"), f": {problem}"))
    return found


def _entities(doc: YamlFile, own: frozenset[str]) -> list[Problem]:
    """Replace the names of entity types in `pii` and its rules by their canonical names; returns unknown names."""
    rules = _at(doc.data, ("pii", "rules"))
    places: list[tuple[Any, yaml_file.Path]] = [(_at(doc.data, ("pii",)), ("pii",))]
    places += [(rule, ("pii", "rules", i)) for i, rule in enumerate(rules)] if isinstance(rules, list) else []
    chosen = [
        (section, path)
        for section, path in places
        if isinstance(section, dict) and (section.get("entities") or section.get("scores"))
    ]
    pii = _scanner() if chosen else None
    if pii is None:
        return []
    keys = ("entities", "scores")
    return [one for section, path in chosen for key in keys for one in _renamed(doc, section, key, path, pii, own)]


def _renamed(
    doc: YamlFile, section: dict[str, Any], key: str, at: yaml_file.Path, pii: Any, own: frozenset[str]
) -> list[Problem]:
    """`_entities` for one mapping."""
    if not isinstance(section.get(key), dict):
        return []
    named = get_args(Named)
    wanted = _at(doc.data, ("pii", "ner"))
    known = sorted({*pii.entities(), *own, *(named if wanted is not None else ())})
    problems: list[Problem] = []
    renamed: dict[str, Any] = {}
    for name, chosen in section[key].items():
        path: yaml_file.Path = (*at, key, name)
        entity = pii.canonical(name)
        if entity in named and wanted is None and entity not in own:
            words = "is found by pii.ner only, which is not configured: add ner: {}"
            problems.append(Problem(doc.line(path), path, words))
        elif entity not in known:
            problems.append(Problem(doc.line(path), path, f"is not a known entity{messages.suggest(name, known)}"))
        elif entity in renamed:
            problems.append(Problem(doc.line(path), path, f"is another name of {entity}, which is already listed"))
        renamed[entity] = chosen
    section[key] = renamed
    return problems


def _countries(doc: YamlFile) -> Iterator[Problem]:
    """Countries that no number is known of."""
    chosen = _at(doc.data, ("pii", "countries"))
    pii = _scanner() if isinstance(chosen, list) else None
    if pii is None:
        return
    known = sorted(pii.countries())
    for index, country in enumerate(chosen):
        if isinstance(country, str) and country not in known:
            path: yaml_file.Path = ("pii", "countries", index)
            yield Problem(
                doc.line(path), path, f"is not a country with known numbers{messages.suggest(country, known)}"
            )


def _ner(doc: YamlFile) -> Iterator[Problem]:
    """A model of `pii.ner` that is not installed. Not imported here: only the workers load it."""
    wanted = _at(doc.data, ("pii", "ner"))
    if not isinstance(wanted, dict):
        return
    path: yaml_file.Path = ("pii", "ner")
    model = wanted.get("model")
    if not isinstance(model, str) or not re.fullmatch(r"\w+", model):
        return
    try:
        importlib.metadata.distribution(model)
    except importlib.metadata.PackageNotFoundError:
        words = f": {model} is not installed: run python -m spacy download {model}, or leave model out"
        yield Problem(doc.line((*path, "model")), (*path, "model"), words)


def _scanner() -> Any:
    # Imported on use: the scanners take a second to import, and a file without entities does not need them.
    try:
        return importlib.import_module("gateway.detect.personal.scanner")
    except ModuleNotFoundError:
        return None


class Watcher:
    """Watches the file of a running gateway. A valid change is applied as a whole, an invalid one is reported.

    `apply` gets the new configuration and may refuse it with `ConfigError` (a bundle that does not compile).
    `report` gets the reason why the file on disk is not the running configuration, or None once it is. `warn` gets
    warnings.
    """

    def __init__(
        self,
        path: Path,
        apply: Callable[[Config], Awaitable[None]],
        report: Callable[[str | None], None],
        *,
        running: Config | None = None,
        warn: Callable[[str], None] = _log.warning,
        env: Mapping[str, str] = os.environ,
        files: Sequence[Path] = (),
    ) -> None:
        self._path = path
        self._files = tuple(files) or (path,)
        self._apply = apply
        self._report = report
        self._running = running
        self._warn = warn
        self._env = env
        # With a running configuration to compare to, the first step reads the file: it may have changed by now.
        self._seen = None if running else self._stamp()
        self._kicked = asyncio.Event()

    def kick(self) -> None:
        """Run the next check now, and read the file even if it looks unchanged. For SIGHUP."""
        self._kicked.set()

    async def run(self, interval: float = 0.5) -> None:
        """Check every `interval` seconds, and immediately after `kick`, until cancelled."""
        while True:
            await self.step()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kicked.wait(), interval)

    async def step(self) -> None:
        """Check the file once. Raises nothing except cancellation."""
        forced = self._kicked.is_set()
        self._kicked.clear()
        stamp = self._stamp()
        if stamp == self._seen and not forced:
            return
        forced = forced or (self._seen is not None and stamp[1:] != self._seen[1:])  # a further file
        self._seen = stamp
        try:
            loaded = await asyncio.to_thread(load, self._path, self._env)
            self._follow(stamp, loaded.files)
            if forced or loaded.config != self._running:
                await self._take(loaded)
            self._report(None)
        except ConfigError as error:
            if isinstance(error, NotLoaded):
                self._follow(stamp, error.files)
            await asyncio.sleep(SETTLED)
            if self._stamp() == self._seen:
                self._report(str(error))
        except Exception as error:  # any fault: the running configuration stays, and the watch continues
            _log.exception("reload failed")
            self._report(f"{self._path}: could not be applied: {type(error).__name__}")

    def _follow(self, stamp: tuple[tuple[int, int, int], ...], files: tuple[Path, ...]) -> None:
        """Watch these files from now on."""
        if files != self._files:
            self._files = files
            self._seen = (stamp[0], *self._stamp()[1:])

    async def _take(self, loaded: Loaded) -> None:
        await self._apply(loaded.config)
        before, self._running = self._running, loaded.config
        for warning in loaded.warnings:
            self._warn(warning)
        for path in _RESTART if before else ():
            if _field(before, path) != _field(loaded.config, path):
                self._warn(f"{self._path}: {spell(path)} takes effect at the next start")

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Modification time, size and inode of each file, which change with the content; zeros for a missing file."""
        return tuple(map(_stamp, self._files))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _field(config: Config | None, path: yaml_file.Path) -> object:
    value: object = config
    for step in path:
        value = getattr(value, str(step), None)
    return value
