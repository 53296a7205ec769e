"""The normal form of the name of a tool, for comparing different spellings.

Lower case, `_` for `-`, and without the prefix that names the location of the tool: `mcp__mail__Send-Mail`,
`functions.send_mail` and `mail/send_mail` are all `send_mail`. `policies/names.rego` has the same form in Rego.
"""

from __future__ import annotations

_SEPARATORS = ("__", ".", "/")


def normal(name: str) -> str:
    """The normal form of a name; the whole name if nothing follows the prefix."""
    form = name.lower().replace("-", "_").rstrip("_./")
    for separator in _SEPARATORS:
        form = form.rpartition(separator)[2] or form
    return form
