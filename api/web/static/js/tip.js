// The box beside the point under cursor or keys: date, values, why a point is incomplete, how to check it.

import { element } from "./dom.js";
import { numberText, valueText } from "./format.js";

const AWAY_PX = 16;

/**
 * Fills `tip` for one frame, called `when`. `lines`: {label, point} in the order of the legend, `point` undefined where a line has no
 * such frame; `on`: index of the line that the point belongs to.
 */
export function fillTip(tip, when, lines, on) {
  tip.replaceChildren(element("div", "when", when));
  const keys = document.querySelectorAll("#legend .key");
  lines.forEach(({ label, point }, i) => {
    if (!point) return;
    const row = element("div", i === on ? "row on" : "row");
    if (keys[i]) row.append(keys[i].cloneNode(true));
    row.append(element("span", "name", label), element("b", "", point.v === null ? "not known" : valueText(point)));
    tip.append(row);
    if (point.v !== null && !point.complete) {
      tip.append(element("div", "why", `incomplete: ${point.reason || "not all repositories are counted"}`));
    }
  });
  if (lines[on].point.check) tip.append(checkElement(lines[on].point.check));
}

function checkElement({ repository, commit, command, how, value, of }) {
  const check = element("div", "check");
  check.append(of > 1 ? `${numberText(value)} of it in ${repository}` : repository);
  if (commit) check.append(" at ", element("span", "mono", commit.slice(0, 10)));
  if (how) check.append(element("div", "", how));
  if (command) check.append(commandElement(command));
  if (of > 1) check.append(element("div", "", `Click for all ${of} repositories.`));
  return check;
}

/** A command that breaks between its words only, where it can. */
function commandElement(command) {
  const code = element("code");
  command.split(" ").forEach((word, i) => code.append(i ? " " : "", element("span", "word", word)));
  return code;
}

/** Places `tip` beside the point (x, y) of a box `room` pixels wide: towards the middle, so that the ends stay in sight. */
export function placeTip(tip, x, y, room) {
  const { offsetWidth: width, offsetHeight: height } = tip;
  let left = x > room * 0.45 ? x - width - AWAY_PX : x + AWAY_PX;
  if (left + width > room) left = x - width - AWAY_PX;
  if (left < 0) left = Math.max(0, Math.min(room - width, x - width / 2));
  const above = y - height - 12;
  const covers = width > room - 120;
  const top = covers && above < 0 ? y + AWAY_PX : Math.max(0, above);
  tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
}
