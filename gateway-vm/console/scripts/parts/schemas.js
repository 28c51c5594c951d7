// What an operation takes and answers, as tables.

import { h } from "../core/dom.js";

const DEEPEST = 3;

const resolved = (schema, document) =>
  (schema?.$ref ? document.components.schemas[schema.$ref.split("/").at(-1)] : schema) ?? {};
const nameOf = (schema) => schema?.$ref?.split("/").at(-1);

/** A type in a few words: `string`, `list of JobView`, `one of queued, failed`. */
export function typeOf(schema, document) {
  if (!schema) return "anything";
  if (schema.$ref) {
    const target = resolved(schema, document);
    return target.enum ? typeOf(target, document) : nameOf(schema);
  }
  if (schema.enum) return `one of ${schema.enum.join(", ")}`;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (choices) return choices.map((one) => typeOf(one, document)).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items, document)}`;
  return [schema.type ?? "anything", schema.format ? `(${schema.format})` : ""].join(" ").trim();
}

function bounds(schema) {
  const parts = [
    ["minimum", "at least"],
    ["maximum", "at most"],
    ["maxLength", "characters at most"],
    ["minItems", "items at least"],
    ["maxItems", "items at most"],
    ["pattern", "like"],
  ]
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, text]) => `${text} ${schema[name]}`);
  if (schema.default !== undefined && schema.default !== null && typeof schema.default !== "object")
    parts.unshift(`by default ${schema.default}`);
  return parts.join("; ");
}

function table(caption, rows) {
  return h(
    "div",
    { class: "scroll-x", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      { class: "plain" },
      h("caption", { class: "visually-hidden" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          ["Name", "Type", "About"].map((text) => h("th", { scope: "col" }, text)),
        ),
      ),
      h("tbody", {}, rows),
    ),
  );
}

const row = (name, required, schema, about, document, depth = 0) =>
  h(
    "tr",
    {},
    h(
      "th",
      { scope: "row" },
      h("code", { style: { "padding-inline-start": `${depth * 16}px` } }, name),
      required ? h("span", { class: "faint" }, " needed") : null,
    ),
    h("td", {}, typeOf(schema, document)),
    h("td", {}, about ?? "", " ", h("span", { class: "faint" }, bounds(schema ?? {}))),
  );

export function parametersOf(operation, document) {
  const found = operation.parameters ?? [];
  if (!found.length) return null;
  return [
    h("h3", {}, "Parameters"),
    table(
      "Parameters",
      found.map((one) =>
        row(
          `${one.name}`,
          one.required,
          one.schema,
          [one.in === "query" ? "" : `in the ${one.in}. `, one.description ?? one.schema?.description ?? ""].join(""),
          document,
        ),
      ),
    ),
  ];
}

function fields(schema, document, depth = 0, seen = new Set()) {
  const target = resolved(schema, document);
  const name = nameOf(schema);
  if (name && seen.has(name)) return [];
  const known = new Set([...seen, name]);
  return Object.entries(target.properties ?? {}).flatMap(([field, one]) => {
    const inner = [one, one.items, ...(one.anyOf ?? [])].find(
      (each) => each?.$ref && resolved(each, document).properties,
    );
    return [
      row(field, target.required?.includes(field), one, one.description, document, depth),
      ...(inner && depth < DEEPEST ? fields(inner, document, depth + 1, known) : []),
    ];
  });
}

export function bodyOf(operation, document) {
  const content = Object.entries(operation.requestBody?.content ?? {});
  return content.map(([type, { schema }]) => [
    h("h3", {}, `Body · ${type}`),
    table(`Body as ${type}`, fields(schema, document)),
  ]);
}

export function responsesOf(operation, document) {
  return [
    h("h3", {}, "Answers"),
    h(
      "ul",
      {},
      Object.entries(operation.responses ?? {}).map(([status, answer]) => {
        const schema = Object.values(answer.content ?? {})[0]?.schema;
        const rows = schema && status.startsWith("2") ? fields(schema, document) : [];
        return h(
          "li",
          {},
          h(
            "p",
            {},
            h("strong", {}, status),
            " ",
            answer.description,
            schema ? h("span", { class: "faint" }, ` · ${typeOf(schema, document)}`) : null,
          ),
          rows.length ? table(`Answer ${status}`, rows) : null,
        );
      }),
    ),
  ];
}
