"""`python -m gateway.serving.prepare`: compile all patterns that a start with the usual settings needs, and keep them.

For an image whose files cannot be written at run time (see `detect.core.expressions`).
"""

from __future__ import annotations

import gateway.serving.process  # noqa: F401  (its modules compile patterns when they are imported)
from gateway.config.sections import Pii
from gateway.detect.core import expressions
from gateway.detect.personal.patterns import pii_rules
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.sql import forms


def main() -> None:
    """Compile and keep."""
    pii_rules(Pii().regions)
    SecretScanner(None)
    forms.prepare()
    expressions.save()


if __name__ == "__main__":
    main()
