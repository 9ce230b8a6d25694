// ECS against the list of fields that Elastic publishes as @elastic/ecs, and CloudEvents with the project's own npm package.
// node check.mjs DIRECTORY NODE_DIRECTORY

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isIP } from "node:net";
import { join } from "node:path";

const [directory, packages] = process.argv.slice(2);
const require = createRequire(join(packages, "package.json"));
const { EcsFlat } = require("@elastic/ecs/generated/ecs_flat.js");
const { HTTP } = require("cloudevents");

const lines = (name) => readFileSync(join(directory, name), "utf8").split("\n").slice(0, -1);
const expected = lines("expected.ndjson").map((line) => JSON.parse(line));
let failed = false;

function report(label, name, check) {
  const found = lines(name);
  const wrong = found.length === expected.length && found.length > 0 ? [] : [`${found.length} messages`];
  found.forEach((line, at) => wrong.push(...check(line, expected[at])));
  wrong.slice(0, 20).forEach((error) => console.error(`  ${error.slice(0, 400)}`));
  console.log(`${label}: ${found.length} messages, ${wrong.length} errors`);
  failed ||= wrong.length > 0;
}

// A value by the type that the list has for its name.
const types = {
  keyword: (value) => typeof value === "string",
  wildcard: (value) => typeof value === "string",
  match_only_text: (value) => typeof value === "string",
  date: (value) => typeof value === "string" && !Number.isNaN(Date.parse(value)),
  long: (value) => Number.isInteger(value),
  ip: (value) => isIP(value) !== 0,
};

function fields(value, path, wrong) {
  const field = EcsFlat[path];
  if (path === "labels") {
    for (const [name, label] of Object.entries(value)) {
      if (name.includes(".") || ![label].flat().every((one) => typeof one === "string")) wrong.push(`labels.${name}`);
    }
  } else if (field) {
    const isList = Array.isArray(value);
    if (isList !== (field.normalize ?? []).includes("array")) wrong.push(`${path}: list or not`);
    for (const one of [value].flat()) {
      if (!types[field.type]?.(one)) wrong.push(`${path}: ${JSON.stringify(one)} is no ${field.type}`);
      const allowed = field.allowed_values?.map((known) => known.name);
      if (allowed && !allowed.includes(one)) wrong.push(`${path}: ${one} is not allowed`);
    }
  } else if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [name, inner] of Object.entries(value)) fields(inner, path ? `${path}.${name}` : name, wrong);
  } else {
    wrong.push(`${path} is not in the list`);
  }
}

// Which types a category goes with.
function categories(event, wrong) {
  for (const category of event.category ?? []) {
    const known = EcsFlat["event.category"].allowed_values.find((one) => one.name === category);
    for (const type of event.type ?? []) {
      if (!known?.expected_event_types?.includes(type)) wrong.push(`event.type ${type} with ${category}`);
    }
  }
}

report("ecs", "ecs.ndjson", (line, item) => {
  const wrong = [];
  const found = JSON.parse(line);
  fields(found, "", wrong);
  categories(found.event, wrong);
  const pairs = [[found.event.id, item.id], [found.organization.id, item.tenant]];
  if (item.type === "alert") {
    pairs.push([found.event.reason, item.explanation], [found.rule.name, item.title], [found.rule.id, item.rule_id]);
    pairs.push([found.event.action, item.state], [found.event.sequence, item.sequence], [found.labels.entity, item.entity]);
    pairs.push([JSON.stringify(found.labels.observables ?? []), JSON.stringify(item.observables)]);
  }
  if (item.type === "event") {
    pairs.push([found.labels.session_id, item.session_id], [found.user?.id, item.columns.user_id]);
    pairs.push([found.source?.address, item.columns.source_ip], [found.labels.target, item.columns.target]);
  }
  pairs.filter(([a, b]) => a !== b).forEach(([a, b]) => wrong.push(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`));
  return wrong;
});

report("cloudevents (npm)", "cloudevents.ndjson", (line, item) => {
  const headers = { "content-type": "application/cloudevents+json; charset=utf-8" };
  const event = HTTP.toEvent({ headers, body: line });
  const wrong = [];
  if (!event.validate()) wrong.push("not valid");
  if (event.data.tenant !== item.tenant || event.data.type !== item.type) wrong.push("data is another's");
  if (item.type === "alert" && event.data.explanation !== item.explanation) wrong.push("the explanation is another");
  return wrong;
});

process.exit(failed ? 1 : 0);
