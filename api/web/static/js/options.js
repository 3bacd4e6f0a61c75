// What uPlot is told about size, scales, axes and lines; the chart adds its hooks.

import { measure } from "./dom.js";
import { numberText, tickText } from "./format.js";
import { withNow, xRange, xTicks } from "./scales.js";

const AXIS_FONT = '13px "Source Sans 3", system-ui, sans-serif';

/** `ticks`: values of the y axis; `times`: all columns in Unix seconds; `css(name)`: a colour of the style sheet. */
export function plotOptions({ width, height, gutter, ticks, colours, times, data, css }) {
  const axis = {
    font: AXIS_FONT,
    stroke: css("--ink-3"),
    grid: { stroke: css("--line"), width: 1 },
    ticks: { show: false },
  };
  const room = width - gutter - 50;
  const frames = times.filter((time) => time !== data.now);
  return {
    width,
    height,
    padding: [14, gutter, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { show: false } },
    scales: {
      x: { time: true, range: (_u, low, high) => xRange(low, high) },
      y: { range: () => [0, ticks[ticks.length - 1]] },
    },
    axes: [
      {
        ...axis,
        size: 44,
        gap: 6,
        grid: { show: false },
        splits: () => withNow(xTicks(frames, data.unit, room), times, data.now, room),
        values: (_u, splits) =>
          splits.map((time, i) => (time === data.now ? "now" : tickText(time, data.unit, i ? splits[i - 1] : null))),
      },
      {
        ...axis,
        gap: 8,
        size: 14 + measure(AXIS_FONT, numberText(ticks[ticks.length - 1])),
        splits: () => ticks,
        values: (_u, splits) => splits.map(numberText),
      },
    ],
    series: [
      {},
      ...data.series.map((series, i) => ({
        label: series.label,
        stroke: colours[i],
        width: 2,
        dash: series.dash.map((length) => length * devicePixelRatio),
        cap: series.dash.length ? "butt" : "round",
        points: { show: false },
      })),
    ],
  };
}
