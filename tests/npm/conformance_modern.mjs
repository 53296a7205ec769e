// A server of MCP 2026-07-28 with the tools, resources and prompts that the conformance tests call.
// Arguments: its port, and `bare` for names of tools without `test_`.
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import {
  createMcpHandler,
  createRequestStateCodec,
  inputRequired,
  MissingRequiredClientCapabilityError,
  ResourceNotFoundError,
  Server,
} from "@modelcontextprotocol/server";
import { content, plain, prompts, read, resources, schemas, templates, text } from "./conformance_parts.mjs";

const states = createRequestStateCodec({ key: randomBytes(32) });
const elicit = (message, name, type = "string") =>
  inputRequired.elicit({ message, requestedSchema: { type: "object", properties: { [name]: { type } }, required: [name] } });
const sample = (said, maxTokens) =>
  inputRequired.createMessage({ messages: [{ role: "user", content: text(said) }], maxTokens });
const given = (ctx, key, name) => ctx.mcpReq.inputResponses?.[key]?.content?.[name];
const capabilities = (ctx) => ctx.mcpReq.envelope?.["io.modelcontextprotocol/clientCapabilities"] ?? {};
const asked = async (inputRequests, step) =>
  inputRequired({ inputRequests, ...(step === undefined ? {} : { requestState: await states.mint({ step }) }) });

const offered = {
  ...plain,
  test_tool_with_progress: async (_, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        await ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 100 } });
      }
      await sleep(50);
    }
    return content(text("Done."));
  },
  test_tool_with_logging: async (_, ctx) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await ctx.mcpReq.log("info", data);
      await sleep(50);
    }
    return content(text("Logged."));
  },
  test_logging_tool: async (_, ctx) => {
    await ctx.mcpReq.log("info", "A line of the log.");
    return content(text("Logged."));
  },
  test_missing_capability: (_, ctx) => {
    if (capabilities(ctx).sampling === undefined) {
      throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
    }
    return content(text("ok"));
  },
  test_streaming_elicitation: () => asked({ user_name: elicit("What is your name?", "name") }),
  test_trigger_tool_change: () => (handler.notify.toolsChanged(), content(text("The tools changed."))),
  test_trigger_prompt_change: () => (handler.notify.promptsChanged(), content(text("The prompts changed."))),
  test_custom_headers: ({ region }) => content(text(`In ${region}.`)),
  test_input_required_result_elicitation: (_, ctx) => {
    const name = given(ctx, "user_name", "name");
    return name === undefined ? asked({ user_name: elicit("What is your name?", "name") }) : content(text(`Hello, ${name}!`));
  },
  test_input_required_result_sampling: (_, ctx) => {
    const said = ctx.mcpReq.inputResponses?.capital_question?.content?.text;
    return said === undefined ? asked({ capital_question: sample("What is the capital of France?", 100) }) : content(text(said));
  },
  test_input_required_result_list_roots: (_, ctx) => {
    const roots = ctx.mcpReq.inputResponses?.client_roots?.roots;
    return roots === undefined
      ? asked({ client_roots: inputRequired.listRoots() })
      : content(text(roots.map((root) => root.uri).join(" ")));
  },
  test_input_required_result_request_state: (_, ctx) =>
    given(ctx, "confirm", "ok") !== undefined && ctx.mcpReq.requestState()?.step === 1
      ? content(text("state-ok"))
      : asked({ confirm: elicit("Please confirm", "ok", "boolean") }, 1),
  test_input_required_result_tampered_state: (_, ctx) =>
    ctx.mcpReq.requestState() === undefined ? asked({ confirm: elicit("Please confirm", "ok", "boolean") }, 1) : content(text("ok")),
  test_input_required_result_multiple_inputs: (_, ctx) => {
    const keys = ["user_name", "greeting", "client_roots"];
    if (keys.every((key) => ctx.mcpReq.inputResponses?.[key] !== undefined)) return content(text("All are there."));
    return asked(
      {
        user_name: elicit("What is your name?", "name"),
        greeting: sample("Generate a greeting", 50),
        client_roots: inputRequired.listRoots(),
      },
      1,
    );
  },
  test_input_required_result_multi_round: (_, ctx) => {
    const step = ctx.mcpReq.requestState()?.step ?? 0;
    if (step === 1 && given(ctx, "step1", "name") !== undefined) {
      return asked({ step2: elicit("Step 2: What is your favorite color?", "color") }, 2);
    }
    if (step === 2 && given(ctx, "step2", "color") !== undefined) return content(text("Done."));
    return asked({ step1: elicit("Step 1: What is your name?", "name") }, 1);
  },
  test_input_required_result_capabilities: (_, ctx) => {
    const able = capabilities(ctx);
    return asked({
      ...(able.sampling === undefined ? {} : { greeting: sample("Generate a greeting", 50) }),
      ...(able.elicitation === undefined ? {} : { user_name: elicit("What is your name?", "name") }),
    });
  },
};
const inputs = {
  ...schemas,
  test_custom_headers: {
    type: "object",
    properties: { region: { type: "string", "x-mcp-header": "Region" } },
    required: ["region"],
  },
};
const asking = {
  arguments: [],
  says: (_, ctx) => {
    const said = given(ctx, "user_context", "context");
    return said === undefined
      ? asked({ user_context: elicit("What context should the prompt use?", "context") })
      : [{ role: "user", content: text(said) }];
  },
};
const all = { ...prompts, test_input_required_result_prompt: asking };

