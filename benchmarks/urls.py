"""Share of ordinary URLs that are judged to carry data out, as links and as images, and the cost of judging a URL.

`python -m benchmarks.urls` prints the table. The URLs are those in the installed packages.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from pathlib import Path
from sysconfig import get_paths

from gateway.detect.urls.judge import carries, parse

_URL = re.compile(r"https?://[^\s\"'<>)\]`\\{}$%]+(?:%[0-9A-Fa-f]{2}[^\s\"'<>)\]`\\{}$%]*)*")
_TRAILING = ".,;:!?*_|"


def section() -> str:
    """The table as Markdown."""
    urls = sorted(_installed())
    lines = ["| judged as | URLs | refused | us each | why |", "| --- | --- | --- | --- | --- |"]
    for name, image in (("link", False), ("image", True)):
        start = time.process_time()
        reasons = Counter(filter(None, (carries(parse(url), image=image) for url in urls)))
        spent = (time.process_time() - start) * 1e6 / max(1, len(urls))
        share = f"{reasons.total() / max(1, len(urls)):.2%}"
        why = "; ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        lines.append(f"| {name} | {len(urls)} | {share} | {spent:.0f} | {why} |")
    return "\n".join(lines)


def _installed() -> set[str]:
    packages = Path(get_paths()["purelib"])
    found: set[str] = set()
    for pattern in ("*.dist-info/METADATA", "**/*.py"):
        for file in packages.glob(pattern):
            found.update(url.rstrip(_TRAILING) for url in _URL.findall(file.read_text("utf-8", "replace")))
    return found


if __name__ == "__main__":
    print(section())
