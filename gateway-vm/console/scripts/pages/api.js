// The services' OpenAPI documents, to be read here; Swagger UI, which tries requests, is a link away.

import { BASE, send } from "../core/api.js";
import { h, put } from "../core/dom.js";
import { setQuery } from "../core/router.js";
import { bodyOf, parametersOf, responsesOf } from "../parts/schemas.js";
import { empty, field, pageHead, problem, segments, tag, waitingLines } from "../parts/ui.js";
import { SERVICES } from "./overview.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

export async function show({ view, signal, query }) {
  const wanted = {
    service: SERVICES.includes(query.get("service")) ? query.get("service") : SERVICES[0],
    find: query.get("find") ?? "",
  };
  const place = h("div", {});
  const find = h("input", {
    type: "search",
    value: wanted.find,
    placeholder: "jobs, search, corpus_name",
    oninput: () => {
      wanted.find = find.value.trim();
      draw();
    },
  });
  const swagger = h("a", { class: "button", target: "_blank", rel: "noopener" }, "Swagger UI ↗");
  let documentOf;
  put(
    view,
    pageHead("API", { lead: "What every client can do, this console among them.", actions: [swagger] }).element,
    h(
      "div",
      { class: "filters" },
      segments(
        "Service",
        SERVICES.map((name) => [name, name]),
        wanted.service,
        (service) => {
          wanted.service = service;
          read();
        },
      ),
      field("Find", find, { wide: true }),
    ),
    place,
  );

  async function read() {
    swagger.href = new URL(`${wanted.service}/docs`, BASE);
    put(place, waitingLines(10));
    try {
      documentOf = await (await send("GET", wanted.service, "openapi.json", { signal })).json();
      draw();
    } catch (error) {
      if (!signal.aborted) put(place, problem(error, { retry: read }));
    }
  }

  function draw() {
    setQuery(wanted);
    if (!documentOf) return;
    const words = wanted.find.toLowerCase();
    const found = Object.entries(documentOf.paths)
      .flatMap(([path, operations]) =>
        METHODS.filter((method) => operations[method]).map((method) => ({
          path,
          method,
          operation: operations[method],
        })),
      )
      .filter(
        ({ path, method, operation }) =>
          !words ||
          `${method} ${path} ${operation.summary ?? ""} ${operation.description ?? ""} ${JSON.stringify(operation.requestBody ?? "")}`
            .toLowerCase()
            .includes(words),
      );
    const tags = [...new Set(found.map(({ operation }) => operation.tags?.[0] ?? "other"))].sort(
      (one, other) => (one === "internal") - (other === "internal"),
    );
    put(
      place,
      found.length
        ? h(
            "div",
            { class: "grid" },
            tags.map((name) =>
              h(
                "section",
                { class: "operations", "aria-label": name },
                h("h2", {}, name),
                found
                  .filter(({ operation }) => (operation.tags?.[0] ?? "other") === name)
                  .map((one) => drawn(one, documentOf, wanted.service)),
              ),
            ),
          )
        : empty("No route is like this", "Try another word."),
    );
  }

  await read();
}

function drawn({ path, method, operation }, document, service) {
  const body = h("div", { class: "body" });
  const details = h(
    "details",
    { class: "card operation" },
    h(
      "summary",
      {},
      h("span", { class: `method ${method}` }, method.toUpperCase()),
      h("code", {}, path),
      h("span", { class: "summary" }, operation.summary ?? ""),
      operation.security ? null : tag("no key"),
    ),
    body,
  );
  details.addEventListener("toggle", () => {
    if (!details.open || body.children.length) return;
    put(
      body,
      h("p", { class: "quiet mono" }, `/api/${service}${path}`),
      operation.description ? h("p", {}, operation.description) : null,
      parametersOf(operation, document),
      bodyOf(operation, document),
      responsesOf(operation, document),
    );
  });
  return details;
}
