"""Names of the Model Context Protocol: versions, methods, keys and codes of errors, in both of its eras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MODERN: Final = "2026-07-28"
HANDSHAKE: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions with `initialize`, oldest first."""
VERSIONS: Final = (*HANDSHAKE, MODERN)
META: Final = "_meta"
VERSION: Final = "io.modelcontextprotocol/protocolVersion"
CLIENT: Final = "io.modelcontextprotocol/clientInfo"
SERVER: Final = "io.modelcontextprotocol/serverInfo"
LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
MISMATCH: Final = -32020
UNSUPPORTED: Final = -32022
ELICITATION: Final = -32042
"""The user must open a URL first (2025-11-25)."""
CALL: Final = "tools/call"
LIST: Final = "tools/list"
SEARCH_TOOLS: Final = "search_tools"
CALL_TOOL: Final = "call_tool"
EXTENSIONS: Final = "extensions"
TASK_EXTENSION: Final = "io.modelcontextprotocol/tasks"
"""Tasks in the later era, which a client declares with each request."""
MISSING: Final = -32021
"""The client has not declared a capability that the request needs."""
UPDATES: Final = ("resources/subscribe", "resources/unsubscribe")
"""Methods of sessions that choose of which resources the server tells changes."""
LISTENING: Final = 1800.0
"""Seconds after which a stream of what a server tells without a request ends."""
SUBSCRIBE: Final = "subscriptions/listen"
LISTEN: Final = "listen"
"""The method of a GET, which has none."""
TASK_IDS: Final = "taskIds"
"""The tasks of which a client wants to hear."""
TASK_RESULT: Final = "tasks/result"
TASK_GET: Final = "tasks/get"
TASK_CANCEL: Final = "tasks/cancel"
TASKS: Final = (TASK_GET, TASK_CANCEL)
"""Methods about a task in both eras, beside `tasks/result` in the earlier, and `tasks/update` in the later one."""
TASK_UPDATE: Final = "tasks/update"
TASK_LIST: Final = "tasks/list"
NAMED: Final[Mapping[str, str]] = {
    CALL: "name",
    "prompts/get": "name",
    "resources/read": "uri",
    **dict.fromkeys((*TASKS, TASK_UPDATE), "taskId"),
}
"""Method -> the parameter that the header `Mcp-Name` repeats."""
RELATED_TASK: Final = "io.modelcontextprotocol/related-task"
LONGEST_TASK: Final = 1024
"""Characters of the id of a task."""
COMPLETE: Final = "completion/complete"
SET_LEVEL: Final = "logging/setLevel"
LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Of messages of a log (RFC 5424)."""
READS: Final[Mapping[str, str]] = {
    "resources/read": "read_resource",
    "prompts/get": "get_prompt",
    COMPLETE: "complete",
    **dict.fromkeys(UPDATES, "read_resource"),
}
"""Method that reads something of a server -> the name under which it is judged, as a call of a tool."""
LISTS: Final[Mapping[str, str]] = {
    "resources/list": "resources/read",
    "resources/templates/list": "resources/read",
    "prompts/list": "prompts/get",
}
"""Method that lists what can be read -> the method that reads it."""
_BOTH: Final = frozenset({LIST, CALL, *READS, *LISTS})
OLD_METHODS: Final = _BOTH | {"initialize", "ping", SET_LEVEL, TASK_RESULT, TASK_LIST, *TASKS}
NEW_METHODS: Final = (_BOTH - {*UPDATES}) | {"server/discover", SUBSCRIBE, TASK_UPDATE, *TASKS}
