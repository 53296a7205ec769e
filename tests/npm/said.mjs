// What the scripts share: the gateway, texts, and how an error of a client is told.
export const { URL: url, KEY: key } = process.env;
export const TEXT = "Tell bob.jones@example.org that the meeting is at noon.";
export const CARD = "Charge 4111 1111 1111 1111.";
const script = process.argv[1].split("/").at(-1);
export const FLOW = { "x-correlation-id": `ended-${script}` };

/** The error that a call throws: its class, status, code and message. */
export async function failed(call) {
  try {
    await call();
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? error.statusCode ?? null,
      code: error.code ?? error.error?.error?.code ?? error.responseHeaders?.["x-meshgate-code"] ?? null,
      message: error.message,
    };
  }
  return null;
}

/** The last error of calls in a workflow that may make two. */
export async function exhausted(call) {
  await call();
  await call();
  return failed(call);
}

/** Everything that a stream yields. */
export async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const results = {};
/** Keep a result under a name. */
export function tell(name, value) {
  results[name] = value;
}
process.on("exit", () => process.stdout.write(JSON.stringify(results)));
