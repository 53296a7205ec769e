"""Reads an unmodified LiteLLM `config.yaml`: `model_list` becomes providers and models, the master key an agent.

Several entries with the same `model_name` become equal targets, chosen by `weight`. Providers of the table
(`providers.py`) and servers with the OpenAI format are taken over. A setting without a counterpart is ignored with a
warning that names the setting. `litellm_router` has what stands beside the models.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from gateway.config import litellm_router
from gateway.config.kinds import owns
from gateway.config.providers import LITELLM, ROWS
from gateway.config.yaml_file import Path, Problem, YamlFile

MASTER = "litellm-master"

# LiteLLM's names for servers that speak the OpenAI format at `api_base`, and are no provider of the table.
_COMPATIBLE = frozenset({"custom_openai", "litellm_proxy", "llamafile", "nvidia_nim", "openai_like", "perplexity"})
_OWN_API = frozenset({"cohere", "gemini"})  # kinds that LiteLLM calls by another API: their `api_base` is of that API
_PARAMS = frozenset({"model", "api_key", "api_base", "base_url", "api_version", "weight", "rpm", "tpm"})
_INFO = {"input_cost_per_token": "input", "output_cost_per_token": "output"}
_SECTIONS = frozenset({"model_list", "general_settings"})


def translate(doc: YamlFile, env: Mapping[str, str], *, names: bool = False) -> tuple[YamlFile, list[Problem]]:
    """The document in Meshgate's own grammar, with the lines of the original, and warnings.

    `names`: keys are written as the names of environment variables (`${NAME}`), for a file that people read.
    """
    reader = _Reader(doc, env, YamlFile(problems=doc.problems), names)
    return reader.out, reader.read()


@dataclass(slots=True)
class _Reader:
    """One translation. `out` grows entry by entry; `accounts`: the providers so far, by kind, URL, key and version."""

    doc: YamlFile
    env: Mapping[str, str]
    out: YamlFile
    names: bool = False
    warnings: list[Problem] = field(default_factory=list)
    accounts: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    providers: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    rates: dict[tuple[str, str], int] = field(default_factory=dict)  # by model and unit, in a minute

    def read(self) -> list[Problem]:
        data = self.doc.data
        entries = data["model_list"] if isinstance(data["model_list"], list) else []
        for i, entry in enumerate(entries):
            self.entry(entry, ("model_list", i))
        if not self.models:
            self.fail(("model_list",), "has no model that this version can serve")
        self.route()
        self.out.data = {"providers": self.providers, "models": self.models, "agents": self.agents()}
        if self.rates:
            self.out.data["limits"] = [
                {"per": "model", "match": {"model": name}, unit: f"{number}/min"}
                for (name, unit), number in self.rates.items()
            ]
        if not FilePath("policies").is_dir():
            self.out.data["policy"] = None
            self.warn(("model_list",), "has no policies: there is no directory policies, so every call is allowed")
        for section in data.keys() - _SECTIONS:
            known = litellm_router.SECTIONS.get(section, frozenset())
            said = data[section]
            left = {key: value for key, value in said.items() if key not in known} if isinstance(said, dict) else said
            if left or not known:
                self.warn((section,), f"is ignored{_listed(left)}")
        return self.warnings

    def route(self) -> None:
        """Fallbacks, aliases and timeouts."""
        sections = [(name, self.doc.data.get(name)) for name in litellm_router.SECTIONS]
        said = [(name, section) for name, section in sections if isinstance(section, dict)]
        own = {name: list(model["targets"]) for name, model in self.models.items()}
        for section, settings in said:
            for name, other in litellm_router.fallbacks(settings, own):
                if name not in own or other not in own:
                    missing = name if name not in own else other
                    self.warn((section, "fallbacks"), f"has no model {missing}: it is left out")
                    continue
                targets = self.models[name]["targets"]
                targets += [rank for rank in own[other] if rank not in targets]
            wait = litellm_router.number_of(settings.get("timeout", settings.get("request_timeout")))
            for provider in self.providers.values() if wait else ():
                provider.setdefault("timeout", wait)
        for section, settings in said:
            aliases = settings.get("model_group_alias")
            for alias, name in aliases.items() if isinstance(aliases, dict) else ():
                if isinstance(name, str) and name in own:
                    self.models.setdefault(str(alias), {**self.models[name]})
                else:
                    self.warn((section, "model_group_alias"), f"has an alias {alias} of no model here: it is left out")

    def entry(self, entry: Any, path: Path) -> None:
        name = _text(entry, "model_name")
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        model = _text(params, "model")
        if not name or not isinstance(params, dict) or not model:
            return self.fail(path, "needs model_name and litellm_params.model")
        if "*" in name + model:
            return self.warn(path, f"is left out: {name} is a wildcard; list the models by name")
        prefix, _, upstream = model.partition("/") if "/" in model else ("openai", "", model)
        url = _text(params, "api_base") or _text(params, "base_url")
        kind = LITELLM.get(prefix, "")
        if not kind and prefix not in _COMPATIBLE:
            return self.warn(path, f"is left out: provider {prefix} is not available in this version")
        if kind in _OWN_API and url:
            return self.warn(path, f"is left out: {prefix} with an api_base is not available in this version")
        url = self.resolve(url, (*path, "litellm_params", "api_base")) if url else self.place_of(kind)
        if not url:
            return self.warn(path, f"is left out: {prefix} needs api_base, the URL that /chat/completions follows")
        for key in sorted(params.keys() - _PARAMS - _INFO.keys() - {"max_output_tokens"}):
            self.warn((*path, "litellm_params", key), "is ignored")
        for unit, number in litellm_router.rates(params):
            self.rates[name, unit] = self.rates.get((name, unit), 0) + number  # of all entries of one name
        provider = self.account(prefix, url, params, (*path, "litellm_params"))
        self.model(name, {"target": f"{provider}/{upstream}", "weight": params.get("weight", 1)}, path, entry)
        return None

    def place_of(self, kind: str) -> str:
        """The URL of a kind; "" for a kind without a URL of its own."""
        row = ROWS.get(kind)
        if row is None or "{}" not in row.url:
            return row.url if row is not None else ""
        return next((self.env[name] for name in row.places if self.env.get(name)), "")

    def account(self, prefix: str, url: str, params: Mapping[str, Any], path: Path) -> str:
        """The name of the provider with this format, URL and key; a new provider is added."""
        given = _text(params, "api_key")
        key = self.resolve(given, (*path, "api_key"))
        kind = LITELLM.get(prefix, "")
        if kind == "openai" and not owns(ROWS[kind], url):
            kind = ""  # any server with the format of OpenAI
        variable = ""
        if kind and owns(ROWS[kind], url):  # only there: any other server would learn the key
            variable = next((name for name in ROWS[kind].keys if self.env.get(name)), ROWS[kind].keys[0])
        if not given and variable:
            key = self.env.get(variable, "")
        version = self.resolve(_text(params, "api_version"), (*path, "api_version")) if kind == "azure" else ""
        if self.names and key and not key.startswith("${"):
            variable = variable or f"{re.sub('[^A-Z0-9]', '_', prefix.upper())}_API_KEY"
            others = len({known[2] for known in self.accounts if known[2].startswith("${" + variable)} - {key})
            variable += f"_{others + 1}" if others else ""
            self.warn((*path, "api_key"), f"is not copied: set the environment variable {variable}")
            key = f"${{{variable}}}"
        account = (kind or "openai", url, key, version)
        if account not in self.accounts:
            taken = sum(name.partition("-")[0] == prefix for name in self.providers)
            name = self.accounts[account] = f"{prefix}-{taken + 1}" if taken else prefix
            of = {"kind": kind} if kind else {"format": "openai"}
            self.providers[name] = {**of, "base_url": url, **({"api_key": key} if key or not self.names else {})}
            if version:
                self.providers[name]["api_version"] = version
            self.place(("providers", name), path)
            if not key and variable:
                self.warn(path, f"has no api_key, and {variable} is not set: calls are sent without a key")
        return self.accounts[account]

    def model(self, name: str, target: dict[str, Any], path: Path, entry: Mapping[str, Any]) -> None:
        info = entry.get("model_info")
        facts = {**(info if isinstance(info, dict) else {}), **entry["litellm_params"]}
        price = self.price(facts, path)
        if name in self.models:
            self.models[name]["targets"][0].append({**target, "price": price} if price else target)
            return
        self.models[name] = {"targets": [[target]], **({"price": price} if price else {})}
        if ceiling := _text(facts, "max_output_tokens"):
            self.models[name]["max_output"] = ceiling
        self.place(("models", name), path)

    def price(self, facts: Mapping[str, Any], path: Path) -> dict[str, float]:
        price: dict[str, float] = {}
        for key, own in _INFO.items():
            try:
                if key in facts:
                    price[own] = round(float(facts[key]) * 1e6, 6)
            except (TypeError, ValueError):
                self.fail(path, f"has a {key} that is not a number")
        return price

    def agents(self) -> dict[str, Any]:
        settings = self.doc.data.get("general_settings")
        settings = settings if isinstance(settings, dict) else {}
        path: Path = ("general_settings", "master_key")
        for key in sorted(settings.keys() - {"master_key"}):
            self.warn(("general_settings", key), "is ignored")
        given = _text(settings, "master_key") or "os.environ/LITELLM_MASTER_KEY" * ("LITELLM_MASTER_KEY" in self.env)
        if not given:
            self.warn(("model_list",), "has no general_settings.master_key: create keys with `meshgate keys add`")
            return {}
        if not (key := self.resolve(given, path)):
            self.fail(path, "is empty")
        if self.names and key.startswith("${"):
            self.warn(path, "is not known here: create keys with `meshgate keys add`")
            return {}
        digest = hashlib.sha256(key.encode()).hexdigest()
        self.place(("agents", MASTER), path)
        return {MASTER: {"key_sha256": digest, "team": "default", "roles": ["admin"]}}

    def resolve(self, value: str, path: Path) -> str:
        """`os.environ/NAME` is the value of NAME."""
        if not value.startswith("os.environ/"):
            return value
        name = value.removeprefix("os.environ/")
        if name not in self.env:
            self.fail(path, f"needs the environment variable {name}, which is not set")
        return self.env.get(name, "")

    def place(self, own: Path, path: Path) -> None:
        self.out.lines[own] = self.doc.line(path)

    def fail(self, path: Path, text: str) -> None:
        self.out.problems.append(Problem(self.doc.line(path), path, text))

    def warn(self, path: Path, text: str) -> None:
        self.warnings.append(Problem(self.doc.line(path), path, text))


def _text(mapping: Any, key: str) -> str:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    return value if isinstance(value, str) else ""


def _listed(section: Any) -> str:
    keys: Iterable[str] = section if isinstance(section, dict) else ()
    return f" ({', '.join(sorted(keys))})" if keys else ""
