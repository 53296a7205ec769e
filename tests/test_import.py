"""`meshgate import litellm`: a file that people keep, without keys in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gateway.cli import main
from gateway.config.load import loads

FILE = """
model_list:
  - {model_name: gpt, litellm_params: {model: openai/gpt-4o, api_key: os.environ/MY_OPENAI}}
  - {model_name: gpt, litellm_params: {model: openai/other, api_base: https://x.example/v1, api_key: SECRET-abcdefgh}}
  - {model_name: groq, litellm_params: {model: groq/llama, api_key: SECRET-ijklmnop, rpm: 10}}
router_settings: {fallbacks: [{gpt: [groq]}], redis_host: localhost}
general_settings: {master_key: SECRET-qrstuvwx}
"""


def test_a_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a valid file, names variables in place of keys, and what is left out is named."""
    monkeypatch.chdir(tmp_path)
    Path("l.yaml").write_text(FILE)
    assert main(["import", "litellm", "l.yaml"]) == 0
    said = capsys.readouterr()
    assert "SECRET" not in said.out + said.err
    made = yaml.safe_load(said.out)
    keys = {name: provider["api_key"] for name, provider in made["providers"].items()}
    assert keys["openai"] == "${MY_OPENAI}"
    assert len(set(keys.values())) == 3
    variables = {name.strip("${}"): "sk-value-of-a-key" for name in keys.values()}
    loaded = loads(said.out, "made.yaml", variables, scanners=False)
    assert [len(loaded.config.models[name].targets) for name in ("gpt", "groq")] == [2, 1]
    assert loaded.config.agents["litellm-master"].key_sha256
    for words in ("l.yaml:4: model_list[1].litellm_params.api_key is not copied", "is ignored (redis_host)"):
        assert words in said.err


@pytest.mark.parametrize(("text", "words"), [("a: 1", "no model_list"), ("model_list: []", "no model that")])
def test_what_is_no_such_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    """The mistake is named."""
    monkeypatch.chdir(tmp_path)
    Path("l.yaml").write_text(text)
    assert main(["import", "litellm", "l.yaml"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["litellm"], ["prices"], ["prices", "--write", "table.yaml"]], ids=["litellm", "prices", "table"]
)
@pytest.mark.parametrize(("content", "why"), [(None, "No such file or directory"), (b"\xff", "not UTF-8")])
def test_a_file_that_cannot_be_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    content: bytes | None,
    why: str,
) -> None:
    """Its name and the reason, and no advice about other files."""
    monkeypatch.chdir(tmp_path)
    name = words[-1] if "--write" in words else "it.json"
    if content is not None:
        Path(name).write_bytes(content)
    assert main(["import", *words, "it.json"]) == 2
    assert capsys.readouterr().err.startswith(f"{name}: {'cannot be read: ' if content is None else ''}{why}")
