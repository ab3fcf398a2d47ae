// State of a map: its points, what is shown of them, and the transform from the map to the canvas.

const MARGIN = 28;
const MOST_RADIUS = 9;

function makePlane(root) {
  const data = JSON.parse(root.querySelector(".map-data").textContent);
  const canvas = root.querySelector(".plane");
  const count = data.points.length, weights = data.weights;
  const plane = {
    root, data, canvas, count,
    width: 0, height: 0, // of the canvas, in CSS pixels; reading them from the canvas is slow
    xs: Float32Array.from(data.points, (point) => point[0]),
    ys: Float32Array.from(data.points, (point) => point[1]),
    order: mixed(count),
    view: { x: 0.5, y: 0.5, zoom: 1 }, // center in map units, and zoom factor
    level: 0, // level that sets the colors
    chosen: new Set(), // "level/class"; empty: all
    shown: new Uint8Array(count).fill(1),
    picked: new Set(),
    hovered: -1, // index of a point, or count + that of a star
    line: null, // the lasso being drawn, [x, y] in map units
    bitmap: null, // all images, once decoded
    images: false, // whether they are shown on the map
    stars: weights ? weights.points.map((point, k) => ({ point, k })) : [], // stars shown
    starLevel: weights ? data.levels.findIndex((set) => set.name === weights.level) : -1,

    span: () => Math.max(1, Math.min(plane.width, plane.height) - 2 * MARGIN) * plane.view.zoom, // pixels per map unit
    toScreen: (x, y) => [plane.width / 2 + (x - plane.view.x) * plane.span(), plane.height / 2 + (y - plane.view.y) * plane.span()],
    toMap: (x, y) => [(x - plane.width / 2) / plane.span() + plane.view.x, (y - plane.height / 2) / plane.span() + plane.view.y],
    measure() {
      plane.width = canvas.clientWidth;
      plane.height = canvas.clientHeight;
    },
    radius: () => Math.min(MOST_RADIUS, Math.max(2, 105 / Math.sqrt(count)) * Math.sqrt(plane.view.zoom)),
    tileSide: () => Math.min(2 * data.tile, Math.min(64, Math.max(34, 420 / Math.sqrt(count))) * plane.view.zoom ** 0.3),

    color(level, i) {
      const set = data.levels[level];
      return set && set.labels[i] >= 0 ? set.colors[set.labels[i]] : data.unknown;
    },
    className: (level, i) => data.levels[level].classes[data.levels[level].labels[i]],
    starName: (k) => data.levels[plane.starLevel].classes[k],
    starColor: (k) => data.levels[plane.starLevel].colors[k],
  };
  plane.measure();
  return plane;
}
