// What every page does: live regions, copy buttons, the "/" key.
//
// A live region is an element with an id and `data-live`. Refreshing means asking the server for this page's own
// address again and putting its regions in the place of ours: the server renders, once, for everybody.

document.documentElement.classList.add("js");

const REFRESHED = "millstream:refreshed";
const RETRY_MS = 1500;
const LONGEST_WAIT_MS = 15000;

// What the server sent last for a region: ours may have changed since (an opened detail, a pressed button).
const received = new Map();

let timer = 0;
let pace = null;
let failures = 0;
let latest = 0;

/** Fetches `url` (this page, in another state), swaps the live regions in; false when it could not be had. */
export async function refresh(url = location.href) {
  const mine = ++latest;
  let next;
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.status === 401 || new URL(answer.url).pathname === "/login") {
      say("Your session has ended. Log in again to see what is new; what you see here stays as it was.");
      return false;
    }
    if (answer.status === 404) {
      poll(0);
      say("This was removed. What you see here is what was known before.");
      return false;
    }
    if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
    next = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch (error) {
    if (mine === latest) {
      failures += 1;
      say(`No answer from Millstream (${error.message}). What you see is what was known before; trying again.`);
      schedule();
    }
    return false;
  }
  if (mine !== latest) return false;
  failures = 0;
  say("");
  for (const region of document.querySelectorAll("[data-live][id]")) {
    const fresh = next.getElementById(region.id);
    if (!fresh || fresh.outerHTML === received.get(region.id)) continue;
    received.set(region.id, fresh.outerHTML);
    swap(region, document.importNode(fresh, true));
  }
  document.title = next.title || document.title;
  document.dispatchEvent(new CustomEvent(REFRESHED));
  decorate();
  schedule();
  return true;
}

/** Whether this page asks again every so often: `afterMs` in place of the page's own pace, null for its own, 0 for never. */
export function poll(afterMs) {
  pace = afterMs;
  schedule();
}

function swap(region, fresh) {
  const open = [...region.querySelectorAll("details")].map((details) => details.open);
  fresh.querySelectorAll("details").forEach((details, i) => {
    if (i in open) details.open = open[i];
  });
  const places = [...region.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  const focused = region.contains(document.activeElement) ? document.activeElement : null;
  const again = focused && focused !== region ? sameIn(fresh, focused) : null;
  region.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((box, i) => {
    if (places[i]) [box.scrollLeft, box.scrollTop] = places[i];
  });
  if (again) again.focus({ preventScroll: true });
}

function sameIn(fresh, element) {
  if (element.id) return fresh.querySelector(`#${CSS.escape(element.id)}`);
  const href = element.getAttribute("href");
  return href ? fresh.querySelector(`a[href="${CSS.escape(href)}"]`) : null;
}

function schedule() {
  clearTimeout(timer);
  const own = [...document.querySelectorAll("[data-poll]")].map((element) => Number(element.dataset.poll));
  const waits = pace === null ? own : pace ? [...own, pace] : [];
  if (failures) waits.push(RETRY_MS);
  if (!waits.length) return;
  const wait = Math.min(Math.min(...waits) * 2 ** failures, LONGEST_WAIT_MS);
  timer = setTimeout(() => (document.hidden ? schedule() : refresh()), wait);
}

function say(text) {
  let notice = document.getElementById("stale");
  if (!text) {
    notice?.remove();
    return;
  }
  if (!notice) {
    notice = document.createElement("div");
    notice.id = "stale";
    notice.className = "notice warn";
    notice.setAttribute("role", "status");
    notice.append(document.createElement("p"));
    document.getElementById("main").prepend(notice);
  }
  if (notice.firstChild.textContent !== text) notice.firstChild.textContent = text;
}

function decorate() {
  for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = !navigator.clipboard;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.parentElement.querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const search = document.querySelector("[data-key='/']");
  if (search) {
    event.preventDefault();
    search.focus();
  }
});

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && pace !== 0 && (pace || document.querySelector("[data-poll]"))) refresh();
});

for (const region of document.querySelectorAll("[data-live][id]")) received.set(region.id, region.outerHTML);
decorate();
schedule();

// A menu closes when one clicks elsewhere, and by Escape, which gives the focus back.
const menu = document.getElementById("who");
document.addEventListener("click", (event) => {
  if (menu?.open && !menu.contains(event.target)) menu.open = false;
});
menu?.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
