// Times and numbers as people read them. All times are UTC, as the frames are.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12345 -> "12,345" */
export const numberText = (value) => grouped.format(value);

/** A value of a line; "≥12,345" where it is a lower bound. */
export const valueText = (point) => (point.complete ? "" : "≥") + numberText(point.v);

/** "1 Nov 2026" */
export function dayText(seconds) {
  const date = new Date(seconds * 1000);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}

function clockText(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 16);
}

/** A frame: "1 Nov 2026", with the hour where frames are hours apart. */
export function momentText(seconds, unit) {
  return unit === "HOUR" ? `${dayText(seconds)}, ${clockText(seconds)} UTC` : dayText(seconds);
}

/** What a point is called: its frame; "now", and when that was counted, for the newest count. */
export function pointText(seconds, unit, counted) {
  return counted ? `now (counted ${dayText(counted)}, ${clockText(counted)} UTC)` : momentText(seconds, unit);
}

/** A label of the time axis: what changes from tick to tick, and below it the year or day where that changes. */
export function tickText(seconds, unit, before) {
  const date = new Date(seconds * 1000);
  const earlier = before === null ? null : new Date(before * 1000);
  const newYear = !earlier || earlier.getUTCFullYear() !== date.getUTCFullYear();
  const month = MONTHS[date.getUTCMonth()];
  if (unit === "YEAR") return String(date.getUTCFullYear());
  if (unit === "MONTH") return newYear ? `${month}\n${date.getUTCFullYear()}` : month;
  const day = `${date.getUTCDate()} ${month}`;
  if (unit === "HOUR") {
    const newDay = !earlier || earlier.toISOString().slice(0, 10) !== date.toISOString().slice(0, 10);
    return newDay ? `${clockText(seconds)}\n${day}` : clockText(seconds);
  }
  return newYear ? `${day}\n${date.getUTCFullYear()}` : day;
}
