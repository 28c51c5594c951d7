// When a crawl is done again: by hand, every so often, or by the calendar.

import { h } from "../core/dom.js";
import { field, select } from "./ui.js";

const UNITS = [
  ["m", "minutes"],
  ["h", "hours"],
  ["d", "days"],
  ["w", "weeks"],
];
const WAYS = [
  ["none", "Only when I say so"],
  ["every", "Every so often"],
  ["cron", "By the calendar"],
];
const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Returns `element`, and `read()`, which gives the API's `schedule`: null where there is none. */
export function scheduleFields(schedule = null) {
  const [, amount = "1", unit = "d"] = /^(\d+)([mhdw])$/.exec(schedule?.every ?? "") ?? [];
  const number = h("input", { type: "number", min: 1, max: 99999, value: amount, required: true });
  const units = select(UNITS, unit);
  const cron = h("input", {
    type: "text",
    value: schedule?.cron ?? "0 3 * * 1",
    spellcheck: "false",
    class: "mono",
    required: true,
  });
  const zone = h("input", {
    type: "text",
    value: schedule?.cron ? schedule.timezone : HERE,
    spellcheck: "false",
    list: "time-zones",
    required: true,
  });
  const parts = {
    none: [],
    every: [field("Every", number), field("Unit", units)],
    cron: [
      field("Cron", cron, { hint: "minute, hour, day, month, weekday" }),
      field("Time zone", zone),
      h(
        "datalist",
        { id: "time-zones" },
        Intl.supportedValuesOf("timeZone").map((value) => h("option", { value })),
      ),
    ],
  };
  const way = select(WAYS, !schedule ? "none" : schedule.every ? "every" : "cron", { onchange: () => draw() });
  const element = h("div", { class: "side-by-side" });
  const first = field("Look again", way);
  // beside what stays: a control that is taken out of the page and put back loses the focus
  const draw = () => {
    while (first.nextSibling) first.nextSibling.remove();
    element.append(...parts[way.value]);
  };
  element.append(first);
  draw();
  return {
    element,
    read: () =>
      ({
        none: () => null,
        every: () => ({ every: `${Number(number.value)}${units.value}` }),
        cron: () => ({ cron: cron.value.trim(), timezone: zone.value.trim() }),
      })[way.value](),
  };
}
