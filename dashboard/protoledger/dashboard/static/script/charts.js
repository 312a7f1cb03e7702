// Line charts with uPlot, which is a script of its own and known as a global here.

import { slot } from "./dom.js";
import { hands, moment } from "./format.js";

const drawn = new Map();

/** Seconds that times on an axis may lie apart. */
const APART_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800, 1209600];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function options(chart, width) {
  const ink = colour("--muted"), line = colour("--line");
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  return {
    width,
    height: chart.height || 260,
    scales: { x: { time: Boolean(chart.time) }, y: { range: chart.range || ((_u, low, high) => padded(low, high)) } },
    axes: [
      chart.time
        ? { ...axis, space: 80, incrs: APART_S, values: (_u, ticks) => hands(ticks), label: chart.x, labelSize: 22, labelFont: "12px system-ui" }
        : { ...axis, label: chart.x, labelSize: 22, labelFont: "12px system-ui" },
      { ...axis, size: 58, values: (_u, ticks) => ticks.map(chart.tick) },
    ],
    legend: { live: true },
    cursor: { points: { size: 7 } },
    hooks: {
      setCursor: [(plot) => { if (plot.cursor.idx === null || plot.cursor.idx === undefined) rest(plot); }],
      draw: [(plot) => lines(plot, plot.marks || [], ink)],
    },
    series: [
      { label: chart.time ? "at" : chart.x, value: chart.time ? (_u, at) => (at ? moment(at) : "–") : undefined },
      ...chart.lines.map((each) => ({
        label: each.name,
        stroke: colour(each.colour),
        width: each.width || 2,
        dash: each.dash,
        points: { show: (chart.data[0] || []).length < 3 },
        spanGaps: true,
        value: (_u, value) => (value === null || value === undefined ? "–" : chart.value(value)),
      })),
    ],
  };
}

/** Lets the legend say the newest values while no point is chosen. */
function rest(plot) {
  const points = plot.data[0].length;
  if (points) plot.setLegend({ idx: points - 1 }, false);
}

/** Draws upright lines, at what is worth a note. */
function lines(plot, marks, ink) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ink;
  ctx.setLineDash([3, 4]);
  for (const at of marks) {
    const x = Math.round(plot.valToPos(at, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max(0.02, (high - low) * 0.12);
  return [low - room, high + room];
}

/**
 * Draws a chart into a slot, or gives the one that is there new data.
 * chart: { lines: [{ name, colour, dash, width }], data: [xs, ...ys], x, tick, value, time, range,
 * marks: xs }
 */
export function draw(name, chart) {
  const element = slot(name);
  if (!element || !globalThis.uPlot) return;
  const kind = JSON.stringify([chart.lines, chart.time, document.documentElement.dataset.shown]);
  const known = drawn.get(name);
  if (known && known.kind === kind && known.element === element) {
    known.plot.marks = chart.marks;
    known.plot.setData(chart.data);
    rest(known.plot);
    return;
  }
  if (known) known.end();
  element.replaceChildren();
  const plot = new uPlot(options(chart, element.clientWidth || 600), chart.data, element);
  plot.marks = chart.marks;
  rest(plot);
  const watch = new ResizeObserver(() => {
    const width = element.clientWidth;
    if (width && width !== plot.width) plot.setSize({ width, height: plot.height });
  });
  watch.observe(element);
  drawn.set(name, { plot, kind, element, end: () => { watch.disconnect(); plot.destroy(); } });
}

/** Forgets charts whose slots are gone. */
export function sweep() {
  for (const [name, known] of drawn) {
    if (!known.element.isConnected) { known.end(); drawn.delete(name); }
  }
}
