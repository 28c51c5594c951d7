// A job's time in pieces, each of one stage: what it waited for, and each attempt that ran.

const MOVES = {
  submitted: "its turn",
  handed_out: "a worker",
  advanced: "its turn",
  put_off: "a later time",
  due: "its turn",
  given_back: "its turn",
  sent_back: "its turn",
};
const ENDS = new Set(["completed", "failed", "cancelled"]);

/** From its events, where they are known: every attempt, and every wait with its reason. */
export function ofEvents(events, job, now = new Date()) {
  const found = [];
  const started = {}; // by stage: how many attempts
  let open = null;
  const close = (at) => {
    if (open && at > open.start) found.push({ ...open, end: at });
  };
  for (const event of events) {
    const at = new Date(event.at);
    if (event.type === "committing") continue;
    close(at);
    if (ENDS.has(event.type)) open = null;
    // a stage that answers at once (chunking) starts with its hand-out
    else if (event.type === "started" || (event.attempt ?? 0) > (started[event.stage] ?? 0))
      open = { stage: event.stage, kind: "run", start: at, attempt: event.attempt };
    else open = { stage: event.stage, kind: "wait", start: at, text: waits(event) };
    started[event.stage] = Math.max(started[event.stage] ?? 0, event.attempt ?? 0);
  }
  if (open && !job.ended_at) close(now);
  return found;
}

function waits(event) {
  const reason = event.waiting?.reason;
  const why = event.error?.code ?? (reason && reason !== "queued" ? reason : null);
  return `waited for ${MOVES[event.type] ?? "its turn"}${why ? ` (${why.replaceAll("_", " ")})` : ""}`;
}

/** From its stages alone: of each the last attempt, and what was before it. */
export function ofStages(job, now = new Date()) {
  const found = [];
  const end = job.ended_at ? new Date(job.ended_at) : now;
  let since = new Date(job.submitted_at);
  const add = (piece) => {
    if (piece.end > piece.start || piece.kind === "run") found.push(piece);
  };
  for (const each of job.stages) {
    const started = each.started_at ? new Date(each.started_at) : null;
    const ended = each.ended_at ? new Date(each.ended_at) : end;
    add({
      stage: each.stage,
      kind: "wait",
      start: since,
      end: started ?? ended,
      text: each.attempts > 1 ? "waited, and tried before" : "waited",
    });
    if (started)
      add({
        stage: each.stage,
        kind: "run",
        start: started,
        end: ended < started ? started : ended,
        attempt: each.attempts,
      });
    since = ended;
  }
  const last = job.stages.at(-1);
  if (!job.ended_at && job.waiting && !(last?.started_at && !last.ended_at)) {
    const stage = ["scraping", "chunking", "embedding"].includes(job.status) ? job.status : (last?.stage ?? "scraping");
    add({
      stage,
      kind: "wait",
      start: new Date(Math.min(end, Math.max(Date.parse(job.waiting.since), since))),
      end,
      text: `waits: ${job.waiting.reason.replaceAll("_", " ")}`,
    });
  }
  return found;
}
