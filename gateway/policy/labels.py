"""What may be a label of a workflow: the same for policies and operators."""

from __future__ import annotations

import re
from typing import Final

from gateway.amounts import LABEL

# What every engine reads as it is written, and a terminal shows as it is.
_LABEL: Final = re.compile(rf"[ !#-\[\]-~]{{1,{LABEL}}}")
A_LABEL: Final = f"1 to {LABEL} printable ASCII characters without quotes and backslashes"


def is_label(text: str) -> bool:
    """Whether a text may be a label."""
    return _LABEL.fullmatch(text) is not None
