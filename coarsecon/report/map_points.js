// Geometry of points in the unit square: near points, separated points, points in a lasso; and CSV.

/** Grid of square cells over the unit square, to find near points quickly. */
function makeGrid(xs, ys) {
  const side = Math.max(1, Math.ceil(Math.sqrt(xs.length / 2)));
  const cell = (value) => Math.min(side - 1, Math.max(0, Math.floor(value * side)));
  const starts = new Uint32Array(side * side + 1);
  const cells = xs.map((x, i) => cell(ys[i]) * side + cell(x));
  for (const c of cells) starts[c + 1]++;
  for (let c = 0; c < side * side; c++) starts[c + 1] += starts[c];
  const next = starts.slice(), items = new Uint32Array(xs.length);
  cells.forEach((c, i) => { items[next[c]++] = i; });

  /** Call `visit(i)` for every point of the cells that touch the rectangle. */
  return (left, top, right, bottom, visit) => {
    for (let row = cell(top); row <= cell(bottom); row++) {
      const first = row * side + cell(left), last = row * side + cell(right);
      for (let k = starts[first]; k < starts[last + 1]; k++) visit(items[k]);
    }
  };
}

/** Return 0 ... count - 1 in a fixed random order, so that no class hides the others. */
function mixed(count) {
  const rank = Uint32Array.from({ length: count }, (_, i) => Math.imul(i + 1, 2654435761) >>> 0);
  return Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => rank[a] - rank[b]);
}

/** Return the points in `order` and in `allowed` whose squares of `side` (in map units) do not overlap. */
function spread(xs, ys, order, allowed, side) {
  const taken = new Map(), found = [];
  const key = (column, row) => (column + 1) * 1e6 + row;
  for (const i of order) {
    if (!allowed[i]) continue;
    const column = Math.floor(xs[i] / side), row = Math.floor(ys[i] / side);
    let free = true;
    for (let dx = -1; dx <= 1 && free; dx++) {
      for (let dy = -1; dy <= 1 && free; dy++) {
        const other = taken.get(key(column + dx, row + dy));
        free = other === undefined || Math.abs(xs[i] - xs[other]) >= side || Math.abs(ys[i] - ys[other]) >= side;
      }
    }
    if (!free) continue;
    taken.set(key(column, row), i);
    found.push(i);
  }
  return found;
}

/** Whether a position is inside a closed line of [x, y], by the even-odd rule. */
function inside(line, x, y) {
  let within = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [ax, ay] = line[i], [bx, by] = line[j];
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) within = !within;
  }
  return within;
}

/** Return a cell of CSV; names that a spreadsheet would read as formulas get an apostrophe in front. */
function cell(value) {
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
