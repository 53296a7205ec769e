// The official client of MCP with tasks: two agents at one server.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, CreateTaskResultSchema, TaskStatusNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { failed, tell, url } from "./said.mjs";

async function connected(agent) {
  const client = new Client({ name: "tests", version: "1.0.0" });
  const requestInit = { headers: { authorization: `Bearer mg-${agent}` } };
  let opened;
  const listens = new Promise((resolve) => (opened = resolve));
  const listening = async (...given) => {
    const answer = await fetch(...given);
    if (given[1]?.method === "GET") opened();
    return answer;
  };
  const options = { requestInit, fetch: listening };
  await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp/tasks`), options));
  await listens; // the stream of the session is opened beside `connect`
  return client;
}

const alice = await connected("alice");
const bob = await connected("bob");
const heard = [];
const told = new Promise((resolve) => {
  alice.setNotificationHandler(TaskStatusNotificationSchema, ({ params }) => {
    heard.push(params);
    resolve();
  });
});
const { tasks } = alice.experimental;
const tools = (await alice.listTools()).tools.map((tool) => [tool.name, tool.execution?.taskSupport ?? null]);
const call = { name: "report", arguments: { about: "sales" } };
const seen = [];
let id = null;
for await (const message of tasks.callToolStream(call, CallToolResultSchema, { task: { ttl: 60000 } })) {
  seen.push(message.type);
  if (message.type === "taskCreated") {
    id = message.task.taskId;
    await alice.callTool({ name: "finish", arguments: { about: "sales" } });
  }
  if (message.type === "result") tell("result", message.result.content[0].text);
}
await told;
const other = bob.experimental.tasks;
const his = (await bob.request({ method: "tools/call", params: { ...call, task: {} } }, CreateTaskResultSchema)).task;
tell("first", [seen[0], seen.at(-1)]);
tell("tools", tools);
tell("ids", {
  id,
  heard: heard.map(({ taskId, status }) => [taskId, status]),
  state: (await tasks.getTask(id)).status,
  listed: (await tasks.listTasks()).tasks.map((task) => task.taskId),
  of_bob: (await other.listTasks()).tasks.map((task) => task.taskId === his.taskId),
});
tell("foreign", await failed(() => other.getTask(id)));
tell("cancelled", (await other.cancelTask(his.taskId)).status);
tell("list", alice.getServerCapabilities().tasks);
await alice.close();
await bob.close();
