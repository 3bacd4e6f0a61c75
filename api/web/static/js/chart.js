// The line chart: uPlot draws axes and lines, this module what makes them readable.
//
// Labels stand at the line ends; markers differ per series; an incomplete point is hollow; a missing one is a gap.
// What was really drawn can be read (tests do): see `LineChart.drawn`.

import { element, measure } from "./dom.js";
import { drawEndLabels } from "./endlabels.js";
import { pointText, valueText } from "./format.js";
import { traceMarker, traceRing } from "./markers.js";
import { plotOptions } from "./options.js";
import { yTicks } from "./scales.js";
import { fillTip, placeTip } from "./tip.js";

const NARROW_PX = 620;
const GUTTER_MAX_PX = 230;
const MARKER_PX = 4;
const RING_PX = 4;
const CROWDED_PX = 9;
const LABEL_FONT = '600 14.6px "Source Sans 3", system-ui, sans-serif';

export class LineChart {
  #box;
  #data = { unit: "MONTH", series: [], now: null };
  #plot = null;
  #times = [];
  #columns = [];
  #active = null;
  #pinnedTime = null;
  #drawn = [];
  #drawing = [];
  #labels = [];
  #tip;
  #onActive;
  #onChoose;
  #keyboard = false;

  /** `onActive(point | null)` when the point under cursor or keys changes, `onChoose(point)` on click or Enter. */
  constructor(box, { onActive = () => {}, onChoose = () => {} } = {}) {
    this.#box = box;
    this.#onActive = onActive;
    this.#onChoose = onChoose;
    this.#tip = element("div", "tip");
    this.#tip.hidden = true;
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(box.clientWidth - width) < 1) return;
      width = box.clientWidth;
      this.#build();
    }).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#build());
    document.fonts?.ready.then(() => this.#build());
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("blur", () => {
      this.#keyboard = false;
      this.#activate(null);
    });
    box.addEventListener("focus", () => {
      if (box.matches(":focus-visible") && !this.#active) this.#step(0);
    });
  }

  /** Markers as painted, in drawing order: {series, label, time, value, hollow, now, x, y} in CSS pixels of the canvas. */
  get drawn() {
    return this.#drawn.map((mark) => ({ ...mark }));
  }

  /** End labels as placed: {label, text, top, left, width}. Empty where the legend stands instead. */
  get labels() {
    return this.#labels.map((label) => ({ ...label }));
  }

  /** The point under cursor or keys, or null. */
  get active() {
    return this.#active ? this.#point(this.#active) : null;
  }

  /** Takes the page's chart data (`#chart-data`) and draws it. */
  show(data) {
    const keep = this.#active ? this.#point(this.#active) : null;
    this.#data = data;
    const times = new Set(data.series.flatMap((series) => series.points.map((point) => point.t)));
    this.#times = [...times].sort((a, b) => a - b);
    const place = new Map(this.#times.map((time, i) => [time, i]));
    // undefined: this series has no frame here; null: it has one, and nothing is known of it.
    this.#columns = data.series.map((series) => {
      const column = new Array(this.#times.length).fill(undefined);
      for (const point of series.points) column[place.get(point.t)] = point;
      return column;
    });
    this.#pinnedTime = data.at === "now" ? data.now : data.at ? Date.parse(data.at) / 1000 : null;
    this.#active = null;
    if (keep) {
      const series = data.series.findIndex((candidate) => candidate.id === keep.series);
      const index = place.get(keep.now ? data.now : Date.parse(keep.time) / 1000);
      if (series >= 0 && index !== undefined && this.#value(series, index) !== null) this.#active = { series, index };
    }
    this.#build();
  }

  #value(series, index) {
    return this.#columns[series]?.[index]?.v ?? null;
  }

  #point({ series, index }) {
    const line = this.#data.series[series];
    const point = this.#columns[series][index];
    return {
      series: line.id,
      label: line.label,
      time: iso(this.#times[index]),
      now: this.#times[index] === this.#data.now,
      counted: point.counted ?? null,
      value: point.v,
      complete: point.complete,
      reason: point.reason ?? "",
    };
  }

  #build() {
    const width = Math.floor(this.#box.clientWidth);
    if (!width) return;
    this.#plot?.destroy();
    this.#plot = null;
    this.#drawn = [];
    this.#labels = [];
    this.#box.replaceChildren();
    const known = this.#columns.some((_, series) => this.#times.some((_t, i) => this.#value(series, i) !== null));
    this.#box.classList.toggle("empty-chart", !known);
    this.#legend(!known || width < NARROW_PX);
    this.#marks();
    if (!known) {
      const text = this.#data.loading
        ? "The lines appear with the first counted cells."
        : this.#times.length
          ? "Nothing is known at any frame of this insight."
          : "No repository is in the scope of this insight.";
      this.#box.append(element("p", "", text));
      return;
    }
    const style = getComputedStyle(document.documentElement);
    const css = (name) => style.getPropertyValue(name).trim();
    const colours = this.#data.series.map((series) => series.custom || css(`--s${series.colour}`));
    const endLabels = width >= NARROW_PX;
    const gutter = endLabels ? this.#gutter(width) : 10;
    const height = endLabels ? Math.round(Math.min(440, Math.max(320, width * 0.4))) : 280;
    const ticks = yTicks(Math.max(1, ...this.#columns.flatMap((column) => column.map((point) => point?.v ?? 0))));
    const options = {
      ...plotOptions({ width, height, gutter, ticks, colours, times: this.#times, data: this.#data, css }),
      hooks: {
        drawAxes: [
          (plot) => {
            this.#drawUpright(plot, this.#data.now, css("--line-strong"), [2, 4]);
            this.#drawUpright(plot, this.#pinnedTime, css("--accent"), []);
          },
        ],
        ready: [(plot) => this.#ready(plot, endLabels ? gutter : 0, colours)],
        draw: [(plot) => this.#drawMarkers(plot, colours, css("--surface"))],
        setCursor: [(plot) => this.#pointer(plot)],
      },
    };
    const columns = this.#columns.map((column) => column.map((point) => (point === undefined ? undefined : point.v)));
    this.#plot = new uPlot(options, [this.#times, ...columns], this.#box);
    this.#plot.over.addEventListener("click", () => {
      if (this.#active) this.#choose();
    });
    this.#plot.over.addEventListener("mouseleave", () => {
      if (!this.#keyboard) this.#activate(null);
    });
    this.#box.append(this.#tip);
  }

  /** What needs the plot's measures, which it takes a moment after it was made. */
  #ready(plot, gutter, colours) {
    this.#plot = plot;
    if (gutter) {
      const lines = this.#data.series.flatMap((series, i) => {
        const last = this.#lastIndex(i);
        if (last < 0) return [];
        const [name, value] = this.#labelText(series, i);
        return [{ name, value, colour: colours[i], time: this.#times[last], at: this.#value(i, last) }];
      });
      const placed = drawEndLabels(this.#box, plot, lines, gutter);
      this.#labels = placed ?? [];
      if (!placed) this.#legend(true);
    }
    this.#showTip();
  }

  #legend(shown) {
    const legend = document.getElementById("legend");
    if (legend) legend.hidden = !shown;
  }

  /** What the marks below the chart explain is shown only where the chart has it. */
  #marks() {
    const points = this.#columns.flat().filter((point) => point !== undefined);
    const has = { hollow: points.some((point) => point.v !== null && !point.complete), gap: points.some((point) => point.v === null) };
    for (const [name, shown] of Object.entries(has)) {
      const mark = document.getElementById(`mark-${name}`);
      if (mark) mark.hidden = !shown;
    }
  }

  #gutter(width) {
    const widest = Math.max(
      ...this.#data.series.map((series, i) => measure(LABEL_FONT, this.#labelText(series, i).join("  "))),
    );
    return Math.ceil(Math.min(widest + 26, GUTTER_MAX_PX, width * 0.3));
  }

  #lastIndex(series) {
    for (let i = this.#times.length - 1; i >= 0; i--) if (this.#value(series, i) !== null) return i;
    return -1;
  }

  #labelText(series, i) {
    const last = this.#lastIndex(i);
    return last < 0 ? [series.label] : [series.label, valueText(this.#columns[i][last])];
  }

  #drawUpright(plot, time, colour, dash) {
    if (time === null || !this.#times.includes(time)) return;
    const x = Math.round(plot.valToPos(time, "x", true));
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  #drawMarkers(plot, colours, surface) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const crowded = bbox.width / ratio / Math.max(1, this.#times.length) < CROWDED_PX;
    this.#drawing = [];
    ctx.save();
    this.#data.series.forEach((series, s) => {
      const last = this.#lastIndex(s);
      this.#times.forEach((time, i) => {
        const point = this.#columns[s][i];
        if (!point || point.v === null) return;
        const on = this.#active?.series === s && this.#active.index === i;
        const alone = this.#value(s, i - 1) === null && this.#value(s, i + 1) === null;
        if (crowded && point.complete && !on && !alone && i !== last) return;
        const x = plot.valToPos(time, "x", true);
        const y = plot.valToPos(point.v, "y", true);
        const radius = (on ? MARKER_PX + 2 : MARKER_PX) * ratio;
        const now = time === this.#data.now;
        if (now) traceRing(ctx, x, y, radius + RING_PX * ratio, colours[s], ratio);
        ctx.beginPath();
        traceMarker(ctx, series.marker, x, y, radius);
        ctx.lineJoin = "round";
        ctx.lineWidth = (point.complete ? 1.5 : 2) * ratio;
        ctx.fillStyle = point.complete ? colours[s] : surface;
        ctx.strokeStyle = point.complete ? surface : colours[s];
        ctx.setLineDash([]);
        ctx.fill();
        ctx.stroke();
        this.#drawing.push({
          series: series.id,
          label: series.label,
          time: iso(time),
          value: point.v,
          hollow: !point.complete,
          now,
          x: x / ratio,
          y: y / ratio,
        });
      });
    });
    ctx.restore();
    this.#drawn = this.#drawing;
  }

  #pointer(plot) {
    const { left, top, idx } = plot.cursor;
    if (left < 0 || idx === null || idx === undefined) return;
    this.#keyboard = false;
    let best = null;
    this.#data.series.forEach((_, series) => {
      const value = this.#value(series, idx);
      if (value === null) return;
      const distance = Math.abs(plot.valToPos(value, "y") - top);
      if (!best || distance < best.distance) best = { series, index: idx, distance };
    });
    this.#activate(best && { series: best.series, index: best.index });
  }

  #activate(point) {
    const same = point?.series === this.#active?.series && point?.index === this.#active?.index;
    this.#active = point;
    if (same) return;
    this.#plot?.redraw(false, false);
    this.#showTip();
    this.#onActive(point ? this.#point(point) : null, this.#keyboard);
  }

  #choose() {
    this.#onChoose(this.#point(this.#active));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#plot) return;
    const moves = {
      ArrowLeft: () => this.#step(-1),
      ArrowRight: () => this.#step(1),
      Home: () => this.#step(-Infinity),
      End: () => this.#step(Infinity),
      ArrowUp: () => this.#change(-1),
      ArrowDown: () => this.#change(1),
      Enter: () => this.#active && this.#choose(),
      " ": () => this.#active && this.#choose(),
      Escape: () => this.#activate(null),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.#keyboard = true;
    moves[event.key]();
  }

  /** Moves along the points of the active series; with none active, to the pinned or the newest point. */
  #step(by) {
    this.#keyboard = true;
    const series = this.#active?.series ?? this.#columns.findIndex((_, s) => this.#lastIndex(s) >= 0);
    if (series < 0) return;
    const known = this.#times.map((_, i) => i).filter((i) => this.#value(series, i) !== null);
    let at = this.#active ? known.indexOf(this.#active.index) : -1;
    if (!this.#active && Number.isFinite(by)) {
      const pinned = this.#times.indexOf(this.#pinnedTime);
      at = known.includes(pinned) ? known.indexOf(pinned) : known.length - 1;
    } else {
      at = Math.min(known.length - 1, Math.max(0, at + by));
    }
    this.#activate({ series, index: known[at] });
  }

  /** Moves to the series whose value at this frame is the next one above or below. */
  #change(by) {
    if (!this.#active) return this.#step(0);
    const { series, index } = this.#active;
    const here = this.#data.series
      .map((_, s) => ({ s, v: this.#value(s, index) }))
      .filter(({ v }) => v !== null)
      .sort((a, b) => b.v - a.v || a.s - b.s);
    const at = here.findIndex(({ s }) => s === series) + by;
    if (here[at]) this.#activate({ series: here[at].s, index });
  }

  #showTip() {
    const active = this.#active;
    this.#tip.hidden = !active || !this.#plot;
    if (this.#tip.hidden) return;
    const { series: on, index } = active;
    const lines = this.#data.series.map((series, i) => ({ label: series.label, point: this.#columns[i][index] }));
    const when = pointText(this.#times[index], this.#data.unit, lines[on].point.counted);
    fillTip(this.#tip, when, lines, on);
    const x = this.#plot.valToPos(this.#times[index], "x", true) / devicePixelRatio;
    const y = this.#plot.valToPos(this.#value(on, index), "y", true) / devicePixelRatio;
    placeTip(this.#tip, x, y, this.#box.clientWidth);
  }
}

function iso(seconds) {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}
