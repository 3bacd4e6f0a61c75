// Labels at the line ends, with thin leaders where one had to make room for another.

import { element, svg } from "./dom.js";
import { placeLabels } from "./labels.js";

const GAP_PX = 19;

/**
 * Puts a label beside the end of each line of `plot` into `box`.
 *
 * `lines`: {name, value, colour, time, at} with the newest known `time` and its value `at`; `gutter`: pixels to the
 * right of the plot. Returns what was placed, or null where there is no room (the legend says it then).
 */
export function drawEndLabels(box, plot, lines, gutter) {
  const ratio = devicePixelRatio;
  const left = (plot.bbox.left + plot.bbox.width) / ratio;
  const top = plot.bbox.top / ratio;
  const bottom = top + plot.bbox.height / ratio;
  const ends = lines.map((line) => ({
    x: plot.valToPos(line.time, "x", true) / ratio,
    y: plot.valToPos(line.at, "y", true) / ratio,
  }));
  const places = placeLabels(ends.map(({ y }) => y), GAP_PX, top, bottom);
  if (!places) return null;
  const leaders = svg("svg", { class: "end-leader", "aria-hidden": "true", width: "100%", height: "100%" });
  box.append(leaders);
  return lines.map(({ name, value, colour }, i) => {
    const { x, y } = ends[i];
    const label = element("div", "end-label");
    label.append(element("span", "", name), " ", element("b", "", value));
    label.title = name;
    label.style.setProperty("--c", colour);
    label.style.left = `${left + 16}px`;
    label.style.top = `${places[i]}px`;
    label.style.maxWidth = `${gutter - 18}px`;
    label.setAttribute("aria-hidden", "true");
    box.append(label);
    if (Math.abs(places[i] - y) > 3 || left - x > 24) {
      leaders.append(svg("path", { d: `M${x + 7} ${y}L${Math.max(x + 7, left + 4)} ${places[i]}H${left + 12}` }));
    }
    return {
      label: name,
      text: label.textContent,
      top: label.offsetTop - label.offsetHeight / 2,
      height: label.offsetHeight,
      left: label.offsetLeft,
      width: label.offsetWidth,
    };
  });
}
