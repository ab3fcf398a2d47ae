// Page of a review: name, merge, split and reject clusters, and move single images.
// The cluster that is shown is in the address after #. Each change names the version it was made against; the server
// refuses a change to an outdated one, and the page then loads the current state.

import { counted, element, number, picture, send } from "./common.js";
import { Grid } from "./review_grid.js";
import { showQuestions } from "./review_next.js";

const root = document.querySelector(".review"), find = (name) => root.querySelector(name);
const help = document.querySelector(".help"), similarDialog = document.querySelector(".similar-dialog");
let overview = { version: -1, queue: [] };
let current = null; // the cluster that is shown
let selected = [];

const grid = new Grid(find(".grid"), find(".more"), (images) => {
  selected = images;
  find(".selection").hidden = !images.length;
  find(".selection .count").textContent = `${number(images.length)} selected`;
});

// ---- requests ----

function say(text) { find(".alert").textContent = text; }

function report(text) { find(".news").textContent = text; }

let last = Promise.resolve(), underWay = 0;

/** Do something after what is under way, and show the message of an error. */
function attempt(work) {
  underWay += 1;
  last = last.then(work).catch((error) => say(error.message)).finally(() => { underWay -= 1; });
  return last;
}

/** Do something unless something else is under way: a second Enter must not name the next cluster. */
function act(work) {
  if (!underWay) attempt(work);
}

/** Make a change; returns whether it was made. After a conflict the page shows the current state. */
async function change(operation) {
  say("");
  try {
    const body = JSON.stringify({ ...operation, version: overview.version });
    showOverview(await send("changes", { method: "POST", body }));
    return true;
  } catch (error) {
    if (error.status === 409) await load();
    say(error.message);
    return false;
  }
}

/** Make a change and show the current cluster again, or the next one if it is gone. */
async function changeHere(operation, text) {
  if (!(await change(operation))) return false;
  await showCluster(current?.cluster, true);
  report(text);
  return true;
}

/** Load the current state and show it. */
async function load() {
  showOverview(await send("overview"));
  await restore();
}

// ---- queue and progress ----

function showOverview(answer) {
  overview = answer;
  const [done, clusters] = answer.clusters, [settled, images] = answer.images;
  progress(".clusters-done", done, clusters, "clusters");
  progress(".images-done", settled, images, "images");
  for (const name of ["undo", "redo"]) {
    const button = find(`.${name}`), title = name === "undo" ? "Undo" : "Redo";
    button.disabled = !answer[name];
    button.title = answer[name] && `${title} ${answer[name]}`;
    button.setAttribute("aria-label", button.title || title);
  }
  find(".queue").replaceChildren(...answer.queue.map(queued));
}

function progress(name, done, all, noun) {
  Object.assign(find(name), { max: all || 1, value: done });
  find(`${name} + span`).textContent = `${number(done)} of ${number(all)} ${noun}`;
}

function queued(cluster) {
  const coarse = cluster.title.startsWith(cluster.coarse) ? "" : cluster.coarse; // a proposed title begins with it
  const facts = [coarse, counted(cluster.size, "image"), cluster.doubtful && `${number(cluster.doubtful)} doubtful`].filter(Boolean).join(" · ");
  const text = element("span", {}, element("span", { className: "title", textContent: cluster.title }), element("span", { className: "facts-line", textContent: facts }));
  const button = element("button", { type: "button", className: cluster.status }, ...(cluster.sample === null ? [element("span")] : [picture(cluster.sample)]), text);
  if (cluster.status !== "open") button.append(element("span", { className: "state", textContent: cluster.status }));
  if (cluster.cluster === current?.cluster) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => go(cluster.cluster));
  return element("li", {}, button);
}

// ---- cluster ----

const addressed = () => new URLSearchParams(location.hash.slice(1));

async function open(cluster, focus = "#title") {
  history.pushState(null, "", `#cluster=${cluster}`);
  await restore();
  find(focus).focus();
}

const go = (cluster) => attempt(() => open(cluster));

/** Show what the address names: the questions, a cluster, or else the first of the queue. */
async function restore() {
  const isNext = location.hash === "#next";
  for (const [name, on] of [["clusters", !isNext], ["next", isNext]]) {
    const tab = find(`#tab-${name}`);
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    find(`#${name}`).hidden = !on;
  }
  if (isNext) return showQuestions(find(".questions"), find(".next-more"), answer);
  return showCluster(Number(addressed().get("cluster") ?? overview.queue[0]?.cluster));
}

