// Health: alerts that would fire now, agents and channels by state, and what runs out.

import { h } from "../dom.js";
import { bytes, count, span } from "../format.js";
import { blank, card, log, notice, pill, scroll, tile, tiles } from "../parts.js";

const KINDS = { critical: "bad", warning: "warn", info: "info" };

export function health(view, site) {
  const nothing = blank(site, () => site.agents.length > 0);
  if (nothing) return nothing;
  const disk = site.disk, days = site.certificate_days, started = site.started_at;
  const here = site.agents.filter((agent) => agent.state === "here" || agent.state === "late").length;
  return h("div", { class: "stack" },
    notice(site, view.at),
    card("Alerts that would fire now", site.alerts.length
      ? h("ul", null, site.alerts.map((one) => h("li", { class: "alert" }, pill(one.name, KINDS[one.severity]), h("span", null, one.text))))
      : h("p", { class: "sub" }, "None: all is well.")),
    tiles(
      tile("Agents here", `${count(here)} of ${count(site.agents.length)}`),
      tile("Gateway runs for", started ? span(view.at - started) : "–", started ? `process ${site.status.pid}` : "not running"),
      tile("Broker", site.connected ? "connected" : "not connected"),
      tile("Chain", site.chain && site.chain !== "none" ? site.chain : "none"),
      tile("Certificate", days === null ? "none" : `${Math.round(days)} days`, days === null ? "" : "left"),
      tile("Disk", disk ? bytes(disk.free_bytes) : "–", disk ? `free of ${bytes(disk.all_bytes)}` : "")),
    card("Agents", h("ul", { class: "members" }, site.agents.map((agent) =>
      h("li", { class: "member", "data-key": agent.id, title: `${agent.id}: ${agent.channels.join(", ")}` },
        h("i", { class: `dot ${agent.state}`, "aria-hidden": "true" }), h("span", null, agent.id), h("span", null, agent.state))))),
    card("Sensors, by channel",
      scroll("Sensors by channel", h("table", null,
        h("caption", null, "How many agents contributed to the last round. What one agent read, or whether its sensor failed, the gateway does not learn."),
        h("thead", null, h("tr", null, h("th", { scope: "col" }, "Channel"), h("th", { scope: "col" }, "Unit"),
          h("th", { scope: "col", class: "num" }, "Contributed"), h("th", { scope: "col", class: "num" }, "Have the sensor"), h("th", { scope: "col" }, "State"))),
        h("tbody", null, site.channels.map((one) => h("tr", null,
          h("th", { scope: "row" }, one.name), h("td", null, one.unit || "–"), h("td", { class: "num" }, count(one.contributors)),
          h("td", { class: "num" }, count(one.carriers)), h("td", null, channelState(one)))))))),
    card("What happened", log(site.events, view.sites)));
}

function channelState(one) {
  if (one.missing) return pill("missing", "bad");
  if (one.contributors === null) return pill("not known yet");
  return one.contributors < one.carriers ? pill("some missing", "warn") : pill("good", "good");
}
