// The form of a code monitor: shows what would have matched lately while the query is typed.
// Without this module the button does the same by a round trip.

const AFTER_MS = 500;

const form = document.getElementById("monitor-form");
const query = document.getElementById("query");
const place = document.getElementById("preview");
let timer = 0;
let asking = null;
let previewed = query.value.trim();

query.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => preview().catch(() => {}), AFTER_MS);
});

/** An answer to an older text is dropped. */
async function preview() {
  const text = query.value.trim();
  if (text === previewed) return;
  previewed = text;
  if (asking) asking.abort();
  if (!text) return show(null, null);
  const mine = (asking = new AbortController());
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.dataset.preview, { method: "POST", body: new URLSearchParams(new FormData(form)), signal: mine.signal });
    if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    show(page.getElementById("query-error"), page.querySelector(".found"));
  } catch (error) {
    if (error.name !== "AbortError") previewed = "";
    throw error;
  } finally {
    if (asking === mine) place.removeAttribute("aria-busy");
  }
}

/** What is wrong with the query, at its field, and what it would have found. */
function show(problem, found) {
  const error = document.getElementById("query-error");
  error.replaceChildren(...(problem ? problem.childNodes : []));
  error.hidden = !error.childNodes.length;
  if (error.hidden) query.removeAttribute("aria-invalid");
  else query.setAttribute("aria-invalid", "true");
  place.replaceChildren(...(found ? [found] : []));
}
