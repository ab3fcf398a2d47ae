// A grid of images to select from: by click, Shift-click, keyboard, or a rectangle.

import { counted, element, picture } from "./common.js";

const FIRST = 300; // images shown at first; more on request
const DRAG_FROM = 6; // pixels of movement from which a press is a drag

export class Grid {
  /** `root` is the list box, `more` the button that shows further images; `changed(selected)` is called with numbers. */
  constructor(root, more, changed) {
    Object.assign(this, { root, more, changed, members: [], selected: new Set(), focus: 0, shown: FIRST });
    this.anchorAt(0);
    root.addEventListener("click", (event) => this.clicked(event));
    root.addEventListener("keydown", (event) => this.pressed(event));
    root.parentElement.addEventListener("pointerdown", (event) => this.dragged(event));
    root.addEventListener("focusin", (event) => { if (event.target.dataset.at) this.mark(Number(event.target.dataset.at)); });
    more.addEventListener("click", () => { this.shown = Infinity; this.draw(); this.go(FIRST); });
  }

  /** Show the members of the cluster with this `name` ("" if it has none); with `keep`, the place of the focus stays. */
  show(members, name, keep) {
    Object.assign(this, { members, name });
    this.selected.clear();
    if (!keep) Object.assign(this, { focus: 0, shown: FIRST });
    this.focus = Math.max(0, Math.min(this.focus, members.length - 1));
    this.anchorAt(this.focus);
    this.draw();
    this.changed([]);
  }

  draw() {
    const visible = this.members.slice(0, this.shown), left = this.members.length - visible.length;
    this.root.replaceChildren(...visible.map((member, at) => option(member, at, this.name)));
    this.more.hidden = !left;
    this.more.textContent = `Show ${counted(left, "more image")}`;
    this.mark(this.focus);
  }

  get options() { return [...this.root.children]; }

  /** Make one option the one that Tab reaches. */
  mark(at) {
    for (const one of this.root.querySelectorAll('[tabindex="0"]')) one.tabIndex = -1;
    this.focus = at;
    if (this.root.children[at]) this.root.children[at].tabIndex = 0;
  }

  go(at) {
    const target = this.root.children[Math.max(0, Math.min(at, this.root.children.length - 1))];
    target?.focus();
    target?.scrollIntoView({ block: "nearest" });
  }

  get focused() { return this.members[this.focus]?.image; }

  select(places, on) {
    for (const at of places) {
      this.selected[on ? "add" : "delete"](at);
      this.root.children[at].setAttribute("aria-selected", String(on));
    }
    this.changed([...this.selected].map((at) => this.members[at].image));
  }

  /** Select these places and no others. */
  only(places) {
    this.select([...this.selected].filter((at) => !places.includes(at)), false);
    this.select(places, true);
  }

  /** Start ranges here; they add to what is selected now. */
  anchorAt(at) {
    Object.assign(this, { anchor: at, base: [...this.selected] });
  }

  between(from, to) {
    return Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => Math.min(from, to) + i);
  }

  clicked(event) {
    const target = event.target.closest("[role=option]");
    if (!target || this.hasDragged) return;
    const at = Number(target.dataset.at);
    if (event.shiftKey) this.select(this.between(this.anchor, at), true);
    else { this.select([at], !this.selected.has(at)); this.anchorAt(at); }
    target.focus();
  }

  pressed(event) {
    const last = this.root.children.length - 1, at = this.focus;
    const places = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - this.columns(), ArrowDown: at + this.columns(), Home: 0, End: last };
    if (event.key in places && !event.ctrlKey && !event.metaKey) {
      const to = Math.max(0, Math.min(places[event.key], last));
      if (event.shiftKey) this.only([...new Set([...this.base, ...this.between(this.anchor, to)])]);
      else this.anchorAt(to);
      this.go(to);
    } else if (event.key === " ") {
      this.select([at], !this.selected.has(at));
      this.anchorAt(at);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      this.only(this.between(0, last));
    } else if (event.key === "Escape") {
      this.only([]);
    } else return;
    event.preventDefault();
  }

  columns() {
    const tops = this.options.map((one) => one.offsetTop);
    return Math.max(1, tops.findIndex((top) => top > tops[0]) === -1 ? tops.length : tops.findIndex((top) => top > tops[0]));
  }

  /** Select with a rectangle that is drawn with the mouse or a pen; a finger scrolls. */
  dragged(start) {
    this.hasDragged = false;
    if (start.button || start.pointerType === "touch" || start.target.closest("button")) return;
    const before = start.shiftKey || start.ctrlKey || start.metaKey ? [...this.selected] : [];
    const frame = element("div", { className: "lasso" });
    const top = this.root.getBoundingClientRect();
    const from = [start.clientX - top.left, start.clientY - top.top];
    const move = (event) => {
      if (!this.hasDragged && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < DRAG_FROM) return;
      if (!this.hasDragged) document.body.append(frame);
      this.hasDragged = true;
      const now = this.root.getBoundingClientRect(); // the page may have been scrolled
      const [x, y] = [from[0] + now.left, from[1] + now.top];
      const box = { left: Math.min(x, event.clientX), top: Math.min(y, event.clientY), right: Math.max(x, event.clientX), bottom: Math.max(y, event.clientY) };
      Object.assign(frame.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.right - box.left}px`, height: `${box.bottom - box.top}px` });
      const inside = this.options.flatMap((one, at) => {
        const own = one.getBoundingClientRect();
        return own.left < box.right && own.right > box.left && own.top < box.bottom && own.bottom > box.top ? [at] : [];
      });
      this.only([...new Set([...before, ...inside])]);
      event.preventDefault();
    };
    const end = () => {
      document.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) document.removeEventListener(name, end);
      frame.remove();
    };
    document.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, end);
  }
}

function option(member, at, name) {
  const sure = Math.round(100 * member.belongs);
  const note = member.doubtful ? `${member.likely}?` : member.checked ? "checked" : member.predicted && member.predicted !== name ? `${member.predicted} ${Math.round(100 * member.confidence)}%` : "";
  const made = element("div", { className: "option", title: `${member.path}\nbelongs here: ${sure}%`, tabIndex: -1 },
    element("span", { className: "frame" }, picture(member.image)), element("span", { className: "note", textContent: note }));
  made.classList.toggle("doubtful", member.doubtful);
  made.classList.toggle("checked", member.checked);
  made.dataset.at = at;
  made.setAttribute("role", "option");
  made.setAttribute("aria-selected", "false");
  made.setAttribute("aria-label", [member.path, member.doubtful ? `doubtful, maybe ${member.likely}` : note, `${sure}% belongs here`].filter(Boolean).join(", "));
  return made;
}
