// A cell computed from its declaration, the tree of expressions that comes with the page.

const OPERATORS = {
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  negate: (a) => -a,
  abs: Math.abs,
  exp: Math.exp,
  maximum: Math.max,
  minimum: Math.min,
  clip: (a, low, high) => Math.min(Math.max(a, low), high),
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  tanh: Math.tanh,
  relu: (a) => Math.max(a, 0),
  hard_sigmoid: (a, slope, offset) => Math.min(Math.max(slope * a + offset, 0), 1),
  softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  softsign: (a) => a / (1 + Math.abs(a)),
  elu: (a, alpha) => (a > 0 ? a : alpha * Math.expm1(a)),
  leaky_relu: (a, alpha) => (a > 0 ? a : alpha * a),
  thresholded_relu: (a, alpha) => (a <= alpha ? 0 : a),
  step: (a) => (a > 0 ? 1 : Number.isNaN(a) ? a : 0),
};
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const EPSILON = 1e-5;
const OF_ALL_UNITS = {
  layer_norm(a) {
    const off = a.map((value) => value - mean(a));
    return off.map((value) => value / Math.sqrt(mean(off.map((one) => one * one)) + EPSILON));
  },
  norm_slope(d, a) {
    const y = OF_ALL_UNITS.layer_norm(a);
    const off = a.map((value) => value - mean(a));
    const deviation = Math.sqrt(mean(off.map((one) => one * one)) + EPSILON);
    const along = mean(d.map((value, k) => value * y[k]));
    return d.map((value, k) => (value - mean(d) - y[k] * along) / deviation);
  },
};

// The block of a gate in the parameter that plays a role: where it begins in its array, and its name in formulas.
function blockOf(track, role, gate) {
  for (const parameter of track.cell.parameters) {
    const place = parameter.gates.indexOf(gate);
    const array = track.weights[parameter.name];
    if (parameter.role === role && array && (place >= 0 || !parameter.gates.length)) {
      const columns = array.shape.length > 2 || !parameter.gates.length ? array.shape.at(-1) : 1;
      const rows = array.shape.at(columns === 1 && parameter.gates.length ? -1 : -2);
      const size = array.shape.at(-1) * (array.shape.length > 2 ? array.shape.at(-2) : 1);
      return { array, start: Math.max(place, 0) * size, rows, columns, name: parameter.blocks[Math.max(place, 0)] };
    }
  }
  return null;
}

// A term that reads parameters, of all units: what `e` multiplies `v` by, and its bias.
function term(e, v, track) {
  const [role, biasRole] = TERMS[e.op];
  const block = blockOf(track, role, e.name);
  const at = (k) => block.array.data[block.start + k];
  if (e.op === "shift") return Float64Array.from({ length: block.rows }, (_, r) => at(r));
  if (e.op === "diagonal" || e.op === "gain") return v.map((value, r) => at(r) * value);
  const bias = biasRole && blockOf(track, biasRole, e.name);
  return Float64Array.from({ length: block.rows }, (_, r) => {
    let sum = bias ? bias.array.data[bias.start + r] : 0;
    for (let k = 0; k < block.columns; k++) sum += at(r * block.columns + k) * v[k];
    return sum;
  });
}

function transposed(e, v, track) {
  return byColumns(blockOf(track, e.name ? "matrix on a state" : "projection", e.name), v);
}

function byColumns(block, v) {
  return Float64Array.from({ length: block.columns }, (_, k) => {
    let sum = 0;
    for (let r = 0; r < block.rows; r++) sum += block.array.data[block.start + r * block.columns + k] * v[r];
    return sum;
  });
}

// An expression where its leaves stand for what `scene` says: a value for each unit, or a number.
function evaluate(e, scene) {
  if (e.op === "constant") return e.value;
  if (e.op === "input") return scene.x;
  if (e.op === "now") return scene.now[e.name];
  if (e.op === "before") return scene.before[e.name];
  const args = e.args.map((arg) => evaluate(arg, scene));
  if (e.op in TERMS) return term(e, args.length ? args[0] : scene.x, scene.track);
  if (e.op === "transposed") return transposed(e, args[0], scene.track);
  if (e.op in OF_ALL_UNITS) return OF_ALL_UNITS[e.op](...args);
  const units = args.find((arg) => typeof arg !== "number");
  const at = (k) => OPERATORS[e.op](...args.map((arg) => (typeof arg === "number" ? arg : arg[k])));
  return units ? Float64Array.from(units, (_, k) => at(k)) : at(0);
}

const MERGES = {
  concat: (a, b) => Float64Array.of(...a, ...b),
  sum: (a, b) => a.map((value, k) => value + b[k]),
  mul: (a, b) => a.map((value, k) => value * b[k]),
  ave: (a, b) => a.map((value, k) => (value + b[k]) / 2),
};

// What a layer reads at a row: x, or what the directions of the layer below give, where `of` finds the values of a track.
function inputOf(play, layer, row, item, of) {
  if (layer === 0) return play.x.data.subarray(...play.rowOfX(row, item));
  const below = play.tracks.filter((track) => !track.back && track.layer === layer - 1);
  const parts = below.map((track) => of(track, track.cell.output, row));
  return parts.length > 1 ? MERGES[play.merges[layer - 1]](...parts) : parts[0];
}

// Every quantity of every track for one item, by symbol and row; null at steps that do not count.
function replay(play, item) {
  const found = new Map();
  const of = (track, symbol, row) => found.get(track)[symbol][row];
  for (const track of play.tracks.filter((one) => !one.back)) {
    const values = Object.fromEntries(track.cell.steps.map((step) => [step.symbol, Array(play.steps).fill(null)]));
    found.set(track, values);
    let before = Object.fromEntries(track.cell.states.map((state) => [state, play.startOf(track, state, item)]));
    for (const row of play.order(track)) {
      if (!play.counts(row, item)) continue;
      const scene = { track, now: {}, before, x: inputOf(play, track.layer, row, item, of) };
      for (const step of track.cell.steps) {
        values[step.symbol][row] = scene.now[step.symbol] = evaluate(step.expression, scene);
      }
      before = scene.now;
    }
  }
  if (play.back) goBack(play, item, found, of);
  return found;
}
