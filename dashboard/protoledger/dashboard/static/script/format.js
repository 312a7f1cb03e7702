// Numbers with their units and times, and how things are called.

const LONGEST = 400;
// Controls, marks of direction and characters without a width: with them one text can look like
// another, or turn round what stands beside it.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

/** A text as it may be shown, whatever its source: nothing in it is hidden, and it is not endless. */
export function visible(text) {
  const known = String(text);
  const cut = known.length > LONGEST ? `${known.slice(0, LONGEST)}…` : known;
  return cut.replace(HIDDEN, (found) => `⟨${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const isNumber = (n) => typeof n === "number" && Number.isFinite(n);

export const count = (n) => (isNumber(n) ? whole.format(n) : "–");

/** A number with two decimals and, where it is negative, a minus sign. */
export const decimal = (n) => (isNumber(n) ? n.toFixed(2).replace("-", "−") : "–");

/** How often, in words. */
export const times = (n) => (n === 1 ? "once" : n === 2 ? "twice" : `${count(n)} times`);

export function percent(share, digits = 1) {
  return isNumber(share) ? `${(100 * share).toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−")} %` : "–";
}

/** A difference of two shares, in percentage points with its sign. */
export function points(share, digits = 1) {
  if (!isNumber(share)) return "–";
  const value = (100 * share).toFixed(digits);
  return `${Number(value) > 0 ? "+" : Number(value) < 0 ? "−" : "±"}${value.replace("-", "")} points`;
}

const LAST = 8.64e12; // seconds that a Date can say

const isTime = (at) => isNumber(at) && at > 0 && at < LAST;

/** A time for machines; nothing if it is none. */
export const iso = (at) => (isTime(at) ? new Date(at * 1000).toISOString() : null);

export function clock(at) {
  return isTime(at) ? new Date(at * 1000).toLocaleTimeString([], { hour12: false }) : "never";
}

export function moment(at) {
  if (!isTime(at)) return "never";
  const date = new Date(at * 1000);
  const today = new Date().toDateString() === date.toDateString();
  const year = date.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  const day = date.toLocaleDateString([], { month: "short", day: "numeric", ...year });
  return today ? clock(at) : `${day}, ${clock(at)}`;
}

/** Times along an axis, as exact as they lie apart. */
export function hands(ticks) {
  const apart = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  const how = apart >= 86400 ? { month: "short", day: "numeric" }
    : { hour: "2-digit", minute: "2-digit", hour12: false, ...(apart < 60 && { second: "2-digit" }) };
  return ticks.map((at) => new Date(at * 1000).toLocaleString([], how));
}

export function ago(at, now) {
  if (!isTime(at)) return "never";
  const seconds = now - at;
  if (seconds < -60) return `at ${moment(at)}, which lies ahead`; // the clock was set back since
  if (seconds < 2) return "now";
  return `${span(seconds)} ago`;
}

export function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export const bytes = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : `${(n / 1e6).toFixed(0)} MB`);

export const short = (address) =>
  /^0x[0-9a-f]{12,}$/i.test(address || "") ? `${address.slice(0, 6)}…${address.slice(-4)}` : address;

/** The label of a class index; nothing is known of an index that the site does not declare. */
export function label(labels, index) {
  if (index === null || index === undefined) return "unknown";
  return labels[index] ?? `class ${index}`;
}

/** Who an owner's address is: a site of this page, or the address, cut. */
export function nameOf(owner, sites) {
  if (owner === "") return "this site";
  const known = (sites || []).find((site) => site.account && site.account === owner);
  return known ? known.name : short(owner);
}

export const EXPERTS = {
  here: "the vote of the owners that this site's samples do not contradict",
  union: "the vote of all owners",
  "union by mix": "the vote of all owners, corrected for this site's mix of classes",
  "without vetoed": "the vote without the owners that this site's samples contradict",
  alone: "this site's own learner",
  prototypes: "this site's own prototypes",
  "last few": "this site's last 32 samples",
  "last many": "this site's last 200 samples",
  "class means": "the means of this site's classes",
};

const list = (names) => (names || []).join(", ");

/** An event of a gateway in a sentence. */
export function sentence(event, sites) {
  const owner = nameOf(event.owner, sites);
  switch (event.kind) {
    case "committed":
      return `Committed version ${event.version}: ${event.records} prototypes for ${count(event.gas)} gas`;
    case "merged": return `Took over version ${event.version} of ${owner}: ${event.records} prototypes`;
    case "dropped": return `Dropped the prototypes of ${owner}: ${event.reason}`;
    case "lied": return `${owner} is not believed from version ${event.version} on: ${event.evidence}`;
    case "drift": return `What was learnt holds no more (noticed ${times(event.drifts)}); the learner adapts`;
    case "channels":
      return (event.missing || []).length
        ? `No values of ${list(event.missing)}: left out of learning`
        : "All channels have values again";
    case "excluded": return (event.agents || []).length
      ? `Excluded, for what they sent contradicts the others: ${list(event.agents)}`
      : "Nobody is excluded any more";
    case "rejected": return `A commit was refused: ${event.reason}`;
    case "failed": return `Round ${event.round} failed: ${event.reason}`;
    case "chain": return "The chain answers";
    case "unavailable": return "The chain does not answer";
    case "ledger_failed": return `Nothing is committed or taken over: ${event.reason}`;
    case "disagrees": return `The node ${event.node} contradicts the others: ${event.reason}`;
    case "successor": return `The contract's owner names a successor: ${event.address}`;
    default: return event.kind;
  }
}
