// Explain: choose a prediction, see which prototypes voted, whose they are and where they came from.

import { h } from "../dom.js";
import { EXPERTS, clock, count, decimal, label, moment, nameOf, percent, short } from "../format.js";
import { bars, blank, card, empty, notice, pill, scroll, track } from "../parts.js";
import { explanationOf } from "../source.js";

/** Explanations that are kept: a page may stay open for weeks. */
const KEPT = 120;

const chosen = new Map();
const found = new Map();
let again = () => {};

export function onExplained(redraw) { again = redraw; }

export function explain(view, site) {
  const nothing = blank(site, () => site.predictions.length > 0);
  if (nothing) return nothing;
  // the newest of when the tab was opened stays, so that one can read it
  if (!site.predictions.some((one) => one.n === chosen.get(site.name))) chosen.set(site.name, site.predictions[0].n);
  const n = chosen.get(site.name);
  fetchOne(site.name, n);
  return h("div", null, notice(site, view.at), h("div", { class: "explain" },
    card("Predictions", h("p", { class: "sub" }, "The newest first. A ✗ is one that was wrong."),
      h("ul", { class: "picks", tabindex: "-1" }, site.predictions.map((one) => item(site, one, n)))),
    h("div", { class: "stack", "aria-live": "polite" }, detail(site, found.get(`${site.name}/${n}`), n, view))));
}

function item(site, one, n) {
  const wrong = one.label !== null && one.label !== one.answer;
  const sign = one.label === null ? "no label" : wrong ? "✗" : "✓";
  return h("li", { "data-key": one.n }, h("button", {
    type: "button", class: "pick", "aria-pressed": String(one.n === n),
    onclick: () => { chosen.set(site.name, one.n); again(); },
  }, h("span", null, clock(one.at)), h("span", null, label(site.labels, one.answer)),
  h("span", { class: wrong ? "pill bad" : "pill" }, `${percent(one.confidence, 0)} ${sign}`)));
}

async function fetchOne(site, n) {
  const key = `${site}/${n}`;
  if (found.has(key)) return;
  found.set(key, undefined);
  while (found.size > KEPT) found.delete(found.keys().next().value);
  const answer = await explanationOf(site, n).catch(() => null);
  found.set(key, answer);
  if (answer === null) setTimeout(() => found.delete(key), 5000);
  again();
}

function detail(site, one, n, view) {
  if (one === undefined) return h("p", { class: "sub" }, "Loading …");
  if (one === null) return empty("Not kept any more", `The explanation of sample ${count(n)} has made room for newer ones.`);
  const labels = site.labels, truth = one.label === null || one.label === undefined ? null : one.label;
  const verdict = truth === null ? pill("no label came") : truth === one.answer ? pill("right", "good") : pill(`wrong: it was ${label(labels, truth)}`, "bad");
  return [
    h("section", { class: "card" },
      h("div", { class: "head" }, h("h2", null, `Sample ${count(n)}, ${moment(one.at)}`), verdict),
      h("p", { class: "answer" }, label(labels, one.answer)),
      bars(labels, one.probabilities),
      h("p", { class: "sub" }, `Answered by ${EXPERTS[one.expert] || one.expert}. Alone this site would have said ${label(labels, one.alone)}; all owners together say ${label(labels, one.anywhere)}.`),
      one.unknown && h("p", { class: "sub" }, "Such an answer is right in fewer than half of the cases, so the site says “unknown”."),
      one.new && h("p", { class: "sub" }, "The sample is far from all prototypes: the site calls it new."),
      !one.by_prototypes && h("p", { class: "sub" }, "This answer did not come from a vote of prototypes; the nearest are shown to compare with.")),
    card("The nearest prototypes, and what each contributed", voters(one, labels, view)),
    card("The answer without an owner", without(one, labels, view)),
  ];
}

function voters(one, labels, view) {
  const head = ["Says", "Share of the vote", "Whose", "Distance", "Samples", "Came in"];
  return scroll("Nearest prototypes", h("table", null,
    h("thead", null, h("tr", null, head.map((name, i) => h("th", { scope: "col", class: i === 3 || i === 4 ? "num" : "" }, name)))),
    h("tbody", null, one.nearest.slice(0, 40).map((voter) => h("tr", null,
      h("th", { scope: "row" }, h("span", { class: `dot k${voter.class % 8}`, "aria-hidden": "true" }), " ", label(labels, voter.class)),
      h("td", null, h("div", { class: "share" }, track(voter.share, voter.class), h("span", null, percent(voter.share)))),
      h("td", null, nameOf(voter.owner, view.sites)),
      h("td", { class: "num" }, decimal(voter.distance)),
      h("td", { class: "num" }, count(voter.weight)),
      h("td", null, origin(voter)))))));
}

function origin(voter) {
  if (voter.owner === "") return "learnt here";
  if (voter.version === undefined) return "not in the copy of the chain";
  const known = /^0x[0-9a-f]{64}$/.test(voter.tx || "");
  return [`version ${voter.version}${voter.exact ? "" : " or earlier"}, block ${count(voter.block)} `,
    known && h("code", { title: voter.tx }, short(voter.tx))];
}

function without(one, labels, view) {
  if (!one.without.length) return h("p", { class: "sub" }, "No other owner's prototypes are there: the answer is this site's own.");
  return scroll("Without an owner", h("table", null,
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Without"), h("th", { scope: "col" }, "the answer would be"), h("th", { scope: "col", class: "num" }, "probability"))),
    h("tbody", null, one.without.slice(0, 40).map((other) => h("tr", null,
      h("th", { scope: "row" }, other.owner === "*" ? "all others" : nameOf(other.owner, view.sites)),
      h("td", null, label(labels, other.answer), other.answer !== one.answer && [" ", pill("another answer", "warn")]),
      h("td", { class: "num" }, percent(other.probability)))))));
}
