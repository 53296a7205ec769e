// A server of MCP with the tools, resources and prompts that the conformance tests call. Argument: its port.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";
const text = (said) => ({ type: "text", text: said });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const resource = (uri, mimeType, said) => ({ type: "resource", resource: { uri, mimeType, text: said } });
const content = (...parts) => ({ content: parts });

async function elicit(extra, properties) {
  const params = { message: "Please answer.", requestedSchema: { type: "object", properties, required: [] } };
  const answer = await extra.sendRequest({ method: "elicitation/create", params }, types.ElicitResultSchema);
  return content(text(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content)}`));
}

const titled = (names) => names.map((title, at) => ({ const: `value${at + 1}`, title }));
const tools = {
  test_simple_text: () => content(text("This is a simple text response for testing.")),
  test_image_content: () => content(image),
  test_audio_content: () => content({ type: "audio", data: WAV, mimeType: "audio/wav" }),
  test_embedded_resource: () =>
    content(resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")),
  test_multiple_content_types: () =>
    content(
      text("Multiple content types test:"),
      image,
      resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ),
  test_tool_with_logging: async (_, extra) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await extra.sendNotification({ method: "notifications/message", params: { level: "info", data } });
      await sleep(50);
    }
    return content(text("Logged."));
  },
  test_error_handling: () => ({ ...content(text("This tool intentionally returns an error for testing")), isError: true }),
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
  json_schema_2020_12_tool: () => content(text("ok")),
};
const schemas = {
  test_sampling: { type: "object", properties: { prompt: { type: "string" } }, required: ["prompt"] },
  json_schema_2020_12_tool: {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    $defs: { address: { type: "object", properties: { street: { type: "string" }, city: { type: "string" } } } },
    properties: { name: { type: "string" }, address: { $ref: "#/$defs/address" } },
    additionalProperties: false,
  },
};

const resources = [
  { uri: "test://static-text", name: "Text", description: "A text", mimeType: "text/plain" },
  { uri: "test://static-binary", name: "Image", description: "An image", mimeType: "image/png" },
  { uri: "test://watched-resource", name: "Watched", description: "A text that changes", mimeType: "text/plain" },
];
const user = (said) => ({ role: "user", content: said });
const needed = (name) => ({ name, description: "A test argument", required: true });
const prompts = {
  test_simple_prompt: { arguments: [], says: () => [user(text("This is a simple prompt for testing."))] },
  test_prompt_with_arguments: {
    arguments: [needed("arg1"), needed("arg2")],
    says: ({ arg1, arg2 }) => [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  },
  test_prompt_with_embedded_resource: {
    arguments: [needed("resourceUri")],
    says: ({ resourceUri }) => [
      user(resource(resourceUri, "text/plain", "Embedded resource content for testing.")),
      user(text("Please process the embedded resource above.")),
    ],
  },
  test_prompt_with_image: { arguments: [], says: () => [user(image), user(text("Please analyze the image above."))] },
};

function read(uri) {
  const id = /^test:\/\/template\/(.+)\/data$/.exec(uri)?.[1];
  const said = id && JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
  if (id) return { uri, mimeType: "application/json", text: said };
  if (uri === "test://static-binary") return { uri, mimeType: "image/png", blob: PNG };
  return { uri, mimeType: "text/plain", text: "This is the content of the static text resource." };
}

function made() {
  const capabilities = { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} };
  const server = new Server({ name: "conformance", version: "1.0.0" }, { capabilities });
  const on = (schema, handler) => server.setRequestHandler(schema, handler);
  on(types.ListToolsRequestSchema, () => ({
    tools: Object.keys(tools).map((name) => ({ name, description: `Tests ${name}`, inputSchema: schemas[name] ?? { type: "object" } })),
  }));
  on(types.CallToolRequestSchema, ({ params }, extra) => tools[params.name](params.arguments ?? {}, extra));
  on(types.ListResourcesRequestSchema, () => ({ resources }));
  on(types.ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [{ uriTemplate: "test://template/{id}/data", name: "Template", description: "Data", mimeType: "application/json" }],
  }));
  on(types.ReadResourceRequestSchema, ({ params }) => ({ contents: [read(params.uri)] }));
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
