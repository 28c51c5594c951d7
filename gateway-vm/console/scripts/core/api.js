// Every request of the console: one queue, one way to tell of a failure.

import { forget, key } from "./session.js";

// The gateway counts requests by address (30 a second, and a few at once): an impatient page must not use that up.
const AT_ONCE = 4;
const SPACE_MS = 40;
const TIMEOUT_SECONDS = 70; // longer than anything takes but a file
const RETRIES = 3;
const MAX_WAIT_SECONDS = 20;
export const BASE = new URL("api/", document.baseURI);

/** What an answer said was wrong: RFC 9457's members, and what the API adds to them. */
export class ApiProblem extends Error {
  constructor(status, body = {}) {
    super(body.detail || body.title || "The request failed");
    this.name = "ApiProblem";
    this.status = status;
    this.code = body.code ?? (status ? "unknown" : "unreachable");
    this.errors = body.errors ?? [];
    this.requestId = body.request_id ?? null;
    this.traceId = body.trace_id ?? null;
  }
}

/** Whether a route is not there at all: this fleet's version has none. (A thing that is not there has another code.) */
export const isMissing = (error) =>
  error instanceof ApiProblem && error.status === 404 && ["not_found", "unknown"].includes(error.code);
export const isAborted = (error) => error?.name === "AbortError";

let running = 0;
let nextAt = 0;
const waiting = [];

async function turn(signal) {
  if (running >= AT_ONCE) {
    await new Promise((resolve, reject) => {
      const place = {
        resolve,
        leave: () => {
          waiting.splice(waiting.indexOf(place), 1);
          reject(signal.reason);
        },
      };
      waiting.push(place);
      signal?.addEventListener("abort", place.leave, { once: true });
      place.go = () => {
        signal?.removeEventListener("abort", place.leave);
        resolve();
      };
    });
  }
  running += 1;
  const wait = nextAt - performance.now();
  nextAt = Math.max(nextAt, performance.now() - AT_ONCE * SPACE_MS) + SPACE_MS;
  if (wait > 0) {
    try {
      await pause(wait, signal);
    } catch (error) {
      done();
      throw error;
    }
  }
}

function done() {
  running -= 1;
  waiting.shift()?.go();
}

export function addressOf(service, path, query = {}) {
  const url = new URL(`${service}/${path.replace(/^\//, "")}`, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** Send a request with the key, and return the response; a failure is an `ApiProblem`. */
export async function send(method, service, path, { query, body, headers, signal, once = false } = {}) {
  const url = addressOf(service, path, query);
  const form = body instanceof FormData;
  for (let attempt = 0; ; attempt += 1) {
    await turn(signal);
    // a file takes as long as the line does; of one that moves no more the gateway itself lets go
    const limit = form ? null : AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
    let response;
    try {
      response = await fetch(url, {
        method,
        signal: AbortSignal.any([limit, signal].filter(Boolean)),
        headers: { ...authorization(), ...(body && !form ? { "Content-Type": "application/json" } : {}), ...headers },
        body: body === undefined || form ? body : JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
        redirect: "error",
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw new ApiProblem(0, {
        detail:
          error.name === "TimeoutError"
            ? `No answer within ${TIMEOUT_SECONDS} seconds.`
            : "The gateway can't be reached. Is the fleet up, and this tab on the right network?",
      });
    } finally {
      done();
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    const again = response.status === 429 || (response.status === 503 && method === "GET");
    if (again && !once && attempt < RETRIES) {
      await pause(waitOf(response, attempt), signal);
      continue;
    }
    if (response.status === 401) forget(problem.message);
    throw problem;
  }
}

const authorization = () => (key() ? { "X-API-Key": key() } : {});

function waitOf(response, attempt) {
  const asked = Number.parseFloat(response.headers.get("Retry-After") ?? "") || 2 ** attempt;
  return (Math.min(asked, MAX_WAIT_SECONDS) + Math.random()) * 1000;
}

export async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    body = { detail: `An answer of status ${response.status} that is no problem document.` };
  }
  return new ApiProblem(response.status, body);
}

/** Wait, unless the page is left. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const left = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", left);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", left, { once: true });
  });
}

const json = async (response) => (response.status === 204 ? null : response.json());
export const get = async (service, path, options) => json(await send("GET", service, path, options));
export const post = async (service, path, options) => json(await send("POST", service, path, options));
export const patch = async (service, path, options) => json(await send("PATCH", service, path, options));
/** How a service is, by its own word; it needs no key, and a 503 is an answer. */
export async function health(service, signal) {
  await turn(signal);
  try {
    const response = await fetch(addressOf(service, "health"), { signal, credentials: "omit", cache: "no-store" });
    const answer = await response.json();
    return answer.checks ? answer : { status: answer.code ?? "unreachable", checks: {} };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
    return { status: "unreachable", checks: {} };
  } finally {
    done();
  }
}

export const remove = async (service, path, options) => json(await send("DELETE", service, path, options));

/** A key that makes a repeat of this submission the same submission. (`randomUUID` wants HTTPS.) */
export function idempotencyKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Every item of a list, a page after the other, at most so many. */
export async function all(service, path, { query = {}, most = 1000, signal } = {}) {
  const items = [];
  let cursor;
  do {
    const page = await get(service, path, { query: { limit: 200, ...query, cursor }, signal });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  return items;
}
