// Calls tools of `fieldvitals mcp` with the reference client of the protocol, and prints the results as JSON. CALLS is a
// list of {"name", "arguments"}.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const { BINARY, FIELDVITALS_SERVER, FIELDVITALS_TOKEN, CALLS } = process.env;
const transport = new StdioClientTransport({
  command: BINARY,
  args: ["mcp"],
  env: { FIELDVITALS_SERVER, FIELDVITALS_TOKEN },
  stderr: "pipe",
});
let log = "";
transport.stderr.on("data", (part) => (log += part));
const client = new Client({ name: "test", version: "1.0.0" });
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
for (const call of JSON.parse(CALLS)) {
  try {
    results.push(await client.callTool(call));
  } catch (error) {
    results.push({ thrown: error.message });
  }
}
const server = client.getServerVersion();
await client.close();
console.log(JSON.stringify({ server, tools, results, log }));
