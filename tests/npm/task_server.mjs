// A server of MCP whose tool runs as a task. All sessions have the same tasks, as those of one account do.
// Argument: its port.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { InMemoryTaskMessageQueue, InMemoryTaskStore } from "@modelcontextprotocol/sdk/experimental/tasks";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

class SharedStore extends InMemoryTaskStore {
  lookup(id) {
    return super.lookup(id, undefined);
  }
  createTask(given, id, request) {
    return super.createTask(given, id, request, undefined);
  }
  listTasks(cursor) {
    return super.listTasks(cursor, undefined);
  }
}

const taskStore = new SharedStore();
const taskMessageQueue = new InMemoryTaskMessageQueue();
const waiting = new Map();

function made() {
  const capabilities = { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } };
  const server = new McpServer({ name: "tasks", version: "1.0.0" }, { capabilities, taskStore, taskMessageQueue });
  const inputSchema = { about: z.string() };
  server.experimental.tasks.registerToolTask("report", { description: "Write a report", inputSchema }, {
    async createTask({ about }, extra) {
      const task = await extra.taskStore.createTask({ ttl: 60000, pollInterval: 20 });
      waiting.set(about, async () => {
        const result = { content: [{ type: "text", text: `${about}: ask ann.lee@example.org.` }] };
        await extra.taskStore.storeTaskResult(task.taskId, "completed", result);
      });
      return { task };
    },
    getTask: (_, extra) => extra.taskStore.getTask(extra.taskId),
    getTaskResult: (_, extra) => extra.taskStore.getTaskResult(extra.taskId),
  });
  server.registerTool("finish", { description: "End a report", inputSchema }, async ({ about }) => {
    await waiting.get(about)();
    return { content: [{ type: "text", text: "Ended." }] };
  });
  return server;
}

const sessions = new Map();
const http = createServer(async (request, response) => {
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
