"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const atlas = document.getElementById("atlas");
const map = document.getElementById("map");
const pen = map.getContext("2d");
const tip = document.getElementById("tip");
const showImages = document.getElementById("images");
const classList = document.getElementById("classes");
const count = data.points.length;

const view = { x: 0.5, y: 0.5, zoom: 1 }; // the centre, in map units, and the enlargement
let level = data.levels[0];
let alone = null; // the one class that is not pale
let hovered = -1;
let waiting = false;

const MARGIN = 28;
const span = () => Math.max(1, Math.min(map.clientWidth, map.clientHeight) - 2 * MARGIN) * view.zoom;
const toScreen = ([x, y]) => [
  map.clientWidth / 2 + (x - view.x) * span(),
  map.clientHeight / 2 + (y - view.y) * span(),
];
const colourOf = (set, i) => (set && set.labels[i] >= 0 ? set.colours[set.labels[i]] : data.unknown);
const dotRadius = () => Math.min(9, Math.max(2, 105 / Math.sqrt(count)) * Math.sqrt(view.zoom));
const tileSide = () => Math.min(data.tile * 2, Math.max(14, 420 / Math.sqrt(count)) * view.zoom ** 0.8);

function drawTile(target, i, x, y, side) {
  const column = i % data.columns, row = Math.floor(i / data.columns);
  target.imageSmoothingEnabled = data.tile > 64;
  target.drawImage(atlas, column * data.tile, row * data.tile, data.tile, data.tile, x, y, side, side);
}

function draw() {
  waiting = false;
  const width = map.clientWidth, height = map.clientHeight, ratio = window.devicePixelRatio || 1;
  if (map.width !== Math.round(width * ratio) || map.height !== Math.round(height * ratio)) {
    map.width = Math.round(width * ratio);
    map.height = Math.round(height * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const reach = showImages.checked ? tileSide() / 2 : dotRadius();
  for (const front of alone === null ? [true] : [false, true]) {
    for (let i = 0; i < count; i++) {
      if ((alone === null || level.labels[i] === alone) !== front) continue;
      const [x, y] = toScreen(data.points[i]);
      if (x < -reach || y < -reach || x > width + reach || y > height + reach) continue;
      drawPoint(i, x, y, reach, front ? 0.85 : 0.1);
    }
  }
  if (hovered >= 0) drawPoint(hovered, ...toScreen(data.points[hovered]), reach * 1.3, 1, true);
}

function drawPoint(i, x, y, reach, opacity, ring = false) {
  pen.globalAlpha = opacity;
  pen.fillStyle = colourOf(level, i);
  if (showImages.checked) {
    const border = Math.max(1.5, reach / 11);
    pen.fillRect(x - reach - border, y - reach - border, 2 * (reach + border), 2 * (reach + border));
    drawTile(pen, i, x - reach, y - reach, 2 * reach);
    return;
  }
  pen.beginPath();
  pen.arc(x, y, reach, 0, 2 * Math.PI);
  pen.fill();
  if (!ring) return;
  pen.lineWidth = 2;
  pen.strokeStyle = getComputedStyle(document.body).color;
  pen.stroke();
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(draw);
}

function nearest(x, y) {
  let best = -1, least = (showImages.checked ? tileSide() / 2 : Math.max(10, dotRadius() + 4)) ** 2;
  for (let i = 0; i < count; i++) {
    if (alone !== null && level.labels[i] !== alone) continue;
    const [px, py] = toScreen(data.points[i]);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance <= least) [best, least] = [i, distance];
  }
  return best;
}

function hover(i, x, y) {
  if (i !== hovered) {
    hovered = i;
    redraw();
    if (i >= 0) fillTip(i);
  }
  tip.hidden = i < 0;
  if (i < 0) return;
  const box = map.parentElement;
  const left = x + 18 + tip.offsetWidth > map.clientWidth ? x - 18 - tip.offsetWidth : x + 18;
  const top = Math.min(y + 18, box.clientHeight - tip.offsetHeight - 8);
  tip.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
}

function fillTip(i) {
  const picture = tip.querySelector("canvas");
  const ratio = window.devicePixelRatio || 1;
  picture.width = picture.height = 160 * ratio;
  drawTile(picture.getContext("2d"), i, 0, 0, 160 * ratio);
  const lines = data.levels.map((set) => {
    const line = document.createElement("div");
    line.append(swatch(colourOf(set, i)), set.labels[i] >= 0 ? set.classes[set.labels[i]] : `${set.name} unknown`);
    return line;
  });
  const name = document.createElement("small");
  name.textContent = data.names[i] ?? `image ${i}`;
  tip.querySelector("figcaption").replaceChildren(...lines, name);
}

function swatch(colour) {
  const mark = document.createElement("i");
  mark.style.background = colour;
  return mark;
}

function zoomBy(factor, x = map.clientWidth / 2, y = map.clientHeight / 2) {
  const before = span();
  view.zoom = Math.min(200, Math.max(0.5, view.zoom * factor));
  const shift = 1 / before - 1 / span();
  view.x += (x - map.clientWidth / 2) * shift;
  view.y += (y - map.clientHeight / 2) * shift;
  redraw();
}

function moveBy(dx, dy) {
  view.x -= dx / span();
  view.y -= dy / span();
  redraw();
}

function reset() {
  Object.assign(view, { x: 0.5, y: 0.5, zoom: 1 });
  redraw();
}

function listClasses() {
  const sizes = level.classes.map(() => 0);
  for (const label of level.labels) if (label >= 0) sizes[label]++;
  const entries = level.classes.map((name, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(alone === i));
    const size = document.createElement("small");
    size.textContent = sizes[i];
    button.append(swatch(level.colours[i]), name, size);
    button.addEventListener("click", () => {
      alone = alone === i ? null : i;
      classList.querySelectorAll("button").forEach((other, j) => other.setAttribute("aria-pressed", String(alone === j)));
      redraw();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  classList.replaceChildren(...entries);
}

data.levels.forEach((set) => {
  const choice = document.createElement("input");
  choice.type = "radio";
  choice.name = "level";
  choice.checked = set === level;
  choice.addEventListener("change", () => {
    level = set;
    alone = null;
    listClasses();
    redraw();
  });
  const label = document.createElement("label");
  label.append(choice, set.name);
  document.getElementById("levels").append(label);
});

map.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY);
}, { passive: false });
map.addEventListener("pointerdown", (event) => map.setPointerCapture(event.pointerId));
map.addEventListener("pointermove", (event) => {
  if (event.buttons) moveBy(event.movementX, event.movementY);
  hover(event.buttons ? -1 : nearest(event.offsetX, event.offsetY), event.offsetX, event.offsetY);
});
map.addEventListener("click", (event) => hover(nearest(event.offsetX, event.offsetY), event.offsetX, event.offsetY));
map.addEventListener("pointerleave", () => hover(-1, 0, 0));
map.addEventListener("keydown", (event) => {
  const keys = {
    ArrowLeft: () => moveBy(60, 0), ArrowRight: () => moveBy(-60, 0),
    ArrowUp: () => moveBy(0, 60), ArrowDown: () => moveBy(0, -60),
    "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: reset,
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
document.getElementById("in").addEventListener("click", () => zoomBy(1.6));
document.getElementById("out").addEventListener("click", () => zoomBy(1 / 1.6));
document.getElementById("reset").addEventListener("click", reset);
showImages.addEventListener("change", redraw);
new ResizeObserver(redraw).observe(map);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
atlas.decode().then(redraw);
listClasses();
