/** Traces a marker of about `radius` around (x, y) onto the current path of a canvas context. */
export function traceMarker(ctx, kind, x, y, radius) {
  const shapes = {
    square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
    triangle: [[0, -1.2], [1.15, 0.9], [-1.15, 0.9]],
    "triangle-down": [[0, 1.2], [1.15, -0.9], [-1.15, -0.9]],
    diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
  };
  const corners = shapes[kind];
  if (!corners) {
    ctx.arc(x, y, radius, 0, 2 * Math.PI);
    return;
  }
  corners.forEach(([dx, dy], i) => (i ? ctx.lineTo : ctx.moveTo).call(ctx, x + dx * radius, y + dy * radius));
  ctx.closePath();
}

/** A thin ring around (x, y): the mark of the newest count, which moves. */
export function traceRing(ctx, x, y, radius, colour, ratio) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.setLineDash([]);
  ctx.lineWidth = 1.25 * ratio;
  ctx.strokeStyle = colour;
  ctx.stroke();
}
