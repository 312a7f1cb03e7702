// Now: each site in a card: what it says, who is here, how rounds go.

import { h } from "../dom.js";
import { ago, count, label, percent, points } from "../format.js";
import { bars, blank, log, pill, statePill } from "../parts.js";

export function now(view) {
  return h("div", { class: "stack" },
    h("div", null, h("p", { class: "lead" }, h("strong", null, wellness(view.sites))), h("p", { class: "sub" }, purpose(view.sites))),
    h("div", { class: "grid" }, view.sites.map((site) => siteCard(site, view))),
    h("section", { class: "card" }, h("h2", null, "What happened"), log(newest(view.sites), view.sites)));
}

/** What this is about, for somebody who sees it for the first time. */
function purpose(sites) {
  const labels = [...new Set(sites.flatMap((site) => site.labels))];
  const what = labels.length > 5 || !labels.length ? `${count(labels.length)} classes apart` : `${labels.slice(0, -1).join(", ")} from ${labels[labels.length - 1]}`;
  if (labels.length < 2) return "Readings stay on the agents; a gateway sees only their sums.";
  const who = sites.length === 1 ? "This site learns" : `These ${sites.length} sites learn together`;
  return `${who} to tell ${what}. Readings stay on the agents; a gateway sees only their sums.`;
}

/** The answer to "is it well?" in a sentence. */
function wellness(sites) {
  const ill = sites.filter((site) => alertsOf(site).length > 0);
  const early = sites.filter((site) => EARLY.includes(site.state)).length;
  const all = sites.length === 1 ? "The site is" : `All ${sites.length} sites are`;
  if (sites.every(wasStopped)) return `${sites.length === 1 ? "The gateway was" : "All gateways were"} stopped. This is how things were then.`;
  if (!ill.length && early === sites.length) return "Nothing runs yet.";
  if (!ill.length) return early ? `Well so far; ${early} of ${sites.length} sites have not begun.` : `${all} well: no alert would fire.`;
  const names = ill.map((site) => site.name).join(", ");
  return `${ill.length} of ${sites.length} ${sites.length === 1 ? "site needs" : ill.length === 1 ? "sites needs" : "sites need"} a look: ${names}.`;
}

const EARLY = ["absent", "starting"];
const wasStopped = (site) => site.state === "stopped" && site.was_stopped;
const alertsOf = (site) => (EARLY.includes(site.state) || wasStopped(site) ? [] : site.alerts || [UNKNOWN]);
const UNKNOWN = { severity: "critical", text: "What this gateway keeps for the page cannot be read." };

function troubles(site) {
  const alerts = alertsOf(site);
  return alerts.length > 0 && h("ul", { class: "troubles" }, alerts.map((one) =>
    h("li", { class: `notice ${one.severity}` }, one.text)));
}

function newest(sites) {
  return sites
    .flatMap((site) => (site.events || []).map((event) => ({ ...event, site: site.name })))
    .sort((a, b) => b.at - a.at).slice(0, 10);
}

function siteCard(site, view) {
  const head = h("div", { class: "head" }, h("h2", null, site.name), statePill(site));
  const nothing = blank(site, () => site.roster > 0);
  if (nothing) return h("section", { class: "card", "data-key": site.name }, head, troubles(site), nothing);
  return h("section", { class: "card", "data-key": site.name }, head, troubles(site), prediction(site, view.at), facts(site, view.at));
}

function prediction(site, at) {
  const said = site.prediction;
  if (!said) {
    return h("div", null, h("p", { class: "answer unsure" }, "unknown"),
      h("p", { class: "sub" }, "Nothing was predicted yet."));
  }
  const name = said.unknown ? "unknown" : label(site.labels, said.answer);
  const guess = said.unknown && said.answer !== null ? `, at best ${label(site.labels, said.answer)}` : "";
  return h("div", null,
    h("div", { class: "head" },
      h("p", { class: `answer${said.unknown ? " unsure" : ""}` }, name),
      said.new && pill("new: far from all prototypes", "warn")),
    h("p", { class: "sub" }, `right in ${percent(said.confidence, 0)} of such cases${guess} · ${ago(said.at, at)}`),
    bars(site.labels, said.probabilities));
}

/** What a site gains, and how many of the other owners vote there, on its way to the tab Trust. */
function others(site) {
  const { owners, voting } = site.others, { samples, right, own_right: alone } = site.counters;
  if (!owners) return "nobody else has committed yet";
  const who = `${count(voting)} of ${count(owners)} vote`;
  return samples ? `${points((right - alone) / samples)}, ${who}` : who;
}

const DOTS = ["here", "late", "suspended", "missing", "flooding", "excluded"];

function facts(site, at) {
  const words = site.agents || {};
  const said = DOTS.filter((word) => words[word]).map((word) => `${words[word]} ${word}`).join(", ");
  const dots = DOTS.flatMap((word) => Array(words[word] || 0).fill(word)).slice(0, 60);
  const counters = site.counters, samples = counters.samples || 0;
  const failed = site.last_failure && site.last_failed_at > 0;
  return h("dl", { class: "facts" },
    h("dt", null, `Agents (${site.roster})`),
    h("dd", null, h("span", { class: "dots", "aria-hidden": "true" }, dots.map((word) => h("i", { class: `dot ${word}` }))),
      " ", said || "none here"),
    h("dt", null, "Rounds"),
    h("dd", null, `${count(site.rounds_in_the_last_minute)} a minute; ${count(site.completed)} done, ${count(site.failed)} failed`),
    failed && h("dt", null, "Last failure"),
    failed && h("dd", null, ago(site.last_failed_at, at)),
    failed && h("dd", { class: "text" }, site.last_failure),
    h("dt", null, "Right so far"),
    h("dd", null, samples ? `${percent(counters.right / samples)} of ${count(samples)} samples` : "no labelled sample yet"),
    h("dt", null, "Gained from others"), h("dd", null, h("a", { href: `#trust/${encodeURIComponent(site.name)}` }, others(site))),
    h("dt", null, "Prototypes"), h("dd", null, count(site.prototypes)),
    h("dt", null, "Broker, chain"),
    h("dd", null, `${site.state === "running" || site.state === "starting" ? (site.connected ? "connected" : "not connected") : "–"}, ${site.chain || "none"}`),
    site.missing.length > 0 && h("dt", null, "Missing channels"),
    site.missing.length > 0 && h("dd", null, site.missing.join(", ")));
}
