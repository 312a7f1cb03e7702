// Learning: accuracy beside what it must beat, the map, and which classes are told apart.

import { h } from "../dom.js";
import { draw } from "../charts.js";
import { count, decimal, label, percent, points, times } from "../format.js";
import { map } from "./map.js";
import { blank, card, notice, scroll, tile, tiles } from "../parts.js";

const LINES = [
  { name: "here", colour: "--here", width: 3 },
  { name: "alone", colour: "--alone" },
  { name: "all owners", colour: "--anywhere", dash: [6, 4] },
  { name: "the last label again", colour: "--repeat", dash: [2, 3] },
];

const last = (values) => values[values.length - 1];

export function learning(view, site) {
  const overall = site.overall;
  const nothing = blank(site, () => overall.samples > 0);
  if (nothing) return nothing;
  const curve = site.curve, none = !curve.n.length;
  const kappa = none ? null : last(curve.kappa);
  const lately = (name) => (none ? "" : `last ${site.window}: ${percent(last(curve[name]))}`);
  return h("div", null,
    notice(site, view.at),
    site.missing.length > 0 && h("p", { class: "notice" }, `No values of ${site.missing.join(", ")}: left out of learning and voting.`),
    tiles(
      tile("Right here", percent(overall.here), lately("here"), "kh"),
      tile("Alone", percent(overall.alone), lately("alone"), "ka"),
      tile("All owners", percent(overall.anywhere), lately("anywhere"), "kw"),
      tile("Last label again", percent(overall.repeat), lately("repeat"), "kr"),
      tile("Kappa-temporal", decimal(overall.kappa), kappa === null ? "0: no better than repeating" : `last ${site.window}: ${decimal(kappa)}`),
      tile("Labelled samples", count(overall.samples), `${count(overall.unlabelled)} without a label`),
      tile("Drifts noticed", count(site.drifts_in_all), site.drifts.length ? `at sample ${site.drifts.slice(-3).join(", ")}` : "the learner adapts at each")),
    h("div", { class: "wide" },
      h("section", { class: "card" },
        h("h2", null, "Accuracy, each sample predicted before it is learnt"),
        h("figure", null,
          h("div", { class: "chart", "data-slot": `accuracy-${site.name}`, role: "img", "aria-label": spoken(site) }),
          h("figcaption", null, `Mean over the last ${site.window} labelled samples.${site.drifts_at.length ? " Upright lines: a drift was noticed, and the learner adapted." : ""} ${gained(overall)}`))),
      card(`Prototypes: ${count(site.prototypes)} of its own`, map(site, view.sites))),
    h("div", { class: "halves" }, card("By class", byClass(site)), card("What was taken for what", matrix(site))));
}

export function drawLearning(site) {
  if (!site.overall?.samples) return;
  const { at, here, alone, anywhere, repeat } = site.curve;
  draw(`accuracy-${site.name}`, {
    lines: LINES, data: [at, here, alone, anywhere, repeat], x: "time", time: true, marks: site.drifts_at,
    tick: (v) => percent(v, 0), value: (v) => percent(v), height: 300,
  });
}

function spoken(site) {
  const { n, here, alone, repeat } = site.curve;
  if (!n.length) return "Too few samples for a curve.";
  return `Accuracy from sample ${n[0]} to ${last(n)}: here ${percent(last(here))}, alone ${percent(last(alone))}, repeating the last label ${percent(last(repeat))}.`;
}

function gained(overall) {
  const gain = overall.here - overall.alone;
  return `In all, the others changed this site's accuracy by ${points(gain)}: right ${times(overall.helped)} where it would have been wrong alone, wrong ${times(overall.hurt)} where it would have been right.`;
}

function byClass(site) {
  const total = site.confusion.flat().reduce((a, b) => a + b, 0);
  const rows = site.labels.map((name, i) => {
    const row = site.confusion[i] || [], seen = row.reduce((a, b) => a + b, 0);
    const taken = site.confusion.reduce((sum, one) => sum + (one[i] || 0), 0);
    return h("tr", null,
      h("th", { scope: "row" }, h("span", { class: `dot k${i % 8}`, "aria-hidden": "true" }), " ", name),
      h("td", { class: "num" }, count(seen)),
      h("td", { class: "num" }, seen ? percent(row[i] / seen) : "–"),
      h("td", { class: "num" }, taken ? percent(site.confusion[i][i] / taken) : "–"));
  });
  return scroll("Classes", h("table", null,
    h("caption", null, `The last ${count(total)} labelled samples`),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Class"), h("th", { scope: "col", class: "num" }, "Samples"),
      h("th", { scope: "col", class: "num" }, "Found (recall)"), h("th", { scope: "col", class: "num" }, "Right when said (precision)"))),
    h("tbody", null, rows)));
}

function matrix(site) {
  const columns = [...site.labels, "no answer"];
  return scroll("Confusion matrix", h("table", { class: "matrix" },
    h("caption", null, "Rows: what it was. Columns: what was said."),
    h("thead", null, h("tr", null, h("td", null), columns.map((name) => h("th", { scope: "col", class: "num" }, name)))),
    h("tbody", null, site.confusion.map((row, i) => {
      const most = Math.max(1, row.reduce((a, b) => a + b, 0));
      return h("tr", null, h("th", { scope: "row" }, label(site.labels, i)),
        row.map((n, j) => h("td", { class: i === j ? "right" : "", style: shade(n / most, i === j) }, count(n))));
    }))));
}

function shade(share, right) {
  const part = Math.round(70 * Math.sqrt(share));
  return { "background-color": share ? `color-mix(in srgb, var(${right ? "--good-soft" : "--bad-soft"}) ${30 + part}%, var(--panel))` : "transparent" };
}
