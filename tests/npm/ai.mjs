import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { all, CARD, exhausted, failed, FLOW, key, tell, TEXT, url } from "./said.mjs";

const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
const anthropic = createAnthropic({ baseURL: `${url}/v1`, apiKey: key });
const models = {
  chat: (name) => openai.chat(name),
  responses: (name) => openai.responses(name),
  messages: (name) => anthropic(`claude-${name}`),
};
const sent = [];
const tools = {
  send: tool({
    inputSchema: jsonSchema({ type: "object", properties: { to: { type: "string" } }, required: ["to"] }),
    execute: async ({ to }) => (sent.push(to), "sent"),
  }),
};

for (const [name, model] of Object.entries(models)) {
  const one = (made, prompt, more) => ({ model: model(made), prompt, maxRetries: 0, ...more });
  tell(name, (await generateText(one("echo", TEXT))).text);
  const parts = await all(streamText(one("echo", TEXT)).fullStream);
  tell(`${name} stream`, parts.map((part) => (part.type === "text-delta" ? part.text : "")).join(""));
  await generateText(one("call", TEXT, { tools, stopWhen: stepCountIs(1) }));
  tell(`${name} tool`, sent.pop());
  tell(`${name} blocked`, await failed(() => generateText(one("echo", CARD))));
  const broken = await all(streamText(one("mid-error", TEXT, { onError() {} })).fullStream);
  tell(`${name} fault`, broken.filter((part) => part.type === "error").length);
  const flow = { headers: { "x-correlation-id": `${FLOW["x-correlation-id"]}-${name}` } };
  tell(`${name} quota`, await exhausted(() => generateText(one("echo", "hi", flow))));
}
