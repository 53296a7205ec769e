"""A configuration whose models keep their answers at two providers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import upstream as scripted
from line import config

VAULT = base64.b64encode(b"k" * 32).decode()
PRICE = {"input": 1, "output": 2}


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
