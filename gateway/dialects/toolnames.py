"""The normal form of a tool's name: what is compared where the same tool may be written in several ways.

Lower case, `_` for `-`, and without the prefix that says where the tool lives: `mcp__mail__Send-Mail`,
`functions.send_mail` and `mail/send_mail` are all `send_mail`. `policies/names.rego` has the same form in Rego.
"""

from __future__ import annotations

_SEPARATORS = ("__", ".", "/")


def normal(name: str) -> str:
    """The normal form; the whole name where nothing is left behind a prefix."""
    form = name.lower().replace("-", "_").rstrip("_./")
    for separator in _SEPARATORS:
        form = form.rpartition(separator)[2] or form
    return form
