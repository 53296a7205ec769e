import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { all, CARD, exhausted, failed, FLOW, key, tell, TEXT, url } from "./said.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const hi = (text) => [{ role: "user", content: text }];
const send = { name: "send", parameters: { type: "object", properties: { to: { type: "string" } } } };
const tools = [{ type: "function", function: send }];

const chat = await client.chat.completions.create({ model: "echo", messages: hi(TEXT) });
tell("chat", chat.choices[0].message.content);
const pieces = await all(await client.chat.completions.create({ model: "echo", messages: hi(TEXT), stream: true }));
tell("chat stream", pieces.map((piece) => piece.choices[0]?.delta.content ?? "").join(""));
const call = await client.chat.completions.stream({ model: "call", messages: hi(TEXT), tools }).finalChatCompletion();
tell("chat tool", JSON.parse(call.choices[0].message.tool_calls[0].function.arguments));
const run = client.chat.completions.runTools({
  model: "script",
  messages: hi(TEXT),
  tools: [{ type: "function", function: { ...send, parse: JSON.parse, function: ({ to }) => `sent to ${to}` } }],
});
tell("chat loop", await run.finalContent());

tell("responses", (await client.responses.create({ model: "echo", input: TEXT })).output_text);
const stream = client.responses.stream({ model: "echo", input: TEXT });
tell("responses stream", (await stream.finalResponse()).output_text);
const item = await client.responses.stream({ model: "call", input: TEXT, tools: [{ type: "function", ...send }] }).finalResponse();
tell("responses tool", JSON.parse(item.output[0].arguments));
const vector = await client.embeddings.create({ model: "echo", input: TEXT, encoding_format: "float" });
tell("embeddings", vector.data[0].embedding.length);
tell("models", (await all(await client.models.list())).some((model) => model.id === "echo"));

const socket = new ResponsesWS(client);
const heard = (input) =>
  new Promise((done, fail) => {
    let text = "";
    socket.removeAllListeners?.();
    socket.on("error", fail);
    socket.on("response.output_text.delta", (event) => (text += event.delta));
    socket.on("response.completed", () => done(text));
    socket.send({ type: "response.create", model: "echo", input, store: false });
  });
tell("websocket", await heard(TEXT));
tell("websocket blocked", await failed(() => heard(CARD)));
socket.close();

const { chat: { completions }, responses } = client;
tell("chat blocked", await failed(() => completions.create({ model: "echo", messages: hi(CARD) })));
tell("responses blocked", await failed(() => responses.create({ model: "echo", input: CARD, stream: true })));
tell("chat fault", await failed(async () => all(await completions.create({ model: "mid-error", messages: hi(TEXT), stream: true }))));
tell("responses fault", await failed(async () => all(await responses.create({ model: "mid-error", input: TEXT, stream: true }))));
tell("quota", await exhausted(() => completions.create({ model: "echo", messages: hi("hi") }, { headers: FLOW })));
tell("key", await failed(() => new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong", maxRetries: 0 }).models.list()));
