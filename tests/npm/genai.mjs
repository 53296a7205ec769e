import { GoogleGenAI } from "@google/genai";
import { all, CARD, exhausted, failed, FLOW, key, tell, TEXT, url } from "./said.mjs";

const made = (apiKey, headers = {}) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url, headers } });
const { models } = made(key);
const tools = [{ functionDeclarations: [{ name: "send", parameters: { type: "OBJECT", properties: { to: { type: "STRING" } } } }] }];

tell("content", (await models.generateContent({ model: "gemini-echo", contents: TEXT })).text);
const pieces = await all(await models.generateContentStream({ model: "gemini-echo", contents: TEXT }));
tell("stream", pieces.map((piece) => piece.text ?? "").join(""));
tell("tool", (await models.generateContent({ model: "gemini-call", contents: TEXT, config: { tools } })).functionCalls[0].args);
tell("count", (await models.countTokens({ model: "gemini-echo", contents: TEXT })).totalTokens);
tell("embedding", (await models.embedContent({ model: "gemini-echo", contents: TEXT })).embeddings[0].values.length);

tell("blocked", await failed(() => models.generateContent({ model: "gemini-echo", contents: CARD })));
tell("fault", await failed(async () => all(await models.generateContentStream({ model: "gemini-mid-error", contents: TEXT }))));
const flow = made(key, FLOW);
tell("quota", await exhausted(() => flow.models.generateContent({ model: "gemini-echo", contents: "hi" })));
tell("key", await failed(() => made("wrong").models.generateContent({ model: "gemini-echo", contents: "hi" })));
