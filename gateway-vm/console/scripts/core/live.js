// Following something that moves: server-sent events over `fetch` (EventSource can't send a key), else by asking again.

import { addressOf, isAborted, pause, problemOf } from "./api.js";
import { key } from "./session.js";

const POLL_MS = 3_000;
const RECONNECT_MS = 500;
const MAX_RECONNECT_MS = 20_000;
const SILENCE_MS = 45_000; // three heartbeats
const MAX_EVENT_CHARACTERS = 1_000_000;

/**
 * Follow a stream of events until `signal` ends it, or `onEvent` returns true.
 *
 * Where there is no such stream, or none is free, `poll` is called every few seconds instead, with the same meaning.
 */
export async function follow(path, { onEvent, poll, signal, service = "orchestrator" }) {
  try {
    if (!(await stream(service, path, onEvent, signal))) await ask(poll, signal);
  } catch (error) {
    if (!isAborted(error)) throw error;
  }
}

async function stream(service, path, onEvent, signal) {
  let lastId = null;
  let failures = 0;
  for (;;) {
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    let silence;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => ended.abort(), SILENCE_MS);
    };
    try {
      const headers = { Accept: "text/event-stream", "X-API-Key": key() ?? "" };
      if (lastId !== null) headers["Last-Event-ID"] = lastId;
      heard();
      const response = await fetch(addressOf(service, path), {
        headers,
        signal: either,
        credentials: "omit",
        cache: "no-store",
      });
      if (response.status === 204) return true; // all that there is to tell was told
      if (!response.ok) {
        const problem = await problemOf(response);
        if (problem.status < 500) return false;
        throw problem;
      }
      if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return false;
      for await (const event of events(response.body, heard)) {
        if (event.id !== undefined) lastId = event.id;
        failures = 0;
        if (await onEvent(event)) return true;
      }
    } catch (error) {
      signal.throwIfAborted();
      failures += 1;
      if (failures > 4) return false;
      if (!isAborted(error) && !(error instanceof TypeError) && !error.status) throw error;
    } finally {
      clearTimeout(silence);
      ended.abort();
    }
    await pause(Math.min(RECONNECT_MS * 2 ** failures, MAX_RECONNECT_MS) * (0.5 + Math.random()), signal);
  }
}

/** Read events as the standard has them: fields by line, an empty line ends one. */
export async function* events(body, heard = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let event = {};
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    heard();
    text += value;
    if (text.length > MAX_EVENT_CHARACTERS) throw new TypeError("an event is longer than any that the API sends");
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    text = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== undefined) yield { ...event, value: parsed(event.data) };
        event = {};
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const field = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "data") event.data = event.data === undefined ? field : `${event.data}\n${field}`;
      else if (name === "id" || name === "event") event[name] = field;
    }
  }
}

function parsed(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null; // an event that is no JSON says at least that something moved
  }
}

/** Call `poll` every few seconds while somebody looks, until it returns true. */
export async function ask(poll, signal, every = POLL_MS) {
  try {
    for (;;) {
      await pause(every, signal);
      if (!document.hidden && (await poll())) return;
    }
  } catch (error) {
    if (!isAborted(error)) throw error;
  }
}
