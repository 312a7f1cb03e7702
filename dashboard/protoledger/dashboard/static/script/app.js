// The page: tabs, the choice of a site, and one stream that the open view follows.

import { sweep } from "./charts.js";
import { h, show } from "./dom.js";
import { explain, onExplained } from "./views/explain.js";
import { clock, moment } from "./format.js";
import { health } from "./views/health.js";
import { drawLearning, learning } from "./views/learning.js";
import { ledger } from "./views/ledger.js";
import { now } from "./views/now.js";
import { empty } from "./parts.js";
import { follow, report } from "./source.js";
import { drawTrust, trust } from "./views/trust.js";

const VIEWS = {
  now: { name: "Now", all: true, render: now },
  learning: { name: "Learning", render: learning, draw: drawLearning },
  ledger: { name: "Ledger", all: true, render: ledger },
  trust: { name: "Trust", render: trust, draw: drawTrust },
  explain: { name: "Explain", render: explain },
  health: { name: "Health", render: health },
};
const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

const element = (id) => document.getElementById(id);
const page = { view: "now", site: null, shown: null, state: "connecting", lostAt: 0, stop: () => {} };

function readAddress() {
  const [view, site] = location.hash.slice(1).split("/").map(decodeURIComponent);
  return [view in VIEWS ? view : "now", site || null];
}

function open(view, site) {
  const changed = view !== page.view || !page.shown;
  page.view = view;
  page.site = site ?? page.site;
  const hash = `#${view}${page.site ? `/${encodeURIComponent(page.site)}` : ""}`;
  if (location.hash !== hash) history.replaceState(null, "", hash);
  if (changed) {
    page.stop();
    page.shown = null;
    element("panel").replaceChildren(h("p", { class: "sub" }, "Loading …"));
    page.stop = follow(view, (content) => { page.shown = content; render(); }, onState);
  }
  render();
}

function onState(state) {
  if (state === "lost" && page.state !== "lost") page.lostAt = Date.now() / 1000;
  page.state = state;
  render();
}

function render() {
  renderTabs();
  renderConnection();
  const content = page.shown, view = VIEWS[page.view], panel = element("panel");
  panel.dataset.lost = String(page.state === "lost");
  panel.setAttribute("aria-labelledby", `tab-${page.view}`);
  if (!content) return;
  const sites = content.sites;
  const site = sites.find((one) => one.name === page.site) || sites[0];
  renderSites(view.all ? [] : sites, site);
  try {
    show(panel, sites.length ? view.render(content, site) : empty("No site", "This page was started without a gateway."));
    if (view.draw && site) view.draw(site, sites);
  } catch (error) { // whatever a file held: the other tabs, and what comes next, are still shown
    show(panel, empty("This cannot be shown", `What ${site ? site.name : "the gateway"} keeps for this page makes no sense here: ${error.message}.`));
  }
  sweep();
  show(element("foot"), h("span", null, report ? `Report of ${moment(content.at)}` : `As of ${clock(content.at)}`),
    h("span", null, "All shares are of labelled samples, each predicted before it is learnt."),
    h("span", null, "Nothing can be changed here."));
}

function renderTabs() {
  const names = Object.keys(VIEWS);
  show(element("tabs"), names.map((name) => h("button", {
    type: "button", role: "tab", id: `tab-${name}`, "data-key": name, "aria-controls": "panel",
    "aria-selected": String(name === page.view), tabindex: name === page.view ? "0" : "-1",
    onclick: () => open(name), onkeydown: (event) => step(event, names, page.view, (next) => { open(next); element(`tab-${next}`).focus(); }),
  }, VIEWS[name].name)));
}

function renderSites(sites, chosen) {
  const names = sites.map((site) => site.name);
  const choose = (name) => { page.site = name; open(page.view, name); };
  show(element("sites"), sites.length < 2 ? [] : names.map((name) => h("button", {
    type: "button", role: "radio", "data-key": name, title: name, "aria-checked": String(name === chosen.name),
    tabindex: name === chosen.name ? "0" : "-1", onclick: () => choose(name),
    onkeydown: (event) => step(event, names, chosen.name, (next) => {
      choose(next);
      element("sites").querySelector('[aria-checked="true"]').focus();
    }),
  }, name)));
}

function step(event, names, from, go) {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const to = by ? names[(names.indexOf(from) + by + names.length) % names.length]
    : event.key === "Home" ? names[0] : event.key === "End" ? names[names.length - 1] : null;
  if (to === null) return;
  event.preventDefault();
  go(to);
}

function renderConnection() {
  const words = { live: "live", lost: "no connection", connecting: "connecting …", report: "report" };
  const status = element("connection");
  status.dataset.state = page.state;
  if (status.textContent !== words[page.state]) status.textContent = words[page.state];
  const text = page.state === "lost"
    ? `No connection to the page's server since ${clock(page.lostAt)}; trying again. The gateways go on without this page.` : "";
  if (element("banner").textContent !== text) element("banner").textContent = text;
}

const stored = (() => { try { return window.localStorage; } catch { return null; } })();

function setTheme(theme) {
  const root = document.documentElement;
  if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
  const dark = theme === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
  root.dataset.shown = dark ? "dark" : "light"; // charts are drawn again in other colours
  const [sign, words] = THEMES[theme];
  element("theme").textContent = sign;
  element("theme").setAttribute("aria-label", `Colours: ${words}`);
  element("theme").title = `Colours: ${words}`;
  try { stored && stored.setItem("theme", theme); } catch { /* a report opened from a file */ }
}

function start() {
  let theme = (() => { try { return stored && stored.getItem("theme"); } catch { return null; } })();
  theme = theme in THEMES ? theme : "auto";
  setTheme(theme);
  element("theme").onclick = () => {
    const names = Object.keys(THEMES);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    setTheme(theme);
    render();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { setTheme(theme); render(); });
  onExplained(render);
  addEventListener("hashchange", () => open(...readAddress()));
  open(...readAddress());
}

start();
