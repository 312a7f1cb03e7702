// Trust: what this site gained and from whom, and who has a vote here, with the evidence.

import { h } from "../dom.js";
import { draw } from "../charts.js";
import { clock, count, nameOf, percent, points, times, visible } from "../format.js";
import { blank, card, empty, log, notice, pill } from "../parts.js";

const last = (values) => values[values.length - 1];
const COLOURS = ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7"];

export function trust(view, site) {
  const nothing = blank(site, () => site.owners.length > 0 || site.gains.at.length > 0);
  if (nothing) return nothing;
  if (!site.owners.length) {
    return h("div", null, notice(site, view.at),
      empty("Nobody else has committed yet", "When another owner's prototypes arrive from the chain, this page says what they are worth here."));
  }
  return h("div", { class: "stack" },
    notice(site, view.at),
    card("What did this site gain, and from whom?",
      h("p", { class: "lead" }, summary(site, view.sites)),
      h("figure", null,
        h("div", { class: "chart", "data-slot": `gains-${site.name}`, role: "img", "aria-label": summary(site, view.sites) }),
        h("figcaption", null, "Accuracy that would be lost without an owner, on this site's own last labelled samples (leave one owner out). Owners that know the same cover each other, so the lines do not add up to the gain of all together."))),
    card("Who votes here", h("ul", { class: "stack" }, site.owners.map((one) => ownerItem(one, view.sites))),
      site.owners_in_all > site.owners.length && h("p", { class: "sub" },
        `These are the ${site.owners.length} of ${count(site.owners_in_all)} owners that matter most here.`)),
    site.dropped.length > 0 && card("Not believed", log(site.dropped.map((one) => ({ kind: "dropped", ...one })), view.sites)));
}

function summary(site, sites) {
  const { together, alone } = site.gains;
  if (!together.length) return "There are no labelled samples yet to say so.";
  const gain = last(together) - last(alone);
  const best = site.owners.filter((one) => one.gain !== null && one.gain !== undefined).sort((a, b) => b.gain - a.gain)[0];
  const most = gain > 0 && best && best.gain > 0 ? ` ${nameOf(best.owner, sites)} brings most of it (${points(best.gain)}).` : "";
  const verb = gain > 0 ? "bring" : gain < 0 ? "cost" : "change";
  const size = gain === 0 ? "nothing" : `${Math.abs(100 * gain).toFixed(1)} points`;
  const gains = together.map((share, i) => share - alone[i]), peak = Math.max(...gains);
  const once = peak > gain + 0.02 ? ` At ${clock(site.gains.at[gains.indexOf(peak)])} they brought ${points(peak)}.` : "";
  return `On its last ${count(site.samples)} labelled samples this site was right in ${percent(last(together))} with the others' prototypes, and would have been right in ${percent(last(alone))} alone: the others ${verb} ${size}.${most}${once}`;
}

/** Why an owner votes or not: what its codebook does to the prototypes of all others. */
function evidence(one) {
  if (typeof one.influence !== "number") return `${one.evidence.charAt(0).toUpperCase()}${one.evidence.slice(1)}.`;
  const turned = percent(Math.max(0, one.influence), 0);
  if (!one.votes) return `It makes ${turned} of the others' prototypes wrong: too many to vote.`;
  if (one.held_back) return `Its newest version makes ${percent(one.disagreement, 0)} of its previous one's prototypes wrong, so the previous one votes; that makes ${turned} of the others' wrong.`;
  return `Checked against all others' prototypes: ${one.influence < 0.005 ? "it makes none of them wrong on balance" : `it makes ${turned} of them wrong`}.`;
}

function ownerItem(one, sites) {
  const word = one.vetoed ? ["no vote here", "warn"] : !one.votes ? ["quarantined", "bad"] : one.held_back ? ["older version votes", "warn"] : ["votes", "good"];
  const own = one.vetoed ? " This site's own labelled samples contradict it, so it has no vote here." : "";
  return h("li", { "data-key": one.owner, class: "head" },
    h("div", null,
      h("h3", null, nameOf(one.owner, sites), " ", pill(...word)),
      h("p", { class: "sub" }, `${evidence(one)}${own}`),
      h("p", { class: "sub" }, `${count(one.prototypes)} prototypes vote. They gave a right answer that this site would have missed alone ${times(one.helped)}, and a wrong one where it was right alone ${times(one.hurt)}.`),
      h("p", { class: "sub mono" }, one.owner)),
    h("p", { class: "short" }, h("strong", null, points(one.gain))));
}

export function drawTrust(site, sites) {
  if (!site.gains) return;
  const { at, owners } = site.gains, names = Object.keys(owners);
  if (!names.length || !at.length) return;
  draw(`gains-${site.name}`, {
    time: true, x: "time", height: 240,
    lines: [{ name: "all together", colour: "--here", width: 3 },
      ...names.map((owner, i) => ({ name: visible(nameOf(owner, sites)), colour: COLOURS[(i + 1) % 8] }))],
    data: [at, site.gains.together.map((v, i) => v - site.gains.alone[i]), ...names.map((owner) => owners[owner])],
    tick: (v) => points(v).replace(" points", ""), value: (v) => points(v),
  });
}
