import Anthropic from "@anthropic-ai/sdk";
import { all, CARD, exhausted, failed, FLOW, key, tell, TEXT, url } from "./said.mjs";

const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const asked = (model, text, more) => ({ model, max_tokens: 64, messages: [{ role: "user", content: text }], ...more });
const tools = [{ name: "send", input_schema: { type: "object", properties: { to: { type: "string" } } } }];

tell("message", (await client.messages.create(asked("claude-echo", TEXT))).content[0].text);
tell("stream", await client.messages.stream(asked("claude-echo", TEXT)).finalText());
const thought = await client.messages.stream(asked("claude-think", TEXT)).finalMessage();
tell("thinking", thought.content.map((block) => block.type));
tell("tool", (await client.messages.stream(asked("claude-call", TEXT, { tools })).finalMessage()).content[0].input);
tell("count", (await client.messages.countTokens({ model: "claude-echo", messages: asked("", TEXT).messages })).input_tokens);

tell("blocked", await failed(() => client.messages.create(asked("claude-echo", CARD))));
tell("fault", await failed(() => client.messages.stream(asked("claude-mid-error", TEXT)).finalMessage()));
tell("quota", await exhausted(() => client.messages.create(asked("claude-echo", "hi"), { headers: FLOW })));
tell("key", await failed(() => new Anthropic({ baseURL: url, apiKey: "wrong", maxRetries: 0 }).messages.create(asked("claude-echo", "hi"))));
