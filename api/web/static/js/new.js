// The form of a new insight: checks queries and scope while they are typed, adds and removes series rows.
// Without this module the form works by round trips to the server.

const CHECK_AFTER_MS = 250;
const PREVIEW_AFTER_MS = 500;

const form = document.getElementById("new-insight");
const rows = document.getElementById("series");
const template = document.getElementById("series-template");
const waiting = new Map();
let previewed = "";

/** Runs `check` once the typing has paused; an answer to an older text is dropped. */
function soon(key, check, after = CHECK_AFTER_MS) {
  const before = waiting.get(key);
  if (before) {
    clearTimeout(before.timer);
    before.abort.abort();
  }
  const abort = new AbortController();
  const timer = setTimeout(() => {
    check(abort.signal).catch((error) => {
      if (error.name !== "AbortError") console.warn(`The check could not be made: ${error.message}`);
    });
  }, after);
  waiting.set(key, { timer, abort });
}

async function ask(path, parameters, signal) {
  const answer = await fetch(`${path}?${new URLSearchParams(parameters)}`, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
  return answer.json();
}

function showProblems(input, problems) {
  const place = document.getElementById(`${input.id}-error`);
  place.replaceChildren(...problems.flatMap(problemNodes));
  place.hidden = !problems.length;
  if (problems.length) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/** What may surprise in a query that can be run. */
function showNotices(input, notices) {
  const place = document.getElementById(`${input.id}-notice`);
  const text = notices.join(" ");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = !text;
}

/** The message, and the text with the faulty place marked. */
function problemNodes({ message, text, position, length }) {
  const words = document.createElement("span");
  words.textContent = message;
  if (!length) return [words];
  const points = [...text];
  const marked = document.createElement("mark");
  marked.textContent = points.slice(position, position + length).join("") || " ";
  const shown = document.createElement("pre");
  shown.setAttribute("aria-hidden", "true");
  shown.append(points.slice(0, position).join(""), marked, points.slice(position + length).join(""));
  return [words, shown];
}

function checkQuery(row, after) {
  const input = row.querySelector("[data-query]");
  const pattern = row.querySelector("[data-pattern]").value;
  soon(
    input,
    async (signal) => {
      if (!input.value.trim()) {
        showNotices(input, []);
        return showProblems(input, []);
      }
      const { problems, notices } = await ask("/insights/new/query", { query: input.value, pattern, scope: scope() }, signal);
      showProblems(input, problems);
      showNotices(input, notices);
    },
    after,
  );
}

/** Counts a sample of what the form says now; the answer to an older form is dropped, and its request with it. */
function showPreview(after = PREVIEW_AFTER_MS) {
  const fields = new URLSearchParams(new FormData(form));
  const sent = [...fields].filter(([name]) => name !== "title" && name !== "key").join("&");
  if (sent === previewed) return;
  previewed = sent;
  soon(
    form,
    async (signal) => {
      const region = document.getElementById("preview");
      region.setAttribute("aria-busy", "true");
      try {
        const answer = await fetch("/insights/new/preview", { method: "POST", body: fields, signal, headers: { Accept: "text/html" } });
        if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        fill(region, page.getElementById("preview"));
      } catch (error) {
        if (error.name !== "AbortError") previewed = "";
        throw error;
      } finally {
        if (!signal.aborted) region.removeAttribute("aria-busy");
      }
    },
    after,
  );
}

/** Puts the new preview in the place of the old; the sentence that is read out is changed, not replaced. */
function fill(region, fresh) {
  const says = region.querySelector("#preview-says");
  const next = fresh.querySelector("#preview-says");
  says.className = next.className;
  if (says.textContent !== next.textContent) says.textContent = next.textContent;
  next.replaceWith(says);
  region.replaceChildren(...document.importNode(fresh, true).childNodes);
  region.querySelector("#preview-says").replaceWith(says);
}

const scope = () => form.elements.scope.value;

function checkCriteria(after) {
  const input = document.getElementById("criteria");
  const count = document.getElementById("criteria-count");
  soon(
    input,
    async (signal) => {
      if (!input.value.trim()) {
        count.textContent = "";
        return showProblems(input, []);
      }
      const { problems, text } = await ask("/insights/new/scope", { criteria: input.value }, signal);
      showProblems(input, problems);
      count.textContent = text;
    },
    after,
  );
}

/** Numbers the rows anew: names, ids and what points at them. */
function renumber() {
  const all = [...rows.querySelectorAll("[data-series]")];
  all.forEach((row, i) => {
    row.querySelector("[data-series-number]").textContent = `Series ${i + 1}`;
    const remove = row.querySelector("[data-remove]");
    remove.value = `remove-${i}`;
    remove.hidden = all.length < 2;
    for (const element of row.querySelectorAll("[id], [name], [for], [aria-describedby]")) {
      for (const attribute of ["id", "name", "for", "aria-describedby"]) {
        const value = element.getAttribute(attribute);
        if (value) element.setAttribute(attribute, value.replace(/\b(query|label|pattern|colour)-\d+/g, `$1-${i}`));
      }
    }
    row.querySelector("[role=radiogroup]").setAttribute("aria-label", `Colour of series ${i + 1}`);
  });
  return all;
}

document.getElementById("add-series").addEventListener("click", (event) => {
  event.preventDefault();
  const used = new Set([...rows.querySelectorAll("[data-colour]:checked")].map((input) => input.value));
  const row = template.content.firstElementChild.cloneNode(true);
  const free = [...row.querySelectorAll("[data-colour]")].find((input) => !used.has(input.value));
  rows.append(row);
  renumber();
  if (free) free.checked = true;
  showPreview();
  row.querySelector("[data-query]").focus();
});

rows.addEventListener("click", (event) => {
  const remove = event.target.closest("[data-remove]");
  if (!remove) return;
  event.preventDefault();
  const row = remove.closest("[data-series]");
  const beside = row.nextElementSibling ?? row.previousElementSibling;
  // Radio names move when rows are numbered anew: take the choices along by hand.
  const chosen = new Map([...rows.querySelectorAll("[data-series]")].map((r) => [r, r.querySelector("[data-colour]:checked")]));
  row.remove();
  renumber();
  for (const [kept, colour] of chosen) if (colour && kept !== row) colour.checked = true;
  showPreview();
  beside?.querySelector("[data-query]").focus();
});

form.addEventListener("input", (event) => {
  const row = event.target.closest("[data-series]");
  if (row && event.target.matches("[data-query], [data-pattern]")) checkQuery(row);
  if (event.target.id === "criteria") checkCriteria();
  if (event.target.name === "scope") {
    rows.querySelectorAll("[data-series]").forEach((each) => checkQuery(each, 0));
    if (event.target.value === "criteria") document.getElementById("criteria").focus();
  }
  if (event.target.matches("#value, #unit")) showSpan();
  showPreview();
  if (event.target.matches("#title") && event.target.value.trim()) showProblems(event.target, []);
});

form.addEventListener("submit", (event) => {
  if (event.submitter && event.submitter.value !== "create") return;
  const create = document.getElementById("create");
  if (create.getAttribute("aria-disabled") === "true") {
    event.preventDefault();
    return;
  }
  create.setAttribute("aria-disabled", "true");
  create.textContent = "Creating…";
});

addEventListener("pageshow", () => {
  const create = document.getElementById("create");
  create.removeAttribute("aria-disabled");
  create.textContent = "Create the insight";
});

function showSpan() {
  const hint = document.getElementById("span-hint");
  const every = Number(document.getElementById("value").value);
  const unit = document.getElementById("unit");
  if (!Number.isInteger(every) || every < 1) {
    hint.textContent = "";
    return;
  }
  const reach = (Number(hint.dataset.frames) - 1) * every;
  const name = unit.selectedOptions[0].textContent.trim();
  hint.textContent = `The chart begins ${reach} ${name} back.`;
}

const invalid = document.getElementById("problems");
if (invalid) invalid.focus();
else if (!document.querySelector("#title").value) document.getElementById("title").focus();
showSpan();
if (rows.querySelector('[data-query]').value) showPreview(0);
