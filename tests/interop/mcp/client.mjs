// A TypeScript client: calls tools and reads resources of a server over stdio as a plan says, twenty at a time, and prints what
// came of each. Usage: node client.mjs PLAN COMMAND...   PLAN: one {"name", "arguments"} or {"read"} a line. Packages: from the working directory.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const packages = createRequire(`${process.cwd()}/`);
const load = (name) => import(pathToFileURL(packages.resolve(`@modelcontextprotocol/sdk/client/${name}`)));
const { Client } = await load("index.js");
const { StdioClientTransport } = await load("stdio.js");

const [plan, command, ...args] = process.argv.slice(2);
const calls = readFileSync(plan, "utf8").split("\n").filter(Boolean).map(JSON.parse);
const client = new Client({ name: "typescript-client", version: "1.0" });
await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" }));
await client.listTools();
const outcomes = [];
for (let at = 0; at < calls.length; at += 20) {
  const some = calls.slice(at, at + 20).map(async (call) => {
    try {
      if (call.read) {
        await client.readResource({ uri: call.read });
        return "ok";
      }
      return (await client.callTool(call)).isError ? "error" : "ok";
    } catch {
      return "error";
    }
  });
  outcomes.push(...(await Promise.all(some)));
}
await client.close();
console.log(JSON.stringify(outcomes));