async function showCluster(cluster, keep = false) {
  const listed = overview.queue.find((each) => each.cluster === cluster) ?? overview.queue[0];
  if (!listed) return;
  const isSame = keep && current?.cluster === listed.cluster, wasFocused = isSame && find(".grid").contains(document.activeElement);
  find(".cluster").inert = !isSame; // what is typed meanwhile must not reach another cluster
  const found = await send(`clusters/${listed.cluster}`).finally(() => { find(".cluster").inert = false; });
  current = found;
  find(".cluster").hidden = false;
  find(".cluster .coarse").textContent = found.coarse;
  find("#title").textContent = found.title;
  const doubtful = found.members.filter((each) => each.doubtful).length;
  find(".head .facts-line").textContent = [counted(found.size, "image"), `${number(doubtful)} doubtful`, found.status].join(" · ");
  find(".name-field").value = found.name;
  find("#names").replaceChildren(...overview.names[found.coarse].map((value) => element("option", { value })));
  find(".likely").replaceChildren(...likely(found));
  find(".reject").hidden = found.status === "rejected";
  find(".reopen").hidden = found.status === "open";
  find(".nearest").hidden = !found.neighbors.length;
  find(".nearest ul").replaceChildren(...found.neighbors.map(neighbor));
  find(".target").replaceChildren(...found.others.map((other) => element("option", { value: other.cluster, textContent: `${other.title} (${number(other.size)})` })));
  find(".target").disabled = find(".selection [type=submit]").disabled = !found.others.length;
  find(".excluded").hidden = !found.excluded.length;
  find(".excluded ul").replaceChildren(...found.excluded.map(excluded));
  grid.show(found.members, found.name, isSame);
  if (wasFocused) grid.go(grid.focus);
  for (const button of root.querySelectorAll(".queue button")) button.removeAttribute("aria-current");
  const place = overview.queue.indexOf(listed), button = find(`.queue li:nth-child(${place + 1}) button`);
  button.setAttribute("aria-current", "true");
  const list = find(".queue");
  list.scrollTop = button.offsetTop - list.offsetTop - list.clientHeight / 3;
}

function likely(found) {
  const names = found.likely_names.filter(([name]) => name !== found.name);
  if (!names.length && !found.others.length && !found.name) names.push([found.coarse]); // the only cluster of its class
  return names.map(([name, probability]) => {
    const text = probability === undefined ? name : `${name} ${Math.round(100 * probability)}%`;
    const button = element("button", { type: "button", textContent: text, title: "Use this name" });
    button.addEventListener("click", () => nameIt(name));
    return button;
  });
}

function neighbor(cluster) {
  const title = element("button", { type: "button", className: "link", textContent: cluster.title });
  title.addEventListener("click", () => go(cluster.cluster));
  const merge = element("button", { type: "button", textContent: "Merge" });
  merge.title = `Move the ${counted(cluster.size, "image")} of ${cluster.title} here`;
  merge.setAttribute("aria-label", `Merge ${cluster.title} into this cluster`);
  merge.addEventListener("click", () => act(async () => {
    if (await changeHere({ op: "merge", cluster: current.cluster, others: [cluster.cluster] }, `Merged ${cluster.title} into ${current.title}.`)) find("#title").focus();
  }));
  return element("li", {}, element("div", { className: "samples" }, ...cluster.samples.map((image) => picture(image))),
    element("p", {}, title, element("span", { className: "facts-line", textContent: `${counted(cluster.size, "image")} · cosine ${cluster.cosine.toFixed(2)}` })), merge);
}

function excluded({ image, path }) {
  const button = element("button", { type: "button", title: `Restore ${path}` }, picture(image, ""), element("span", { textContent: "Restore" }));
  button.setAttribute("aria-label", `Restore ${path}`);
  button.addEventListener("click", () => act(() => changeHere({ op: "restore", images: [image] }, "Restored an image.")));
  return element("li", {}, button);
}

// ---- actions ----

function nextOpen() {
  return overview.queue.find((each) => each.status === "open" && each.cluster !== current.cluster);
}

/** Judge the current cluster and go to the next open one. */
async function judge(operation, text, focus) {
  if (!(await change({ ...operation, cluster: current.cluster }))) return;
  await open((nextOpen() ?? current).cluster, focus);
  report(text);
}

const nameIt = (name) => act(() => judge({ op: "name", name }, `Named it ${name}.`, ".name-field"));
const rejectIt = () => act(() => judge({ op: "reject" }, `Rejected ${current.title}.`, "#title"));

/** Answer a question of the other tab; returns whether the answer was stored. */
async function answer(operation, text) {
  let isMade = false;
  if (!underWay) await attempt(async () => { isMade = await change(operation); });
  if (isMade) report(text);
  return isMade;
}

