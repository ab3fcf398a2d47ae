// Page of a served run: choose an image, see its neighbors, mark wrong ones.
// The state is in the address after #, so that the browser's back button returns to the previous search.

import { data, element, number, send as request } from "./common.js";

const root = document.querySelector(".search"), find = (name) => root.querySelector(name);
const FIND_FROM = 30; // number of classes from which they can be searched
const previews = new Map(); // uploaded images by query id
let underWay = new AbortController();

// ---- requests ----

const send = (method, path, parameters, options = {}) => request(`${path}?${new URLSearchParams(parameters)}`, { method, ...options });

/** Run a search and abort an earlier one. */
async function search(parameters, body) {
  underWay.abort();
  const { signal } = (underWay = new AbortController());
  root.classList.add("busy");
  say("");
  try {
    const shown = { k: find(".most").value, class: find(".within").value };
    const answer = await send("POST", "search", { ...shown, ...parameters }, { body, signal });
    if (signal.aborted) return null;
    show(answer, shown);
    return answer;
  } catch (error) {
    if (!signal.aborted) say(error.message);
    return null;
  } finally {
    if (!signal.aborted) root.classList.remove("busy");
  }
}

async function upload(file) {
  if (!file) return say("This is not an image file.");
  if (file.size > data.most_bytes) return say(`${file.name} exceeds ${data.most_bytes / 2 ** 20} MiB.`);
  const answer = await search({ name: file.name }, file);
  if (!answer) return;
  URL.revokeObjectURL(previews.get(answer.query.id));
  previews.set(answer.query.id, URL.createObjectURL(file));
  showQuery(answer.query);
  remember(answer.query.id);
}

// ---- address ----

const asked = () => new URLSearchParams(location.hash.slice(1));

function remember(query) {
  const parameters = new URLSearchParams({ query, class: find(".within").value, k: find(".most").value });
  if (`#${parameters}` !== location.hash) history.pushState(null, "", `#${parameters}`);
}

/** Restore the state in the address. */
async function restore() {
  const parameters = asked();
  fillClasses();
  for (const [name, key] of [[".within", "class"], [".most", "k"]]) {
    const select = find(name), wanted = parameters.get(key);
    if ([...select.options].some((option) => option.value === wanted)) select.value = wanted;
  }
  if (parameters.get("query")) return search({ query: parameters.get("query") });
  underWay.abort();
  root.classList.remove("busy");
  say("");
  find(".asked figure").hidden = true;
  find(".status").textContent = "Or start with one of these.";
  find(".neighbors").replaceChildren(...data.samples.map((picture) => element("li", {}, card(picture))));
}

function searchBy(query) {
  remember(query);
  restore();
}

// ---- display ----

function say(text) {
  find(".alert").textContent = text;
}

function show(answer, shown) {
  const count = answer.neighbors.length, within = find(".within").querySelector(`option[value="${CSS.escape(shown.class)}"]`);
  const where = shown.class ? `images of ${within.dataset.name}` : "images";
  find(".status").textContent = count ? `The ${count} nearest of ${number(answer.among)} ${where}.` : `There are no other ${where}.`;
  find(".neighbors").replaceChildren(...answer.neighbors.map((neighbor, i) => item(answer.query, neighbor, i + 1)));
  showQuery(answer.query);
  countMarks(answer.marks);
}

function showQuery(query) {
  const figure = find(".asked figure"), frame = figure.querySelector(".frame");
  const source = query.number === null ? previews.get(query.id) : source_of(query.number);
  frame.replaceChildren(...(source ? [image(source, `Query: ${query.name}`)] : []));
  frame.hidden = !source;
  frame.querySelector("img")?.addEventListener("error", () => { frame.hidden = true; }); // a format that browsers do not support
  figure.querySelector("figcaption").replaceWith(caption(query));
  figure.hidden = false;
}

const source_of = (place) => `images/${place}?${data.version}`;

