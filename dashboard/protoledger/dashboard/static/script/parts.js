// Parts that several views use.

import { h, s } from "./dom.js";
import { ago, clock, iso, moment, percent, sentence } from "./format.js";

export const card = (title, ...children) =>
  h("section", { class: "card" }, title && h("h2", null, title), ...children);

export const pill = (text, kind = "") => h("span", { class: `pill ${kind}` }, text);

export const tile = (name, value, note, key) =>
  h("div", { class: "tile" },
    h("dt", null, key && h("span", { class: `key ${key}`, "aria-hidden": "true" }), name),
    h("dd", null, value, note && h("small", null, note)));

export const tiles = (...children) => h("dl", { class: "tiles" }, ...children);

/** What may be wider than a phone; the keyboard scrolls it, too. */
export const scroll = (name, ...children) =>
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, ...children);

const STATES = {
  running: ["running", "good"],
  starting: ["starting", "info"],
  stale: ["no sign of life", "bad"],
  stopped: ["stopped", "warn"],
  absent: ["not started yet", ""],
  unreadable: ["not readable", "bad"],
  damaged: ["damaged", "bad"],
};

export const statePill = (site) => pill(...(STATES[site.state] || [site.state, ""]));

/** A bar for each class, the likeliest first. */
export function bars(labels, probabilities) {
  const order = [...(probabilities || [])].map((p, i) => [p, i]).sort((a, b) => b[0] - a[0]).slice(0, 5);
  return h("div", { class: "bars" }, order.map(([p, i]) => bar(labels[i] ?? `class ${i}`, p, i)));
}

export function bar(name, share, colour) {
  return h("div", { class: "bar" },
    h("span", { title: name }, name),
    track(share, colour),
    h("span", { class: "amount" }, percent(share)));
}

export const track = (share, colour) =>
  h("div", { class: "track", "aria-hidden": "true" },
    h("div", { class: `fill k${colour % 8}`, style: { width: `${Math.min(100, 100 * (share || 0))}%` } }));

export function log(events, sites) {
  if (!events.length) return h("p", { class: "sub" }, "Nothing happened yet.");
  return h("ol", { class: "log" }, events.map((event) =>
    h("li", null,
      h("time", { datetime: iso(event.at), title: moment(event.at) }, clock(event.at)),
      h("span", null, event.site && `${event.site}: `, sentence(event, sites)))));
}

/** What to show in place of a view that has nothing to show; null if it has something (`needs`). */
export function blank(site, needs) {
  if (site.state === "absent") {
    return empty("No gateway has started here yet",
      "This page shows one as soon as it runs.", "protoledger gateway run -c gateway.yaml");
  }
  if (site.state === "unreadable") {
    return empty("The page may not read this gateway's files",
      "They are its user's alone. Start the page as that user; the gateway goes on without it.");
  }
  if (site.state === "damaged") {
    return empty("What the gateway keeps for this page is damaged",
      "The gateway goes on without it, and begins it again when it is restarted.");
  }
  if (needs()) return null;
  if (site.state === "starting") {
    return empty("The gateway is starting",
      "It waits for its agents, and opens the first round when enough of them are here.");
  }
  return empty("Nothing was learnt yet", "What belongs here appears with the first labelled samples.");
}

export const empty = (title, text, command) =>
  h("div", { class: "empty" }, h("h2", null, title), h("p", null, text), command && h("code", null, command));

/** A line above a view whose numbers are not of now. */
export function notice(site, now) {
  if (site.state === "stale") {
    return h("p", { class: "notice", role: "status" },
      `The gateway has given no sign of life since ${moment(site.seen_at)} (${ago(site.seen_at, now)}): what is shown is of then.`);
  }
  if (site.state === "stopped") {
    return h("p", { class: "notice", role: "status" },
      `The gateway does not run. What is shown is of ${moment(site.seen_at)}.`);
  }
  return null;
}

const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "hexagon"];

/** A mark whose shape says whose it is; its area is 1 at size 1. */
export function mark(owner, size, attributes) {
  const r = size;
  const at = {
    circle: () => s("circle", { r: r * 0.56, ...attributes }),
    square: () => s("path", { d: `M${-r / 2} ${-r / 2}h${r}v${r}h${-r}z`, ...attributes }),
    triangle: () => s("path", { d: `M0 ${-r * 0.72}L${r * 0.66} ${r * 0.46}H${-r * 0.66}z`, ...attributes }),
    diamond: () => s("path", { d: `M0 ${-r * 0.7}L${r * 0.7} 0L0 ${r * 0.7}L${-r * 0.7} 0z`, ...attributes }),
    cross: () => s("path", { d: `M${-r * 0.2} ${-r * 0.6}h${r * 0.4}v${r * 0.4}h${r * 0.4}v${r * 0.4}h${-r * 0.4}v${r * 0.4}h${-r * 0.4}v${-r * 0.4}h${-r * 0.4}v${-r * 0.4}h${r * 0.4}z`, ...attributes }),
    hexagon: () => s("path", { d: `M${-r * 0.6} 0L${-r * 0.3} ${-r * 0.52}H${r * 0.3}L${r * 0.6} 0L${r * 0.3} ${r * 0.52}H${-r * 0.3}z`, ...attributes }),
  };
  return at[SHAPES[owner % SHAPES.length]]();
}
