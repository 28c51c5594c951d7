// Reads a JSON list of LogQL queries and writes, for each, where its grammar breaks: a list of offsets, empty if nowhere.
import { readFileSync } from "node:fs";
import { parser } from "@grafana/lezer-logql";

const broken = (query) => {
  const offsets = [];
  parser.parse(query).iterate({ enter: (node) => { if (node.type.isError) offsets.push(node.from); } });
  return offsets;
};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(broken)));
