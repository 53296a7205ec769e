// A server of MCP with the tools, resources and prompts that the conformance tests call.
// Arguments: its port, and `bare` for names of tools without `test_`.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
import { content, plain, prompts, read, resources, schemas, templates, text } from "./conformance_parts.mjs";

async function elicit(extra, properties) {
  const params = { message: "Please answer.", requestedSchema: { type: "object", properties, required: [] } };
  const answer = await extra.sendRequest({ method: "elicitation/create", params }, types.ElicitResultSchema);
  return content(text(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content)}`));
}

const titled = (names) => names.map((title, at) => ({ const: `value${at + 1}`, title }));
const offered = {
  ...plain,
  test_tool_with_logging: async (_, extra) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await extra.sendNotification({ method: "notifications/message", params: { level: "info", data } });
      await sleep(50);
    }
    return content(text("Logged."));
  },
  test_tool_with_progress: async (_, extra) => {
    const progressToken = extra._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        await extra.sendNotification({ method: "notifications/progress", params: { progressToken, progress, total: 100 } });
      }
      await sleep(50);
    }
    return content(text("Done."));
  },
  test_sampling: async ({ prompt }, extra) => {
    const params = { messages: [{ role: "user", content: text(prompt) }], maxTokens: 100 };
    const answer = await extra.sendRequest({ method: "sampling/createMessage", params }, types.CreateMessageResultSchema);
    return content(text(`LLM response: ${answer.content.text}`));
  },
  test_elicitation: (_, extra) => elicit(extra, { username: { type: "string" }, email: { type: "string" } }),
  test_elicitation_sep1034_defaults: (_, extra) =>
    elicit(extra, {
      name: { type: "string", default: "John Doe" },
      age: { type: "integer", default: 30 },
      score: { type: "number", default: 95.5 },
      status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
      verified: { type: "boolean", default: true },
    }),
  test_elicitation_sep1330_enums: (_, extra) =>
    elicit(extra, {
      untitledSingle: { type: "string", enum: ["option1", "option2", "option3"] },
      titledSingle: { type: "string", oneOf: titled(["First Option", "Second Option", "Third Option"]) },
      legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] },
      untitledMulti: { type: "array", items: { type: "string", enum: ["option1", "option2", "option3"] } },
      titledMulti: { type: "array", items: { anyOf: titled(["First Choice", "Second Choice", "Third Choice"]) } },
    }),
};
const bare = process.argv[3] === "bare";
const tools = Object.fromEntries(Object.entries(offered).map(([name, does]) => [bare ? name.replace(/^test_/, "") : name, does]));

function made() {
  const capabilities = { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} };
  const server = new Server({ name: "conformance", version: "1.0.0" }, { capabilities });
  const on = (schema, handler) => server.setRequestHandler(schema, handler);
  on(types.ListToolsRequestSchema, () => ({
    tools: Object.keys(tools).map((name) => ({ name, description: `Tests ${name}`, inputSchema: schemas[bare ? `test_${name}` : name] ?? schemas[name] ?? { type: "object" } })),
  }));
  on(types.CallToolRequestSchema, ({ params }, extra) => tools[params.name](params.arguments ?? {}, extra));
  on(types.ListResourcesRequestSchema, () => ({ resources }));
  on(types.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: templates }));
  on(types.ReadResourceRequestSchema, ({ params }) => {
    const found = read(params.uri);
    if (found === undefined) throw new types.McpError(-32002, "Resource not found", { uri: params.uri });
    return { contents: [found] };
  });
  on(types.SubscribeRequestSchema, () => ({}));
  on(types.UnsubscribeRequestSchema, () => ({}));
  on(types.ListPromptsRequestSchema, () => ({
    prompts: Object.entries(prompts).map(([name, { arguments: given }]) => ({ name, description: `Tests ${name}`, arguments: given })),
  }));
  on(types.GetPromptRequestSchema, ({ params }) => ({ messages: prompts[params.name].says(params.arguments ?? {}) }));
  on(types.CompleteRequestSchema, () => ({ completion: { values: [], total: 0, hasMore: false } }));
  return server;
}

const sessions = new Map();
const http = createServer(async (request, response) => {
  if (!/^(localhost|127\.0\.0\.1)(:\d+)?$/.test(request.headers.host ?? "")) {
    response.writeHead(403).end();
    return;
  }
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (transport === undefined) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await made().connect(transport);
  }
  await transport.handleRequest(request, response);
});
http.listen(Number(process.argv[2]), "127.0.0.1");
