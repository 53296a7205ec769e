// The official clients of MCP: the one of sessions, and the newer one in either era.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { failed, key, tell, url } from "./said.mjs";

const about = { name: "tests", version: "1.0.0" };
const requestInit = { headers: { authorization: `Bearer ${key}` } };
const clients = {
  old: () => [new OldClient(about), OldTransport],
  legacy: () => [new Client(about, { versionNegotiation: { mode: "legacy" } }), StreamableHTTPClientTransport],
  modern: () => [new Client(about, { versionNegotiation: { mode: { pin: "2026-07-28" } } }), StreamableHTTPClientTransport],
};

for (const [name, made] of Object.entries(clients)) {
  const at = async (server) => {
    const [client, Transport] = made();
    await client.connect(new Transport(new URL(`${url}/mcp${server}`), { requestInit }));
    return client;
  };
  const everything = await at("/everything");
  const tools = (await everything.listTools()).tools.map((tool) => tool.name);
  const call = (tool, given) => everything.callTool({ name: tool, arguments: given });
  tell(name, {
    tools,
    sum: (await call("get-sum", { a: 2, b: 3 })).content[0].text,
    echo: (await call("echo", { message: "Tell bob.jones@example.org." })).content[0].text,
    weather: (await call("get-structured-content", { location: "Chicago" })).structuredContent,
    prompts: (await everything.listPrompts()).prompts.map((prompt) => prompt.name),
    resources: (await everything.listResources()).resources.length > 0,
    unknown: await failed(() => call("none", {})),
    blocked: await failed(() => call("echo", { message: "Charge 4111 1111 1111 1111." })),
  });
  await everything.close();
  const files = await at("/files");
  const note = process.env.NOTE;
  tell(`${name} files`, (await files.callTool({ name: "read_text_file", arguments: { path: note } })).content[0].text);
  await files.close();
  const all = await at("");
  tell(`${name} all`, (await all.listTools()).tools.length);
  await all.close();
}
