"""How many secrets are found, and how much harmless text is taken for one: `python -m benchmarks.secrets`.

True ones are those of `tests/scan/test_secrets.py`, each in several surroundings; harmless text is what stands there
beside them, and the documentation and source of the packages installed here, in pages of 4000 characters.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from sysconfig import get_paths

from gateway.detect.secrets.scanner import SecretScanner

ROOT = Path(__file__).parents[1]
PAGE = 4000  # characters
PAGES = 2000
SURROUNDINGS = ("{}", "Please try it with {} and tell me.", "```\n{}\n```", '{{"content": {json}}}')


def section() -> str:
    """The table, in Markdown."""
    sys.path.insert(0, str(ROOT / "tests" / "scan"))
    from test_secrets import CLEAN, FOUND

    scanner = SecretScanner(ROOT / "var")
    lines = ["| text | texts | found | of which |", "|---|---|---|---|"]
    for surrounding in SURROUNDINGS:
        right = 0
        for entity, before, secret, after in FOUND:
            whole = before + secret + after
            text = surrounding.format(whole, json=json.dumps(whole))
            right += any(one.entity == entity for one in scanner.scan(text))
        lines.append(f"| true, in `{surrounding!r}` | {len(FOUND)} | {right / len(FOUND):.1%} | |")
    lines.append(_harmless(scanner, "samples that look like one", CLEAN))
    packages = Path(get_paths()["purelib"])
    for name, pattern in (("package descriptions", "*.dist-info/METADATA"), ("Python source", "*/*.py")):
        files = sorted(packages.glob(pattern))
        random.Random(1).shuffle(files)
        pages = [page for file in files[:PAGES] for page in _pages(file)][:PAGES]
        lines.append(_harmless(scanner, f"{name}, pages", pages))
    return "\n".join(lines)


def _pages(file: Path) -> list[str]:
    text = file.read_text("utf-8", "replace")[: 10 * PAGE]
    return [text[at : at + PAGE] for at in range(0, len(text), PAGE)]


def _harmless(scanner: SecretScanner, name: str, texts: Sequence[str]) -> str:
    kinds = [{one.entity for one in scanner.scan(text)} for text in texts]
    counts = Counter(kind for found in kinds for kind in found)
    why = "; ".join(f"{kind}: {count}" for kind, count in counts.most_common())
    return f"| harmless: {name} | {len(texts)} | {sum(map(bool, kinds)) / max(1, len(texts)):.2%} | {why} |"


if __name__ == "__main__":
    print(section())
