// Follows the server's events: it says that what this page shows has changed, and the page asks for it again.
//
// Where there are no events (an old proxy, too many listeners), the page asks every few seconds instead. A hidden page
// listens to nothing: browsers keep six connections to a server, and tabs in the background must not hold them all.

import { poll, refresh } from "./page.js";

const FALLBACK_MS = 4000;
const TRY_AGAIN_MS = 30000;

let source = null;
let running = false;
let again = false;
let retry = 0;

/** Begins to follow; `#live` names the stream (`data-url`) and what the page shows (`data-known`). */
export function follow() {
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", start);
  start();
}

/** Whether events come. */
export const isFollowing = () => source?.readyState === EventSource.OPEN;

function start() {
  const place = document.getElementById("live");
  if (source || document.hidden || !place) return;
  clearTimeout(retry);
  source = new EventSource(`${place.dataset.url}?known=${encodeURIComponent(place.dataset.known)}`);
  source.addEventListener("open", () => poll(0));
  source.addEventListener("moved", update);
  source.addEventListener("gone", () => {
    stop();
    update();
  });
  source.addEventListener("error", () => {
    // A broken connection is made anew by the browser; in the meantime, and after a refusal, the page asks by itself.
    poll(FALLBACK_MS);
    if (source?.readyState !== EventSource.CLOSED) return;
    stop();
    retry = setTimeout(start, TRY_AGAIN_MS);
  });
}

function stop() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

/** One request at a time; what moves meanwhile is asked for once, afterwards. */
async function update() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  do {
    again = false;
    await refresh();
  } while (again);
  running = false;
}
