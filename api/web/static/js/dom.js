// Small helpers for making elements and measuring text.

const scratch = document.createElement("canvas").getContext("2d");

/** Width of `text` in pixels in the CSS font `font`. */
export function measure(font, text) {
  scratch.font = font;
  return scratch.measureText(text).width;
}

/** An element with a class and a text; text of others never becomes markup. */
export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

/** An SVG element with attributes. */
export function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
