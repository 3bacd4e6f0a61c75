/**
 * Places labels on a vertical line without overlaps, each as near to where it belongs as the others allow.
 *
 * `wanted`: the y of each label; `gap`: least distance of two; all stay within `top` and `bottom` (pixels).
 * Returns the y of each, in the order of `wanted`, or null where there is no room for all.
 */
export function placeLabels(wanted, gap, top, bottom) {
  if (!wanted.length) return [];
  if ((wanted.length - 1) * gap > bottom - top) return null;
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b] || a - b);
  // Groups of labels that touch; a group stands where the mean of its members' wishes puts it.
  const groups = [];
  for (const i of order) {
    groups.push({ members: [i], sum: wanted[i], start: clamp(wanted[i], top, bottom) });
    while (groups.length > 1) {
      const [before, after] = groups.slice(-2);
      if (before.start + before.members.length * gap <= after.start) break;
      groups.pop();
      // A wish of the k-th member is a wish for the group's start at k gaps above it.
      before.sum += after.sum - after.members.length * before.members.length * gap;
      before.members.push(...after.members);
      const reach = (before.members.length - 1) * gap;
      before.start = clamp(before.sum / before.members.length, top, bottom - reach);
    }
  }
  const places = new Array(wanted.length);
  for (const { members, start } of groups) members.forEach((i, k) => (places[i] = start + k * gap));
  return places;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
