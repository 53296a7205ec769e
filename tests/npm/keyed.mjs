// For clients that cannot send a key: a proxy that adds one to each request. Arguments: its port, the URL, the key.
import { createServer, request } from "node:http";

const [port, url, key] = process.argv.slice(2);
createServer((incoming, outgoing) => {
  const headers = { ...incoming.headers, authorization: `Bearer ${key}` };
  const further = request(url, { method: incoming.method, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  further.on("error", () => outgoing.destroy());
  outgoing.on("close", () => further.destroy());
  incoming.pipe(further);
}).listen(Number(port), "127.0.0.1");
