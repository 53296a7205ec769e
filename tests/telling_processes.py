"""Programs of MCP servers that write to their log, and tell of resources that have changed."""

from __future__ import annotations

# A server in plain Python: its tool does what the argument says. It refuses to tell of what is not its own.
SCRIPT = """
import json, os, sys

def put(**said):
    print(json.dumps({"jsonrpc": "2.0", **said}), flush=True)

def log(level, data):
    put(method="notifications/message", params={"level": level, "data": data})

watched, level = set(), ""
for line in sys.stdin:
    said = json.loads(line)
    method, params, result = said.get("method"), said.get("params", {}), {}
    if "id" not in said:
        continue
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "serverInfo": {"name": "plain", "version": "1"},
                  "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}}}
    elif method == "tools/list":
        result = {"tools": [{"name": "do", "inputSchema": {"type": "object"}}]}
    elif method == "logging/setLevel":
        level = params["level"]
    elif method in ("resources/subscribe", "resources/unsubscribe") and not params["uri"].startswith("notes:"):
        put(id=said["id"], error={"code": -32002, "message": "No such note"})
        continue
    elif method == "resources/subscribe":
        watched.add(params["uri"])
    elif method == "resources/unsubscribe":
        watched.discard(params["uri"])
    what = params.get("arguments", {}).get("what")
    if what == "die":
        sys.exit(3)
    if what == "log":
        log("info", "an order of ann.lee@example.org")
        log("error", "no order of ann.lee@example.org")
    if method == "tools/call":
        known = {"pid": os.getpid(), "watched": sorted(watched), "level": level}
        result = {"content": [{"type": "text", "text": json.dumps(known.get(what))}]}
    put(id=said["id"], result=result)
    if what == "log":
        log("error", "afterwards")
    if what == "write":
        put(method="notifications/resources/updated", params={"uri": ["notes://a"]})
        put(method="notifications/resources/updated", params={"uri": "notes://never"})
        for uri in sorted(watched):
            put(method="notifications/resources/updated", params={"uri": uri})
        put(method="notifications/tools/list_changed")
"""
SDK = """
import anyio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

async def tools(context, params):
    return types.ListToolsResult(tools=[types.Tool(name="write", input_schema={"type": "object"})])

async def write(context, params):
    await context.session.send_log_message(level="warning", data="written by ann.lee@example.org")
    await context.session.send_resource_updated("notes://a")
    return types.CallToolResult(content=[])

async def resources(context, params):
    return types.ListResourcesResult(resources=[types.Resource(name="a", uri="notes://a")])

async def agreed(context, params):
    return types.EmptyResult()

server = Server("noter", on_list_tools=tools, on_call_tool=write, on_list_resources=resources,
                on_set_logging_level=agreed, on_subscribe_resource=agreed, on_unsubscribe_resource=agreed)

async def main():
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

anyio.run(main)
"""
