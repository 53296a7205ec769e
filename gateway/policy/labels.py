"""The form of a label of a workflow, for policies and operators alike."""

from __future__ import annotations

import re
from typing import Final

from gateway.amounts import LABEL

# Characters that need no escape in any engine, and that a terminal shows unchanged.
_LABEL: Final = re.compile(rf"[ !#-\[\]-~]{{1,{LABEL}}}")
A_LABEL: Final = f"1 to {LABEL} printable ASCII characters without quotes and backslashes"


def is_label(text: str) -> bool:
    """Whether a text has the form of a label."""
    return _LABEL.fullmatch(text) is not None
