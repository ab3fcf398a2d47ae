// Draw the plane of a map on its canvas, and find what is at a position.

const STAR = 9; // radius in pixels
const MOST_TILES = 2000;

function makePainter(plane) {
  const { root, canvas, data, xs, ys, count } = plane;
  const pen = canvas.getContext("2d"), near = makeGrid(xs, ys);
  const tiles = new Map();
  let waiting = false;
  let frame = null; // the pixels of the dots
  let placed = {}; // images shown on the map, and the view they were chosen for

  /** Return the pixels of a disc: offsets from the center in row-major order, and coverage. */
  function disc(reach, stride) {
    const size = Math.ceil(reach), offsets = [], covers = [];
    for (let dy = -size; dy <= size; dy++) {
      for (let dx = -size; dx <= size; dx++) {
        const cover = Math.min(1, Math.max(0, reach + 0.5 - Math.hypot(dx, dy)));
        if (!cover) continue;
        offsets.push(4 * (dy * stride + dx));
        covers.push(cover);
      }
    }
    return { offsets: Int32Array.from(offsets), covers: Float32Array.from(covers) };
  }

  function draw() {
    waiting = false;
    const ratio = window.devicePixelRatio || 1, reach = plane.radius();
    canvas.width = Math.round(plane.width * ratio); // also clears
    canvas.height = Math.round(plane.height * ratio);
    const ink = getComputedStyle(root).color, paper = getComputedStyle(canvas).backgroundColor;
    drawDots(ratio, paper);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (reach > 3) drawRings(plane.picked, reach, 1.25, ink); // smaller dots would be only ring
    if (plane.images && plane.bitmap) drawImages(ink);
    drawStars(ink, paper);
    if (plane.hovered >= 0 && plane.hovered < count && !plane.images) drawRings([plane.hovered], reach * 1.3, 2, ink);
    if (plane.line) drawLasso(ink);
  }

  /** Blend the dots into the pixels directly, six times as fast as drawing ten thousand discs on a canvas. */
  function drawDots(ratio, paper) {
    const room = Math.ceil(MOST_RADIUS * ratio) + 1, edge = 2 * room; // margin, so that no disc needs clipping
    const stride = canvas.width + 2 * edge, lines = canvas.height + 2 * edge;
    if (frame?.width !== stride || frame.height !== lines) frame = new ImageData(stride, lines);
    const pixels = frame.data, [red, green, blue] = paper.match(/\d+/g).map(Number);
    new Uint32Array(pixels.buffer).fill(new Uint32Array(Uint8Array.of(red, green, blue, 255).buffer)[0]);

    const { offsets, covers } = disc(plane.radius() * ratio, stride), { shown, picked } = plane, set = data.levels[plane.level];
    const colors = [...(set?.colors ?? []), data.unknown].map((hex) => parseInt(hex.slice(1), 16));
    const tierOf = (i) => (shown[i] ? (picked.size && !picked.has(i) ? 1 : 2) : 0);
    const opacities = [0.1, plane.images ? 0.25 : 0.3, plane.images ? 0.5 : 0.85]; // hidden; not picked while others are; all others
    const scale = plane.span() * ratio;
    const left = canvas.width / 2 - plane.view.x * scale + edge, top = canvas.height / 2 - plane.view.y * scale + edge;
    for (let tier = plane.chosen.size ? 0 : picked.size ? 1 : 2; tier < 3; tier++) {
      for (const i of plane.order) {
        const x = Math.floor(left + xs[i] * scale), y = Math.floor(top + ys[i] * scale);
        if (x < room || y < room || x >= stride - room || y >= lines - room || tierOf(i) !== tier) continue;
        const color = colors.at(set ? set.labels[i] : -1), middle = 4 * (y * stride + x);
        const r = color >> 16, g = (color >> 8) & 255, b = color & 255;
        for (let k = 0; k < offsets.length; k++) {
          const at = middle + offsets[k], opacity = covers[k] * opacities[tier];
          pixels[at] += (r - pixels[at]) * opacity;
          pixels[at + 1] += (g - pixels[at + 1]) * opacity;
          pixels[at + 2] += (b - pixels[at + 2]) * opacity;
        }
      }
    }
    pen.putImageData(frame, -edge, -edge);
  }

  /** Return images that do not overlap; chosen again only when the zoom has changed enough, so that they stay in place. */
  function placedImages() {
    const step = 2 ** (Math.floor(2 * Math.log2(plane.view.zoom)) / 2);
    const key = `${step} ${plane.width} ${plane.height} ${[...plane.chosen]}`;
    if (placed.key !== key) {
      const side = ((plane.tileSide() + 6) * plane.view.zoom) / (plane.span() * step);
      placed = { key, images: spread(xs, ys, plane.order, plane.shown, side) };
    }
    return placed.images;
  }

  /** Return image i on its own canvas, because copying from the large picture of all images is slow. */
  function tile(i) {
    if (!tiles.has(i)) {
      const column = i % data.columns, row = Math.floor(i / data.columns);
      const own = element("canvas", { width: data.tile, height: data.tile });
      own.getContext("2d").drawImage(plane.bitmap, -column * data.tile, -row * data.tile);
      if (tiles.size >= MOST_TILES) tiles.clear();
      tiles.set(i, own);
    }
    return tiles.get(i);
  }

  function drawTile(target, i, x, y, side) {
    target.imageSmoothingEnabled = data.tile > 64;
    target.drawImage(tile(i), x, y, side, side);
  }

  function drawImages(ink) {
    const half = plane.tileSide() / 2;
    for (const i of placedImages()) {
      const [x, y] = plane.toScreen(xs[i], ys[i]);
      if (x < -half || y < -half || x > plane.width + half || y > plane.height + half) continue;
      pen.fillStyle = plane.picked.has(i) || i === plane.hovered ? ink : plane.color(plane.level, i);
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

  /** Draw the stars, then their names on a free side. */
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
      pen.fillStyle = plane.starColor(k);
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
      const at = sides.find(([left, middle]) => left + length < plane.width && taken.every((other) =>
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

  /** Draw once before the next frame. */
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(draw);
  }

  /** Return the star (count + k), image or point at a position of the canvas; -1 for none. */
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

  /** Return the shown points in a rectangle of the map for which `test(x, y)` holds. */
  function shownIn([left, top, right, bottom], test) {
    const found = [];
    near(left, top, right, bottom, (i) => {
      if (plane.shown[i] && test(xs[i], ys[i])) found.push(i);
    });
    return found;
  }

  return { redraw, drawTile, hit, shownIn };
}
