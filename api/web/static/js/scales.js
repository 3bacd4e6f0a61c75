// Where the axes begin, end and have their ticks.

const NOW_PX = 46;

/** The range of the time axis: a little more than the frames span, or a day around a single one. */
export function xRange(low, high) {
  if (low === high) return [low - 43200, high + 43200];
  const pad = (high - low) * 0.012;
  return [low - pad, high + pad];
}

/** Frames (Unix seconds) that get a tick on `width` pixels; the newest always does. */
export function xTicks(times, unit, width) {
  const wide = unit === "MONTH" || unit === "YEAR" ? 54 : 64;
  const room = Math.max(1, Math.floor(width / wide));
  const count = times.length;
  const step = [1, 2, 3, 4, 6, 12, 24, 48, 96].find((k) => Math.ceil(count / k) <= room) ?? count;
  return times.filter((_, i) => (count - 1 - i) % step === 0);
}

/** The ticks of the frames that leave room for `now` (Unix seconds, null without one), which has its own. */
export function withNow(ticks, times, now, width) {
  if (now === null) return ticks;
  const span = Math.max(1, now - times[0]);
  return [...ticks.filter((time) => ((now - time) / span) * width > NOW_PX), now];
}

/** Whole numbers from 0 to the first round one that is not below `top`, about five of them. */
export function yTicks(top) {
  const rough = Math.max(1, top) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const round = [1, 2, 2.5, 5, 10].map((k) => k * power).find((k) => k >= rough && Number.isInteger(k));
  const step = Math.max(1, round ?? 10 * power);
  const ticks = [0];
  while (ticks[ticks.length - 1] < top || ticks.length < 2) ticks.push(ticks.length * step);
  return ticks;
}
