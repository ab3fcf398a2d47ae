// Draws a map's plane on its canvas, and finds what lies at a place of it.

const STAR = 9; // pixels from its middle to a tip

function makePainter(plane) {
  const { root, canvas, data, xs, ys, count } = plane;
  const pen = canvas.getContext("2d"), near = makeGrid(xs, ys);
  let waiting = false;
  let discs = {}, placed = {}; // made once for a state of the view, and kept as long as it lasts

  /** A disc of every colour side by side on one canvas: to copy those is faster than to draw a disc for each point. */
  function sprites(reach, ratio) {
    const colours = [...(data.levels[plane.level]?.colours ?? []), data.unknown];
    const side = 2 * Math.ceil(reach * ratio) + 2;
    const key = `${reach} ${ratio} ${plane.level}`;
    if (discs.key === key) return discs;
    const sheet = element("canvas", { width: side * colours.length, height: side }), ink = sheet.getContext("2d");
    colours.forEach((colour, k) => {
      ink.fillStyle = colour;
      ink.beginPath();
      ink.arc((k + 0.5) * side, side / 2, reach * ratio, 0, 2 * Math.PI);
      ink.fill();
    });
    discs = { key, sheet, side };
    return discs;
  }

  function draw() {
    waiting = false;
    const ratio = window.devicePixelRatio || 1, reach = plane.radius();
    canvas.width = Math.round(plane.width() * ratio); // also clears
    canvas.height = Math.round(plane.height() * ratio);
    const ink = getComputedStyle(root).color, paper = getComputedStyle(canvas).backgroundColor;
    drawDots(ratio, reach);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (plane.images && plane.bitmap) drawImages(ink);
    drawRings(plane.picked, reach, 1.25, ink);
    drawStars(ink, paper);
    if (plane.hovered >= 0 && plane.hovered < count && !plane.images) drawRings([plane.hovered], reach * 1.3, 2, ink);
    if (plane.line) drawLasso(ink);
  }

  function drawDots(ratio, reach) {
    const { sheet, side } = sprites(reach, ratio), scale = plane.span() * ratio;
    const left = canvas.width / 2 - plane.view.x * scale - side / 2, top = canvas.height / 2 - plane.view.y * scale - side / 2;
    const labels = data.levels[plane.level]?.labels, grey = data.levels[plane.level]?.colours.length ?? 0;
    for (const front of plane.chosen.size ? [0, 1] : [1]) {
      pen.globalAlpha = front ? (plane.images ? 0.4 : 0.85) : 0.1;
      for (const i of plane.order) {
        if (plane.shown[i] !== front) continue;
        const x = left + xs[i] * scale, y = top + ys[i] * scale;
        if (x < -side || y < -side || x > canvas.width || y > canvas.height) continue;
        const colour = labels && labels[i] >= 0 ? labels[i] : grey;
        pen.drawImage(sheet, colour * side, 0, side, side, Math.round(x), Math.round(y), side, side);
      }
    }
    pen.globalAlpha = 1;
  }

  /** Images that keep apart; chosen anew only when the zoom has changed by a good step, so that they stay in place. */
  function placedImages() {
    const step = 2 ** (Math.floor(2 * Math.log2(plane.view.zoom)) / 2);
    const key = `${step} ${plane.width()} ${plane.height()} ${[...plane.chosen]}`;
    if (placed.key !== key) {
      const side = ((plane.tileSide() + 6) * plane.view.zoom) / (plane.span() * step);
      placed = { key, images: spread(xs, ys, plane.order, plane.shown, side) };
    }
    return placed.images;
  }

  function drawTile(target, i, x, y, side) {
    const column = i % data.columns, row = Math.floor(i / data.columns);
    target.imageSmoothingEnabled = data.tile > 64;
    target.drawImage(plane.bitmap, column * data.tile, row * data.tile, data.tile, data.tile, x, y, side, side);
  }

  function drawImages(ink) {
    const half = plane.tileSide() / 2;
    for (const i of placedImages()) {
      const [x, y] = plane.toScreen(xs[i], ys[i]);
      if (x < -half || y < -half || x > plane.width() + half || y > plane.height() + half) continue;
      pen.fillStyle = plane.picked.has(i) || i === plane.hovered ? ink : plane.colour(plane.level, i);
      pen.fillRect(x - half - 2, y - half - 2, 2 * half + 4, 2 * half + 4);
      drawTile(pen, i, x - half, y - half, 2 * half);
    }
  }

  function drawRings(points, reach, line, ink) {
    pen.lineWidth = line;
    pen.strokeStyle = ink;
    pen.beginPath();
    for (const i of points) {
      const [x, y] = plane.toScreen(xs[i], ys[i]);
      pen.moveTo(x + reach, y);
      pen.arc(x, y, reach, 0, 2 * Math.PI);
    }
    pen.stroke();
  }

  /** The stars, then their names on that side of them where no other name is. */
  function drawStars(ink, paper) {
    pen.lineJoin = "round";
    pen.strokeStyle = ink;
    for (const { point, k } of plane.stars) {
      const [x, y] = plane.toScreen(...point);
      pen.beginPath();
      for (let corner = 0; corner < 10; corner++) {
        const reach = corner % 2 ? STAR / 2.25 : STAR, angle = (corner * Math.PI) / 5 - Math.PI / 2;
        pen.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
      }
      pen.closePath();
      pen.lineWidth = plane.hovered === count + k ? 4 : 2;
      pen.stroke();
      pen.fillStyle = plane.starColour(k);
      pen.fill();
    }
    const taken = [];
    pen.font = "600 12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.lineWidth = 3.5;
    pen.strokeStyle = paper;
    pen.fillStyle = ink;
    for (const { point, k } of plane.stars) {
      const name = plane.starName(k), [x, y] = plane.toScreen(...point), length = pen.measureText(name).width;
      const sides = [[x + STAR + 4, y], [x - STAR - 4 - length, y], [x - length / 2, y - 18], [x - length / 2, y + 18]];
      const at = sides.find(([left, middle]) => left + length < plane.width() && taken.every((other) =>
        left >= other[2] || other[0] >= left + length || middle - 8 >= other[3] || other[1] >= middle + 8));
      if (!at) continue;
      taken.push([at[0], at[1] - 8, at[0] + length, at[1] + 8]);
      pen.strokeText(name, ...at);
      pen.fillText(name, ...at);
    }
  }

  function drawLasso(ink) {
    pen.beginPath();
    for (const [x, y] of plane.line) pen.lineTo(...plane.toScreen(x, y));
    pen.closePath();
    pen.globalAlpha = 0.1;
    pen.fillStyle = ink;
    pen.fill("evenodd");
    pen.globalAlpha = 1;
    pen.lineWidth = 1.5;
    pen.strokeStyle = ink;
    pen.setLineDash([5, 4]);
    pen.stroke();
    pen.setLineDash([]);
  }

  /** Before the next frame, once however often it is asked for. */
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  /** The star (count + k), image or point at a place of the canvas; -1: nothing. */
  function hit(x, y) {
    const star = plane.stars.findLast(({ point }) => {
      const [px, py] = plane.toScreen(...point);
      return Math.hypot(px - x, py - y) <= STAR;
    });
    if (star) return count + star.k;
    if (plane.images) {
      const half = plane.tileSide() / 2;
      const image = placedImages().findLast((i) => {
        const [px, py] = plane.toScreen(xs[i], ys[i]);
        return Math.abs(px - x) <= half && Math.abs(py - y) <= half;
      });
      if (image !== undefined) return image;
    }
    const reach = Math.max(10, plane.radius() + 4) / plane.span(), [mx, my] = plane.toMap(x, y);
    let best = -1, least = reach ** 2;
    near(mx - reach, my - reach, mx + reach, my + reach, (i) => {
      const distance = (xs[i] - mx) ** 2 + (ys[i] - my) ** 2;
      if (plane.shown[i] && distance <= least) [best, least] = [i, distance];
    });
    return best;
  }

  /** The shown points in a rectangle of the map that `test(x, y)` lets pass. */
  function shownIn([left, top, right, bottom], test) {
    const found = [];
    near(left, top, right, bottom, (i) => {
      if (plane.shown[i] && test(xs[i], ys[i])) found.push(i);
    });
    return found;
  }

  return { redraw, drawTile, hit, shownIn };
}