function image(source, alt) {
  const made = element("img", { alt, src: source, decoding: "async" });
  made.addEventListener("load", () => made.classList.toggle("small", Math.max(made.naturalWidth, made.naturalHeight) <= 64));
  return made;
}

function caption({ labels, name }, shown = name) {
  const lines = [["fine", labels.fine], ["coarse", labels.coarse], ["name", name, shown]].filter(([, text]) => text);
  const line = ([className, title, textContent = title]) => element("span", { className, title, textContent });
  return element("figcaption", {}, ...lines.map(line));
}

function described({ labels, name }) {
  return [labels.fine, labels.coarse, name].filter(Boolean).join(", ");
}

/** Return an image of the split: a button that searches with it, and its caption. */
function card(picture) {
  const frame = element("span", { className: "frame" }, image(source_of(picture.number), ""));
  const button = element("button", { type: "button", className: "search-by", title: "Search by this image" }, frame);
  button.setAttribute("aria-label", `Search by ${described(picture)}`);
  button.addEventListener("click", () => searchBy(`${data.split}:${picture.number}`));
  return element("figure", {}, button, caption(picture, picture.name.split("/").pop()));
}

function item(query, neighbor, rank) {
  const place = element("div", { className: "place" }, element("span", { textContent: rank }),
    element("span", { className: "score", textContent: neighbor.cosine.toFixed(3), title: "cosine" }));
  const judge = element("button", { type: "button", className: "judge", textContent: "✕ Wrong" });
  judge.setAttribute("aria-label", `Wrong: ${described(neighbor)}`);
  const made = element("li", {}, place, card(neighbor), judge);
  let wrong = neighbor.wrong;
  const update = () => {
    judge.title = wrong ? "Marked as wrong; press to undo" : "Mark as a wrong neighbor";
    judge.setAttribute("aria-pressed", String(wrong));
    made.classList.toggle("wrong", wrong);
  };
  judge.addEventListener("click", async () => {
    judge.disabled = true;
    try {
      const answer = await send(wrong ? "DELETE" : "POST", "marks", { query: query.id, neighbor: neighbor.number });
      wrong = !wrong;
      say("");
      countMarks(answer.marks);
    } catch (error) {
      say(error.message);
    }
    judge.disabled = false;
    update();
    judge.focus();
  });
  update();
  return made;
}

function countMarks(count) {
  const link = find(".table");
  link.textContent = `${number(count)} ${count === 1 ? "mark" : "marks"} (CSV)`;
  link.hidden = !count;
}

// ---- classes ----

/** List the classes whose name contains what was typed, and the chosen one. */
function fillClasses() {
  const select = find(".within"), chosen = select.value, text = find(".find").value.trim().toLowerCase();
  for (const group of select.querySelectorAll("optgroup")) group.remove();
  for (const [level, classes] of Object.entries(data.classes)) {
    const group = element("optgroup", { label: level });
    for (const [label, name, count] of classes) {
      const value = `${level}/${label}`;
      if (value !== chosen && !name.toLowerCase().includes(text)) continue;
      const option = element("option", { value, textContent: `${name} (${number(count)})` });
      option.dataset.name = name;
      group.append(option);
    }
    if (group.children.length) select.append(group);
  }
  select.value = chosen;
}

// ---- events ----

const choose = find(".drop input");
choose.addEventListener("change", () => {
  const file = choose.files[0];
  if (file) upload(file);
  choose.value = "";
});
document.addEventListener("paste", (event) => {
  const file = event.clipboardData.files[0];
  if (!file) return;
  event.preventDefault();
  upload(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  root.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  root.classList.remove("dragging");
  upload(event.dataTransfer.files[0]);
});
for (const name of [".within", ".most"]) {
  find(name).addEventListener("change", () => { if (asked().get("query")) searchBy(asked().get("query")); });
}
find(".tools").addEventListener("submit", (event) => event.preventDefault());
find(".find").addEventListener("input", fillClasses);
find(".find").hidden = Object.values(data.classes).flat().length < FIND_FROM;
window.addEventListener("popstate", restore);
countMarks(data.marks);
restore();
