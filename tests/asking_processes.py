"""Programs of MCP servers that ask clients."""

from __future__ import annotations

import json

from mcp_asking import FORM
from tool_server import MAIL

# A server in plain Python: it asks the questions in its arguments, and returns what it got. It says with which
# capabilities it was started.
SCRIPT = """
import json, os, sys

def put(**said):
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)

able = {}
for line in sys.stdin:
    said = json.loads(line)
    if said.get("method") == "initialize":
        able = said["params"]["capabilities"]
        put(id=said["id"], result={"protocolVersion": said["params"]["protocolVersion"],
            "capabilities": {"tools": {}}, "serverInfo": {"name": "plain", "version": "1"}})
    elif said.get("method") == "tools/list":
        put(id=said["id"], result={"tools": [{"name": "get_it", "inputSchema": {"type": "object"}}]})
    elif said.get("method") == "tools/call":
        arguments, told = said["params"]["arguments"], []
        for number, (method, params) in enumerate(arguments.get("questions", [])):
            put(id=f"q{number}", method=method, params=params)
            got = json.loads(sys.stdin.readline())
            if got.get("method") == "notifications/cancelled":
                break
            told.append({key: got[key] for key in ("result", "error") if key in got})
        if arguments.get("after"):
            put(id="late", method="elicitation/create", params=FORM)
        if arguments.get("die"):
            sys.exit(3)
        what = {"pid": os.getpid(), "able": able}[arguments["what"]] if "what" in arguments else told
        put(id=said["id"], result={"content": [{"type": "text", "text": json.dumps(what)}]})
""".replace("FORM", json.dumps(FORM))
SDK = f"""
import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server = MCPServer("asker")

class Choice(BaseModel):
    name: str

@server.tool()
async def ask(context: Context) -> str:
    chosen = await context.elicit("Name of {MAIL}?", Choice)
    said = await context.session.create_message(
        [types.SamplingMessage(role="user", content=types.TextContent(text="Say something"))], max_tokens=5
    )
    where = await context.session.list_roots()
    return f"{{chosen.data.name}} {{said.content.text}} {{where.roots[0].uri}}"

server.run("stdio")
"""
FAST = f"""
from fastmcp import Context, FastMCP

shop = FastMCP("shop")

@shop.tool
async def ask(context: Context) -> str:
    chosen = await context.elicit("Name of {MAIL}?", response_type=str)
    return chosen.data

shop.run("stdio", show_banner=False)
"""
