"""A spaCy package made for tests: it knows three names, and has components that a worker must not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAME = "en_mini"
PERSON, ORGANIZATION = "Quorvane Zibbet", "Plimthorpe"

_MAKE = f"""
import sys, json, spacy
from pathlib import Path
package = Path(sys.argv[1]) / "{NAME}"
nlp = spacy.blank("en", meta={{"name": "mini", "version": "0.0.1"}})
nlp.add_pipe("sentencizer")
ruler = nlp.add_pipe("entity_ruler")
ruler.add_patterns([
    {{"label": "PERSON", "pattern": "{PERSON}"}},
    {{"label": "ORG", "pattern": "{ORGANIZATION}"}},
    {{"label": "DATE", "pattern": "yesterday"}},
])
package.mkdir()
nlp.to_disk(package / "{NAME}-0.0.1")
(package / "meta.json").write_text(json.dumps(nlp.meta))
(package / "__init__.py").write_text('''
from pathlib import Path
from spacy.util import load_model_from_init_py
def load(**overrides):
    return load_model_from_init_py(__file__, **overrides)
''')
info = Path(sys.argv[1]) / "{NAME}-0.0.1.dist-info"
info.mkdir()
(info / "METADATA").write_text("Metadata-Version: 2.1\\nName: {NAME}\\nVersion: 0.0.1\\n")
"""


def make(folder: Path) -> Path:
    """Put the package into a folder, which then has to be on `sys.path`. spaCy is imported by a process of its own."""
    subprocess.run([sys.executable, "-c", _MAKE, str(folder)], check=True)
    return folder
