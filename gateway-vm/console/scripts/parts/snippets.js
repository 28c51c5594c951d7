// The same request for a shell or a program. The key is never in it.

import { addressOf } from "../core/api.js";
import { h } from "../core/dom.js";
import { copy } from "../elements/copy-text.js";
import { open } from "./dialogs.js";
import { button, toast } from "./ui.js";

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export function asCurl(body) {
  return [
    `curl -H "X-API-Key: $CLOUDCIX_ML_KEY" -H 'Content-Type: application/json' \\`,
    `     -d ${quoted(JSON.stringify(body))} \\`,
    `     ${addressOf("embedding", "search")}`,
  ].join("\n");
}

/** With the project's own client (`gateway-vm/client`), which reads the key from `CLOUDCIX_ML_KEY`. */
export function asPython({ query, filters, ...options }) {
  const url = String(addressOf("", "")).replace(/\/api\/.*$/, "");
  const given = Object.entries(options).map(([name, value]) => `        ${name}=${literal(value, 8)},`);
  const narrowed = filters
    ? [
        `        filters=SearchFilters(${Object.entries(filters)
          .map(([name, value]) => `${name}=${literal(value, 8)}`)
          .join(", ")}),`,
      ]
    : [];
  return [
    `from cloudcix_ml import Client${filters ? ", SearchFilters" : ""}`,
    "",
    `with Client(${JSON.stringify(url)}) as client:`,
    "    answer = client.search(",
    `        ${JSON.stringify(query)},`,
    ...given,
    ...narrowed,
    "    )",
    "    for hit in answer.results:",
    `        print(f"{hit.score:.3f} {hit.url} {hit.text[:80]!r}")`,
    "",
  ].join("\n");
}

/** A value as Python writes it. */
function literal(value, indent) {
  const inner = " ".repeat(indent + 4);
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map((one) => literal(one, indent)).join(", ")}]`;
  if (typeof value === "object")
    return `{\n${Object.entries(value)
      .map(([name, one]) => `${inner}${JSON.stringify(name)}: ${literal(one, indent + 4)},`)
      .join("\n")}\n${" ".repeat(indent)}}`;
  return JSON.stringify(value);
}

export function showCode(name, code) {
  const said = h("p", { class: "quiet", role: "status" }, "The key is read from CLOUDCIX_ML_KEY.");
  const dialog = open(
    h(
      "div",
      { class: "inside" },
      h("h2", {}, `This search as ${name}`),
      h("pre", { class: "code-block", tabindex: "0" }, code),
      said,
      h(
        "div",
        { class: "buttons" },
        button("Close", () => dialog.close()),
        button(
          "Copy",
          async () => {
            if (!(await copy(code))) {
              said.textContent = "The browser does not let this be copied: choose the text yourself.";
              return;
            }
            toast("Copied.");
            dialog.close();
          },
          { class: "primary" },
        ),
      ),
    ),
    { label: `This search as ${name}` },
  );
}
