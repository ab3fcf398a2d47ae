// Interaction with each map of a page: move, hover, filter classes, pick images.

const MOST_ZOOM = 400;
const SEARCH_FROM = 12; // classes
const CLICK = 4; // pixels that a pointer may move between down and up

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function swatch(color) {
  const mark = element("i");
  mark.style.background = color;
  return mark;
}

const number = (value) => value.toLocaleString("en");

function start(root) {
  const find = (name) => root.querySelector(name);
  const plane = makePlane(root), { data, canvas, count, view, chosen, picked, shown } = plane;
  const painter = makePainter(plane), { redraw } = painter;
  lookAround();
  const listClasses = chooseClasses();
  chooseColors();
  pickImages();
  createImageBitmap(find(".atlas")).then((decoded) => { plane.bitmap = decoded; redraw(); });

  // ---- hover ----

  function hover(i, x = 0, y = 0) {
    const tip = find(".tip");
    if (i !== plane.hovered) {
      plane.hovered = i;
      redraw();
      if (i >= 0) fillTip(tip, i);
    }
    tip.hidden = i < 0;
    if (i < 0) return;
    const left = x + 18 + tip.offsetWidth > plane.width ? x - 18 - tip.offsetWidth : x + 18;
    const top = Math.min(y + 18, plane.height - tip.offsetHeight - 8);
    tip.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
  }

  function fillTip(tip, i) {
    const picture = tip.querySelector("canvas"), caption = tip.querySelector("figcaption");
    picture.hidden = i >= count;
    if (i >= count) {
      const name = element("div", {}, swatch(plane.starColor(i - count)), plane.starName(i - count));
      caption.replaceChildren(name, element("small", { textContent: "class weight" }));
      return;
    }
    picture.width = picture.height = 160 * (window.devicePixelRatio || 1);
    if (plane.bitmap) painter.drawTile(picture.getContext("2d"), i, 0, 0, picture.width);
    const lines = data.levels.map((set, level) =>
      element("div", {}, swatch(plane.color(level, i)), plane.className(level, i) ?? `${set.name} unknown`));
    caption.replaceChildren(...lines, element("small", { textContent: data.names[i] }));
  }

  // ---- moving ----

  /** Keep part of the map in view. */
  function moveTo(x, y) {
    view.x = Math.min(1, Math.max(0, x));
    view.y = Math.min(1, Math.max(0, y));
    redraw();
  }

  function zoomBy(factor, x = plane.width / 2, y = plane.height / 2) {
    const [mx, my] = plane.toMap(x, y);
    view.zoom = Math.min(MOST_ZOOM, Math.max(0.5, view.zoom * factor));
    const [nx, ny] = plane.toMap(x, y);
    moveTo(view.x + mx - nx, view.y + my - ny);
  }

  function moveBy(dx, dy) {
    moveTo(view.x - dx / plane.span(), view.y - dy / plane.span());
  }

  function reset() {
    view.zoom = 1;
    moveTo(0.5, 0.5);
  }

  function lookAround() {
    const full = root.parentElement.classList.contains("full"); // otherwise the wheel scrolls the page
    canvas.addEventListener("wheel", (event) => {
      if (!full && !event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
      zoomBy(Math.exp(-pixels * 0.0015), event.offsetX, event.offsetY);
      hover(-1);
    }, { passive: false });
    canvas.addEventListener("pointerleave", () => hover(-1));
    canvas.addEventListener("keydown", (event) => {
      const keys = {
        ArrowLeft: () => moveBy(60, 0), ArrowRight: () => moveBy(-60, 0),
        ArrowUp: () => moveBy(0, 60), ArrowDown: () => moveBy(0, -60),
        "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: reset,
      };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    find(".in").addEventListener("click", () => zoomBy(1.6));
    find(".out").addEventListener("click", () => zoomBy(1 / 1.6));
    find(".reset").addEventListener("click", reset);
    new ResizeObserver(() => { plane.measure(); redraw(); }).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  // ---- colors and class filter ----

  function chooseColors() {
    const levels = find(".levels");
    levels.hidden = data.levels.length < 2;
    data.levels.forEach((set, place) => {
      const radio = element("input", { type: "radio", checked: place === 0 });
      radio.addEventListener("change", () => {
        plane.level = place;
        for (const other of levels.querySelectorAll("input")) other.checked = other === radio;
        listClasses();
      });
      levels.append(element("label", {}, radio, set.name));
    });
    find(".show-images").addEventListener("change", (event) => {
      plane.images = event.target.checked;
      redraw();
    });
    find(".show-weights").parentElement.hidden = !data.weights;
    find(".show-weights").addEventListener("change", filter);
  }

  function chooseClasses() {
    const classList = find(".classes"), search = find(".find");

    function classButton(level, k, size) {
      const set = data.levels[level], button = element("button", { type: "button" });
      button.dataset.key = `${level}/${k}`;
      if (level === plane.level) button.append(swatch(set.colors[k]));
      button.append(element("span", { textContent: set.classes[k] }), element("small", { textContent: number(size) }));
      button.addEventListener("click", () => choose(level, k));
      return button;
    }

    /** Return [class, button] of the classes of a level that have images. */
    function classButtons(level) {
      const { classes, labels } = data.levels[level], sizes = classes.map(() => 0);
      for (const label of labels) if (label >= 0) sizes[label]++;
      return classes.map((_, k) => k).filter((k) => sizes[k]).map((k) => [k, classButton(level, k, sizes[k])]);
    }

    /** Return the items of a list, grouped by the classes of the previous level where they are nested. */
    function classItems(level) {
      const parents = data.levels[level].parents, own = classButtons(level);
      const item = ([, button], ...more) => element("li", {}, button, ...more);
      if (!parents) return own.map((one) => item(one));
      const children = (parent) => own.filter(([k]) => parents[k] === parent).map((one) => item(one));
      return [...classButtons(level - 1).map((one) => item(one, element("ul", {}, ...children(one[0])))), ...children(-1)];
    }

    function list() {
      classList.replaceChildren(...(data.levels.length ? classItems(plane.level) : []));
      search.hidden = classList.querySelectorAll("button").length < SEARCH_FROM;
      search.value = "";
      filter();
    }

    search.addEventListener("input", () => {
      const text = search.value.trim().toLowerCase();
      const matches = (item) => item.querySelector("span").textContent.toLowerCase().includes(text);
      for (const item of classList.children) {
        const inner = [...item.querySelectorAll("li")], full = matches(item);
        for (const one of inner) one.hidden = !full && !matches(one);
        item.hidden = !full && inner.every((one) => one.hidden);
      }
    });
    find(".all").addEventListener("click", () => { chosen.clear(); filter(); });
    list();
    return list;
  }

  /** Toggle a class. A class within a chosen one replaces it; a class around chosen ones includes them. */
  function choose(level, k) {
    const key = `${level}/${k}`, parents = data.levels[level].parents;
    if (!chosen.delete(key)) {
      chosen.add(key);
      if (parents) chosen.delete(`${level - 1}/${parents[k]}`);
      const within = data.levels[level + 1]?.parents ?? [];
      within.forEach((parent, child) => { if (parent === k) chosen.delete(`${level + 1}/${child}`); });
    }
    filter();
  }

  function filter() {
    const wanted = [...chosen].map((key) => key.split("/").map(Number));
    let visible = 0;
    for (let i = 0; i < count; i++) {
      shown[i] = !wanted.length || wanted.some(([level, k]) => data.levels[level].labels[i] === k) ? 1 : 0;
      visible += shown[i];
    }
    const classOfStar = ([level, k]) => (level === plane.starLevel ? k : level === plane.starLevel + 1 ? data.levels[level].parents?.[k] : -1);
    const stars = data.weights && find(".show-weights").checked ? data.weights.points.map((point, k) => ({ point, k })) : [];
    plane.stars = stars.filter(({ k }) => !wanted.length || wanted.some((one) => classOfStar(one) === k));
    for (const button of find(".classes").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(chosen.has(button.dataset.key)));
    }
    const hint = data.levels.length ? `Choose classes to show only those. ${data.levels[plane.level].note}` : "No labels are known.";
    find(".filter p").textContent = wanted.length ? `${number(visible)} of ${number(count)} images shown` : hint;
    find(".all").hidden = !wanted.length;
    hover(-1);
    redraw();
  }

  // ---- picking ----

  function pick(points, adding) {
    const save = find(".save");
    if (!adding) picked.clear();
    for (const i of points) picked.add(i);
    URL.revokeObjectURL(save.href);
    const text = csv(), mark = /^[\0-\x7f]*$/.test(text) ? "" : "\ufeff"; // without a byte order mark spreadsheets misread Äpfel
    save.href = URL.createObjectURL(new Blob([mark, text], { type: "text/csv" }));
    save.hidden = find(".drop").hidden = !picked.size;
    const what = `${number(picked.size)} ${picked.size === 1 ? "image" : "images"} picked`;
    find(".picked p").textContent = picked.size ? what : "Pick images with the lasso, or by Shift and drag.";
    redraw();
  }

  function csv() {
    const rows = [...picked].sort((a, b) => a - b).map((i) =>
      [i, data.names[i], ...data.levels.map((_, level) => plane.className(level, i) ?? "")]);
    const table = [["index", "name", ...data.levels.map((set) => set.name)], ...rows];
    return table.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  }

  function pickImages() {
    const pointers = new Map(); // pressed pointers and their positions
    let moved = 0, lassoing = false;

    function useLasso(on) {
      lassoing = on;
      plane.line = null;
      find(".lasso").setAttribute("aria-pressed", String(on));
      root.classList.toggle("lassoing", on);
      redraw();
    }

    function closeLasso(adding) {
      const line = plane.line, across = line.map((point) => point[0]), down = line.map((point) => point[1]);
      const box = [Math.min(...across), Math.min(...down), Math.max(...across), Math.max(...down)];
      pick(painter.shownIn(box, (x, y) => inside(line, x, y)), adding);
    }

    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      moved = 0;
      const draws = pointers.size === 1 && (lassoing || event.shiftKey);
      plane.line = draws ? [plane.toMap(event.offsetX, event.offsetY)] : null;
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = [event.offsetX, event.offsetY], before = pointers.get(event.pointerId);
      if (!before) return hover(painter.hit(...at), ...at);
      pointers.set(event.pointerId, at);
      moved += Math.hypot(at[0] - before[0], at[1] - before[1]);
      if (moved > CLICK) hover(-1);
      if (plane.line) {
        plane.line.push(plane.toMap(...at));
        redraw();
      } else if (pointers.size === 2) {
        const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
        const apart = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
        zoomBy(apart(at) / apart(before), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
      } else {
        moveBy(at[0] - before[0], at[1] - before[1]);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!pointers.delete(event.pointerId)) return;
      if (plane.line && moved > CLICK) closeLasso(event.shiftKey);
      plane.line = null;
      if (moved <= CLICK) hover(painter.hit(event.offsetX, event.offsetY), event.offsetX, event.offsetY);
    });
    canvas.addEventListener("pointercancel", (event) => {
      pointers.delete(event.pointerId);
      plane.line = null;
      redraw();
    });
    root.addEventListener("keydown", (event) => { if (event.key === "Escape") useLasso(false); });
    find(".lasso").addEventListener("click", () => useLasso(!lassoing));
    find(".drop").addEventListener("click", () => pick([], false));
    find(".pick-shown").addEventListener("click", () => {
      const [left, top, right, bottom] = [...plane.toMap(0, 0), ...plane.toMap(plane.width, plane.height)];
      pick(painter.shownIn([left, top, right, bottom], (x, y) => x >= left && x <= right && y >= top && y <= bottom), true);
    });
    pick([], false);
  }
}

document.querySelectorAll(".map").forEach(start);
