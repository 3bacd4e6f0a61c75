// The page of one insight: chart, chosen frame in the address (?at=), live while cells are open.
//
// For tests and the curious, `window.millstream.chart` shows read-only what is drawn:
//   .drawn   markers as painted: {series, label, time, value, hollow, now, x, y}; a missing point has none
//   .labels  labels at the line ends as placed: {label, text, top, height, left, width}
//   .active  the point under cursor or keys, or null
//   .loading whether cells are open
//   .live    whether the server tells of changes

import { LineChart } from "./chart.js";
import { numberText, pointText } from "./format.js";
import { follow, isFollowing } from "./live.js";
import { refresh } from "./page.js";

const TELL_AGAIN_MS = 10000;

const box = document.getElementById("chart");
const says = document.getElementById("chart-says");
const heard = document.getElementById("live-says");

const read = () => JSON.parse(document.getElementById("chart-data").textContent);
let data = read();
let shown = "";
let telling = 0;
let told = -Infinity;

const chart = new LineChart(box, {
  onActive(point, byKeyboard) {
    if (!byKeyboard) return;
    says.textContent = point ? spoken(point) : "";
  },
  onChoose(point) {
    go(point.now ? "now" : point.time, true);
  },
});

function spoken(point) {
  const when = pointText(Date.parse(point.time) / 1000, data.unit, point.counted);
  const flaw = point.complete ? "" : `, incomplete: ${point.reason || "not all repositories are counted"}`;
  return `${when}: ${point.label} ${point.complete ? "" : "at least "}${numberText(point.value)}${flaw}`;
}

function show() {
  const text = document.getElementById("chart-data").textContent;
  if (text === shown) return;
  shown = text;
  const before = data;
  data = read();
  tell(before);
  chart.show(data);
}

/** Reads out what others see move: the end of the counting, and newest counts that changed, not more than every 10 s. */
function tell(before) {
  if (before.loading && !data.loading) heard.textContent = "Counting has ended.";
  if (data.loading || data.now === null) return;
  const newest = (from) => from.series.map(({ label, points }) => `${label} ${points.at(-1)?.counted ? numberText(points.at(-1).v ?? 0) : ""}`);
  const was = newest(before);
  const moved = newest(data).filter((text, i) => text !== was[i]);
  if (!moved.length || before === data) return;
  clearTimeout(telling);
  telling = setTimeout(
    () => {
      told = performance.now();
      heard.textContent = `Now: ${moved.join(", ")}`;
    },
    Math.max(0, told + TELL_AGAIN_MS - performance.now()),
  );
}

/** Chooses the frame `at` (RFC 3339, empty for none), in the address and on the page. */
async function go(at, reveal) {
  const url = new URL(location.href);
  if (at) url.searchParams.set("at", at);
  else url.searchParams.delete("at");
  if (url.href !== location.href) history.pushState({}, "", url);
  await refresh(url.href);
  if (at && reveal) document.getElementById("breakdown").scrollIntoView({ block: "nearest" });
}

document.addEventListener("millstream:refreshed", show);
addEventListener("popstate", () => refresh(location.href));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-at]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.dataset.at, true);
});

const reading = {};
for (const name of ["drawn", "labels", "active"]) Object.defineProperty(reading, name, { get: () => chart[name], enumerable: true });
Object.defineProperty(reading, "loading", { get: () => data.loading, enumerable: true });
Object.defineProperty(reading, "live", { get: isFollowing, enumerable: true });
window.millstream = Object.freeze({ chart: Object.freeze(reading) });

show();
follow();
