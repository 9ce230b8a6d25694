// Captured requests of a webhook, verified by Standard Webhooks' own library (HMAC) and, since that knows no Ed25519, by Node's.
// Arguments: the directory of node_modules, a file of {"secret", "public", "requests": [{"headers", "body"}]}.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, file] = process.argv.slice(2);
const { Webhook } = createRequire(`${modules}/`)("standardwebhooks");
const { secret, public: publicKey, requests } = JSON.parse(readFileSync(file, "utf8"));
// An Ed25519 key as X.509 has it: a constant head and 32 bytes.
const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(publicKey.slice("whpk_".length), "base64")]);
const key = createPublicKey({ key: der, format: "der", type: "spki" });
for (const { headers, body } of requests) {
  new Webhook(secret).verify(body, headers);
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const signatures = headers["webhook-signature"].split(" ").filter((one) => one.startsWith("v1a,"));
  if (!signatures.some((one) => verify(null, signed, key, Buffer.from(one.slice(4), "base64")))) {
    throw new Error("no Ed25519 signature is right");
  }
  try {
    new Webhook(secret).verify(`${body} `, headers);
  } catch {
    continue;
  }
  throw new Error("another body is as good");
}
console.log(`standardwebhooks of npm: ${requests.length} requests verified`);
