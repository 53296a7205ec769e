"""URIs of stored files are seen in every spelling of their address."""

from __future__ import annotations

import pytest

from gateway.dialects.cited import cited

HOST = "generativelanguage.googleapis.com"


@pytest.mark.parametrize(
    "uri",
    [
        f"https://{HOST}/v1beta/files/abc",
        f"https://{HOST}:443/v1beta/files/abc",
        f"https://{HOST}./v1beta/files/abc",
        f"https://user@{HOST}/v1beta/files/abc",
        f" https://{HOST}/v1beta/files/abc",
        "https://generativelanguage.googleapis%2Ecom/v1beta/files/abc",
        "https://storage.cloud.google.com/bucket/file",
        f"https:\\\\{HOST}\\v1beta/files/abc",
        "/files/abc",
        " gs://bucket/file",
    ],
)
def test_a_stored_file_is_seen(uri: str) -> None:
    assert [one.id for one in cited({"fileData": {"fileUri": uri}})] == [uri]


@pytest.mark.parametrize("uri", ["https://example.com/files/abc", f"https://{HOST}.example.com/files/abc"])
def test_an_address_that_everybody_may_read_is_none(uri: str) -> None:
    assert not list(cited({"fileData": {"fileUri": uri}}))


def test_the_words_of_code_hide_no_id_beside_them() -> None:
    """Only the content of a result of code is skipped; a body or a message that calls itself one is read."""
    named = {"container": "container_1", "content": [{"type": "container_upload", "file_id": "file_1"}]}
    for kind in ("code_execution_tool_result", "my_code_execution_tool_result"):
        assert {one.id for one in cited({"type": kind, "messages": [named]})} == {"container_1", "file_1"}
        assert {one.id for one in cited({"messages": [{"role": "user", "type": kind, **named}]})} == {
            "container_1",
            "file_1",
        }
    block = {"type": "bash_code_execution_tool_result", "tool_use_id": "t", **named}
    assert [one.id for one in cited({"messages": [{"role": "assistant", "content": [block]}]})] == ["container_1"]


def test_only_arguments_of_tools_hide_ids() -> None:
    """The input of an interaction is read, whatever else its body is called."""
    asked = {"model": "m", "input": {"type": "document", "uri": "files/abc"}}
    for more in ({}, {"name": "f"}, {"type": "tool_use"}, {"type": "server_tool_use", "name": "f"}):
        assert [one.id for one in cited({**asked, **more})] == ["files/abc"], more
    for kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        use = {"type": kind, "id": "t", "name": "f", "input": {"uri": "files/abc", "file_id": "f"}}
        assert not list(cited({"messages": [{"role": "assistant", "content": [use]}]}))


def test_an_engine_of_search() -> None:
    """Reads stores of data; other fields of this name hold the name of a model."""
    engine = "projects/p/locations/l/collections/c/engines/e"
    tools = [{"retrieval": {"vertexAiSearch": {"engine": engine}}}]
    assert [(one.kind, one.id) for one in cited({"tools": tools})] == [("engine", engine)]
    assert not list(cited({"engine": "davinci"}))