function move(cluster, title) {
  if (selected.length) act(() => changeHere({ op: "move", images: selected, cluster }, `Moved ${counted(selected.length, "image")} to ${title}.`));
}

function exclude() {
  const images = selected.length ? selected : [grid.focused];
  if (images[0] !== undefined) act(() => changeHere({ op: "exclude", images }, `Excluded ${counted(images.length, "image")}.`));
}

function step(op) {
  const what = overview[op];
  if (what) act(async () => {
    if (!(await change({ op }))) return;
    await restoreHere();
    report(`${op === "undo" ? "Undid" : "Repeated"} ${what}.`);
  });
}

const restoreHere = () => (location.hash === "#next" ? restore() : showCluster(current?.cluster, true));

function walk(by) {
  const at = overview.queue.findIndex((each) => each.cluster === current?.cluster), next = overview.queue[at + by];
  if (next) go(next.cluster);
}

async function showSimilar(image = selected[0] ?? grid.focused) {
  if (image === undefined) return;
  const { similar } = await send(`similar/${image}`);
  similarDialog.querySelector("ol").replaceChildren(...similar.map((each) => {
    const button = element("button", { type: "button", className: "link", textContent: each.cluster.title });
    button.addEventListener("click", () => { similarDialog.close(); go(each.cluster.cluster); });
    return element("li", { title: each.path }, element("span", { className: "frame" }, picture(each.image, each.path)), button,
      element("span", { className: "facts-line", textContent: `${each.cluster.coarse} · ${each.cosine.toFixed(2)}` }));
  }));
  similarDialog.showModal();
}

function openTab(name) {
  history.pushState(null, "", name === "next" ? "#next" : current ? `#cluster=${current.cluster}` : "#");
  return attempt(restore);
}

// ---- events ----

find(".naming").addEventListener("submit", (event) => { event.preventDefault(); nameIt(find(".name-field").value); });
find(".splitting").addEventListener("submit", (event) => {
  event.preventDefault();
  const parts = Number(find(".splitting input").value);
  act(() => changeHere({ op: "split", cluster: current.cluster, parts }, `Split ${current.title} into ${parts} clusters.`));
});
find(".splitting input").addEventListener("input", (event) => { find(".splitting output").textContent = event.target.value; });
find(".reject").addEventListener("click", rejectIt);
find(".reopen").addEventListener("click", () => act(() => changeHere({ op: "reopen", cluster: current.cluster }, `Reopened ${current.title}.`)));
find(".selection").addEventListener("submit", (event) => {
  event.preventDefault();
  const target = find(".target");
  move(Number(target.value), target.selectedOptions[0].textContent);
});
find(".to-new").addEventListener("click", () => move(null, "a new cluster"));
find(".exclude").addEventListener("click", exclude);
find(".similar").addEventListener("click", () => attempt(() => showSimilar()));
find(".clear").addEventListener("click", () => { grid.only([]); grid.go(grid.focus); });
find(".undo").addEventListener("click", () => step("undo"));
find(".redo").addEventListener("click", () => step("redo"));
find(".next-more").addEventListener("click", () => openTab("next"));
find(".help-button").addEventListener("click", () => help.showModal());
for (const tab of root.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => openTab(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = tab.nextElementSibling ?? tab.previousElementSibling;
    other.click();
    other.focus();
  });
}

const singleKeys = help.querySelector(".single-keys");
singleKeys.checked = localStorage.getItem("single-keys") !== "off";
singleKeys.addEventListener("change", () => localStorage.setItem("single-keys", singleKeys.checked ? "on" : "off"));

const KEYS = {
  j: () => walk(1), k: () => walk(-1), n: () => find(".name-field").select(), s: () => find(".splitting input").focus(), r: rejectIt,
  g: () => grid.go(grid.focus), m: () => selected.length && find(".target").focus(), c: () => move(null, "a new cluster"), x: exclude,
  i: () => attempt(() => showSimilar()), u: () => step("undo"), U: () => step("redo"), "?": () => help.showModal(),
};
const EVERYWHERE = ["u", "U", "?"];

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !singleKeys.checked || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input:not([type=range]), select")) return;
  if (!KEYS[event.key] || (location.hash === "#next" && !EVERYWHERE.includes(event.key))) return;
  event.preventDefault();
  KEYS[event.key]();
});

/** Another tab may have changed the review while this one was in the background. */
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") attempt(async () => {
    const answer = await send("overview");
    if (answer.version === overview.version) return;
    showOverview(answer);
    await restoreHere();
  });
});
window.addEventListener("popstate", () => attempt(restore));
if (matchMedia("(max-width: 900px)").matches) find(".side").open = false;
attempt(load);