const bare = process.argv[3] === "bare";
const tools = Object.fromEntries(Object.entries(offered).map(([name, does]) => [bare ? name.replace(/^test_/, "") : name, does]));

function made() {
  const kinds = { tools: { listChanged: true }, resources: {}, prompts: { listChanged: true }, logging: {}, completions: {} };
  const server = new Server(
    { name: "conformance", version: "1.0.0" },
    { capabilities: kinds, requestState: { verify: states.verify } },
  );
  const on = (method, handle) => server.setRequestHandler(method, handle);
  on("tools/list", () => ({
    tools: Object.keys(tools).map((name) => ({
      name,
      description: `Tests ${name}`,
      inputSchema: inputs[bare ? `test_${name}` : name] ?? inputs[name] ?? { type: "object" },
    })),
  }));
  on("tools/call", ({ params }, ctx) => tools[params.name](params.arguments ?? {}, ctx));
  on("resources/list", () => ({ resources }));
  on("resources/templates/list", () => ({ resourceTemplates: templates }));
  on("resources/read", ({ params }) => {
    const found = read(params.uri);
    if (found === undefined) throw new ResourceNotFoundError(params.uri);
    return { contents: [found] };
  });
  on("prompts/list", () => ({
    prompts: Object.entries(all).map(([name, { arguments: needed }]) => ({ name, description: `Tests ${name}`, arguments: needed })),
  }));
  on("prompts/get", async ({ params }, ctx) => {
    const said = await all[params.name].says(params.arguments ?? {}, ctx);
    return Array.isArray(said) ? { messages: said } : said;
  });
  on("completion/complete", () => ({ completion: { values: [], total: 0, hasMore: false } }));
  return server;
}

const handler = createMcpHandler(made, { legacy: "reject" });
createServer(async (request, response) => {
  const local = /^(localhost|127\.0\.0\.1)(:\d+)?$/;
  const origin = request.headers.origin;
  if (!local.test(request.headers.host ?? "") || (origin !== undefined && !local.test(new URL(origin).host))) {
    response.writeHead(403).end();
    return;
  }
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const body = request.method === "POST" ? Readable.toWeb(request) : undefined;
  const options = { method: request.method, headers: request.headers, body, duplex: "half", signal: gone.signal };
  const answer = await handler.fetch(new Request(`http://${request.headers.host}${request.url}`, options));
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (answer.body === null) response.end();
  else Readable.fromWeb(answer.body).on("error", () => response.destroy()).pipe(response);
}).listen(Number(process.argv[2]), "127.0.0.1");
