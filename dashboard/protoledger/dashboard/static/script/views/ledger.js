// Ledger: the commits of all owners on one line of time, what they cost, and how the chain is.

import { h, s } from "../dom.js";
import { clock, count, moment, nameOf, points, short } from "../format.js";
import { card, empty, log, pill, scroll, tile, tiles } from "../parts.js";

const WIDE = 900, LANE = 44, LEFT = 118, RIGHT = 24, LANES = 12;

export function ledger(view) {
  const sharing = view.sites.filter((site) => site.ledger);
  if (!sharing.length) {
    return empty("No ledger", "These sites learn on their own: their gateways' files name no chain.");
  }
  const sum = (name) => sharing.reduce((total, site) => total + (site[name] || 0), 0);
  const gas = sum("gas"), better = sharing.reduce((total, site) => total + Math.max(0, site.points), 0);
  return h("div", { class: "stack" },
    tiles(
      tile("Commits", count(sum("commits")), `${count(sum("rejected"))} refused for good`),
      tile("Gas spent", count(gas), "by these gateways, without deployment"),
      tile("Gas for each point", better > 0 ? count(gas / better) : "–", better > 0 ? "of accuracy gained, all sites" : "no accuracy gained yet"),
      tile("Block", count(Math.max(...sharing.map((site) => site.block || 0))), "the newest that was read")),
    card("Commits over time", view.commits.length ? lanes(view) : h("p", { class: "sub" }, "No commits yet: a test at 5 % decides what is worth one.")),
    card("Sites and their nodes", sitesTable(sharing)),
    view.commits.length > 0 && card("All commits", commitsTable(view)),
    troubles(sharing, view));
}

function lanes(view) {
  const busiest = tally(view.commits.map((one) => one.owner));
  const owners = busiest.slice(0, busiest.length > LANES ? LANES - 1 : LANES), others = busiest.length - owners.length;
  const laneOf = (owner) => (owners.includes(owner) ? owners.indexOf(owner) : owners.length);
  const lanes = [...owners.map((owner) => nameOf(owner, view.sites)), ...(others ? [`${others} others`] : [])];
  const byTime = view.commits.every((one) => one.at);
  const where = (one) => (byTime ? one.at : one.block);
  const places = view.commits.map(where);
  const low = Math.min(...places), range = Math.max(...places) - low || 1;
  const x = (one) => LEFT + ((where(one) - low) / range) * (WIDE - LEFT - RIGHT);
  const high = lanes.length * LANE + 26;
  const most = Math.max(...view.commits.map((one) => one.records || 1));
  const text = (one) => `${nameOf(one.owner, view.sites)}, version ${one.version}` +
    (one.records ? `, ${one.records} prototypes` : "") + (one.gas ? `, ${count(one.gas)} gas` : "") +
    (one.at ? `, ${moment(one.at)}` : `, block ${one.block}`);
  return h("figure", { class: "lanes" },
    s("svg", { viewBox: `0 0 ${WIDE} ${high}`, role: "img", "aria-label": `${view.commits.length} commits of ${busiest.length} ${busiest.length === 1 ? "owner" : "owners"}; the table below lists them` },
      lanes.map((name, i) => [
        s("line", { class: "axis", x1: LEFT, x2: WIDE - RIGHT / 2, y1: LANE * (i + 0.5), y2: LANE * (i + 0.5) }),
        s("text", { class: "svgtext", x: 0, y: LANE * (i + 0.5) + 4 }, clip(name)),
      ]),
      view.commits.map((one) => {
        const lane = laneOf(one.owner);
        const dot = s("circle", { class: one.lie ? "k6" : `k${lane % 6}`, cx: x(one).toFixed(1), cy: LANE * (lane + 0.5),
          r: (4 + 8 * Math.sqrt((one.records || 1) / most)).toFixed(1), "fill-opacity": 0.8 });
        dot.append(s("title", null, text(one)));
        return dot;
      }),
      s("text", { class: "svgtext", x: LEFT, y: high - 4 }, byTime ? clock(low) : `block ${low}`),
      s("text", { class: "svgtext", x: WIDE - RIGHT / 2, y: high - 4, "text-anchor": "end" }, byTime ? clock(low + range) : `block ${low + range}`)),
    h("figcaption", null, "A dot is a commit, larger for more prototypes."));
}

/** Names by how often they are there, the most frequent first. */
function tally(names) {
  const times = new Map();
  for (const name of names) times.set(name, (times.get(name) || 0) + 1);
  return [...times.keys()].sort((a, b) => times.get(b) - times.get(a));
}

const clip = (text) => (text.length > 16 ? `${text.slice(0, 15)}…` : text);

function sitesTable(sites) {
  const head = ["Site", "Chain", "Nodes", "Outbox", "Commits", "Gas", "Accuracy gained"];
  return scroll("Sites and their nodes", h("table", null,
    h("thead", null, h("tr", null, head.map((name, i) => h("th", { scope: "col", class: i > 3 ? "num" : "" }, name)))),
    h("tbody", null, sites.map((site) => h("tr", null,
      h("th", { scope: "row" }, site.name),
      h("td", null, pill(site.chain || "not asked yet", site.chain === "answers" ? "good" : site.chain === "does not answer" ? "bad" : "")),
      h("td", null, site.ledger.nodes.join(", ")),
      h("td", null, outbox(site.outbox)),
      h("td", { class: "num" }, count(site.commits)),
      h("td", { class: "num" }, count(site.gas)),
      h("td", { class: "num" }, points(site.points / 100)))))));
}

function outbox(box) {
  if (box.sent) return h("span", null, pill("sent", "info"), " ", h("code", { title: box.sent.tx }, short(box.sent.tx)));
  if (box.waiting !== null) return h("span", null, pill("waiting", "warn"), ` ${box.waiting}`);
  return "empty";
}

function commitsTable(view) {
  const head = ["Time", "Owner", "Version", "Prototypes", "Gas", "Block", "Transaction"];
  const rows = [...view.commits].reverse().slice(0, 50);
  return scroll("All commits", h("table", null,
    h("thead", null, h("tr", null, head.map((name, i) => h("th", { scope: "col", class: i > 1 && i < 6 ? "num" : "" }, name)))),
    h("tbody", null, rows.map((one) => h("tr", { "data-key": `${one.owner}/${one.version}` },
      h("td", { class: "short" }, one.at ? moment(one.at) : "–"),
      h("td", null, nameOf(one.owner, view.sites), one.lie && pill("not believed", "bad")),
      h("td", { class: "num" }, count(one.version)), h("td", { class: "num" }, count(one.records)),
      h("td", { class: "num" }, count(one.gas)), h("td", { class: "num" }, count(one.block)),
      h("td", null, one.tx ? h("code", { title: one.tx }, short(one.tx)) : "–"))))));
}

function troubles(sites, view) {
  const all = sites.flatMap((site) => site.troubles.map((one) => ({ ...one, site: site.name })));
  if (!all.length) return null;
  return card("What went wrong", log(all.sort((a, b) => b.at - a.at).slice(0, 20), view.sites));
}
