// The map of prototypes: two axes that separate the classes best; area by weight, colour by class,
// shape by owner. Marks keep their elements, and CSS moves them to where they are next.

import { h, s } from "../dom.js";
import { label, nameOf } from "../format.js";
import { mark } from "../parts.js";

const WIDE = 480, HIGH = 360, EDGE = 18, OWNERS = 12;

export function map(site, sites) {
  const drawn = site.map;
  if (!drawn || !drawn.prototypes || !drawn.prototypes.length) {
    return h("p", { class: "sub" }, "No prototypes yet.");
  }
  const xs = drawn.prototypes.map((p) => p[4]), ys = drawn.prototypes.map((p) => p[5]);
  const x = scale(xs, WIDE), y = scale(ys, HIGH);
  const heaviest = Math.max(...drawn.prototypes.map((p) => p[3]), 1);
  const rows = [...drawn.prototypes].sort((a, b) => b[3] - a[3]);
  const marks = rows.map(([owner, id, cls, weight, px, py]) => {
    const size = 7 + 17 * Math.sqrt(weight / heaviest);
    const shape = mark(owner, size, { class: `proto k${cls % 8}` });
    shape.style.transform = `translate(${x(px).toFixed(1)}px, ${(HIGH - y(py)).toFixed(1)}px)`;
    shape.dataset.key = `${drawn.owners[owner]}/${id}/${cls}`;
    shape.append(s("title", null, `${label(site.labels, cls)}, of ${nameOf(drawn.owners[owner], sites)}, stands for ${Math.round(weight)} samples`));
    return shape;
  });
  const shown = [...new Set(rows.map((row) => row[0]))].sort((a, b) => a - b);
  const classes = [...new Set(rows.map((row) => row[2]))].sort((a, b) => a - b);
  const text = `${rows.length} prototypes of ${shown.length} ${shown.length === 1 ? "owner" : "owners"}: ` +
    classes.map((cls) => `${rows.filter((row) => row[2] === cls).length} ${label(site.labels, cls)}`).join(", ");
  return h("figure", { class: "map" },
    s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": text },
      s("line", { class: "axis", x1: 0, x2: WIDE, y1: HIGH / 2, y2: HIGH / 2 }),
      s("line", { class: "axis", x1: WIDE / 2, x2: WIDE / 2, y1: 0, y2: HIGH }),
      marks),
    h("ul", { class: "keys" },
      classes.map((cls) => h("li", null, h("span", { class: `dot k${cls % 8}`, "aria-hidden": "true" }), label(site.labels, cls)))),
    h("ul", { class: "keys" },
      shown.slice(0, OWNERS).map((number) => h("li", null,
        s("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" }, mark(number, 12, { class: "ink" })), nameOf(drawn.owners[number], sites))),
      shown.length > OWNERS && h("li", null, `and ${shown.length - OWNERS} more owners`)),
    h("figcaption", null, `The two directions that separate the classes best: mostly ${heavy(drawn.axes[0], site.channels)} across, ${heavy(drawn.axes[1], site.channels)} upwards. Larger marks stand for more samples.`));
}

function scale(values, size) {
  const low = Math.min(...values), high = Math.max(...values), range = high - low || 1;
  return (value) => EDGE + ((value - low) / range) * (size - 2 * EDGE);
}

/** The channels that weigh most on an axis. */
function heavy(axis, channels) {
  const order = axis.map((weight, i) => [Math.abs(weight), channels[i] || `channel ${i}`]).sort((a, b) => b[0] - a[0]);
  const strong = order.filter(([weight]) => weight > 0.5 * order[0][0]).slice(0, 2);
  return strong.map(([, name]) => name).join(" and ");
}
