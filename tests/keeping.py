"""A configuration whose models keep their answers at two providers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import upstream as scripted
from line import config

VAULT = base64.b64encode(b"k" * 32).decode()
PRICE = {"input": 1, "output": 2}
STORES, CONTAINERS = "/v1/vector_stores", "/v1/containers"


def settings(folder: Path, up: scripted.Upstream, **fields: Any) -> dict[str, Any]:
    """A configuration with models that keep their responses, at two providers."""
    pii = {"vault_key": VAULT, "entities": {"CREDIT_CARD": "block"}}
    made = config(folder, up.url, pii=pii, output={"secrets": "block"}, quotas={"tokens": 10**6}, **fields)
    made["providers"]["other"] = {"format": "openai", "base_url": up.url, "api_key": "sk-other"}
    targets = {
        "keep": ["up/keep"],
        "keep-call": ["up/keep-call"],
        "mini": ["up/keep-mini"],
        "elsewhere": ["other/keep"],
        "either": ["dead/keep", "other/keep", "up/keep"],
    }
    made["models"] |= {name: {"targets": listed, "price": PRICE} for name, listed in targets.items()}
    return made


def stores(folder: Path, up: scripted.Upstream) -> dict[str, Any]:
    """A gateway that serves files, stores and containers of two providers."""
    quotas = {"tokens": 10**6, "calls": 1000}
    audit = {"path": str(folder / "audit.db")}
    made = config(folder, up.url, pii={"vault_key": VAULT}, output={"unscannable": "allow"}, quotas=quotas, audit=audit)
    made["providers"]["other"] = {**made["providers"]["up"], "api_key": "sk-of-the-other-provider"}
    made["models"]["/v1/files"] = {"targets": ["up/any"]}
    made["models"]["elsewhere"] = {"targets": ["other/any"]}
    made["models"][STORES] = {"targets": ["up/any"]}
    made["models"][CONTAINERS] = {"targets": ["up/any"], "price": {"runs": {"container": 30, "container_4g": 120}}}
    return made
