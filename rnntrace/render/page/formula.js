// A number's formula: its declaration with the numbers put in, and its products one by one.
// A piece of a formula is text, or a number `{ value, from }` that came from somewhere.

const AFFINE = ["input term", "recurrent term", "diagonal", "gain", "projection", "transposed"];
const ARITHMETIC = ["add", "subtract", "multiply", "divide", "negate"];
const ALL_SHOWN = 8;
const ENDS = 2;
const at = (values, unit) => (typeof values === "number" ? values : values[unit]);

// Where entry k of what a leaf reads comes from: a quantity of this step or the one before, or what is given.
function source(play, scene, leaf, k) {
  const { track, row } = scene;
  if (leaf.op === "now") {
    if (track.cell.steps.some((step) => step.symbol === leaf.name)) return { track, symbol: leaf.name, row, unit: k };
    if (leaf.name === OUTPUT) return null;
    const state = leaf.name.replace(/\.before$/, "");
    const read = { op: state === leaf.name ? "now" : "before", name: state };
    return source(play, { track: track.forward, row }, read, k);
  }
  if (leaf.op === "before") {
    const earlier = play.rowBefore(track, row);
    if (earlier >= 0) return { track, symbol: leaf.name, row: earlier, unit: k, before: true };
    const array = track.start[leaf.name];
    return { given: true, track, symbol: leaf.name, array, index: play.item * array.shape[1] + k, unit: k };
  }
  if (leaf.op !== "input" && leaf.op !== "input term") return null;
  if (track.layer === 0) return { given: true, x: k, array: play.x, index: play.rowOfX(row)[0] + k };
  const below = play.tracks.filter((one) => !one.back && one.layer === track.layer - 1);
  const size = scene.x.length / (play.merges[track.layer - 1] === "concat" ? below.length : 1);
  const own = below[Math.floor(k / size)];
  return { track: own, symbol: own.cell.output, row, unit: k % size };
}

// Everything that one unit of an expression reads unit by unit.
function sources(play, scene, e, unit) {
  if (AFFINE.includes(e.op) && e.op !== "diagonal" && e.op !== "gain") return [];
  if (!e.args.length) return [source(play, scene, e, unit)].filter(Boolean);
  return e.args.flatMap((arg) => sources(play, scene, arg, unit));
}

const beforeOf = (track) => (track.direction === "reverse" ? "ₜ₊₁" : "ₜ₋₁");
// What a leaf is called where its unit follows; a forward state of the step before has its own place in time.
function leafName(track, leaf) {
  if (leaf.op === "input") return "x";
  const name = track.names[leaf.name] ?? leaf.name;
  if (leaf.op === "before") return track.back ? name : name + beforeOf(track);
  return name.endsWith(".before") ? name.replace(/\.before$/, beforeOf(track)) : name;
}
const nameOf = (track, leaf, unit) => `${leafName(track, leaf)}[${unit}]`;

// The products of a term that reads parameters, and last its bias.
function products(play, scene, e, unit) {
  const inner = e.args.length ? evaluate(e.args[0], scene) : scene.x;
  const back = e.op === "transposed";
  const role = back ? (e.name ? "matrix on a state" : "projection") : TERMS[e.op][0];
  const block = blockOf(scene.track, role, e.name);
  const leaf = e.args[0] ?? e;
  const read = (k) =>
    leaf === e ? `x[${k}]` : flat(spelled(leaf, (part) => symbolic(scene, part, k), leaf.args.length ? 3 : 0));
  const of = (k, index, label) => ({
    name: `${block.name}[${label}]·${read(k)}`,
    weight: block.array.data[block.start + index],
    value: inner[k],
    edit: { array: block.array, index: block.start + index, name: `${block.name}[${label}]` },
    from: source(play, scene, leaf, k),
    reads: leaf === e ? [] : sources(play, scene, leaf, k),
    inner: leaf.op === "layer_norm" ? leaf : null,
  });
  if (e.op === "diagonal" || e.op === "gain") return [of(unit, unit, unit)];
  const count = back ? block.rows : block.columns;
  const found = Array.from({ length: count }, (_, k) =>
    back ? of(k, k * block.columns + unit, `${k},${unit}`) : of(k, unit * block.columns + k, `${unit},${k}`),
  );
  const bias = !back && TERMS[e.op][1] && blockOf(scene.track, TERMS[e.op][1], e.name);
  if (bias) {
    const name = `${bias.name}[${unit}]`;
    const index = bias.start + unit;
    found.push({
      name,
      weight: bias.array.data[index],
      value: 1,
      bias: true,
      edit: { array: bias.array, index, name },
    });
  }
  return found;
}

// The summands of an expression, those of affine terms product by product; `factor` multiplies them where they are summed up.
function summands(play, scene, e, unit, factor = 1) {
  if (e.op === "add") return e.args.flatMap((arg) => summands(play, scene, arg, unit, factor));
  if (AFFINE.includes(e.op)) return products(play, scene, e, unit).map((one) => ({ ...one, factor }));
  const value = (arg) => at(evaluate(arg, scene), unit);
  if (e.op === "multiply" && AFFINE.includes(e.args[1].op)) {
    return summands(play, scene, e.args[1], unit, factor * value(e.args[0]));
  }
  if (e.op === "shift") {
    const block = blockOf(scene.track, TERMS.shift[0], e.name);
    const name = `${block.name}[${unit}]`;
    const edit = { array: block.array, index: block.start + unit, name };
    return [{ name, weight: value(e), value: 1, bias: true, factor, edit }];
  }
  const name = flat(spelled(e, (leaf) => symbolic(scene, leaf, unit)));
  const reads = sources(play, scene, e, unit);
  if (e.op !== "multiply") {
    const from = e.args.length ? null : source(play, scene, e, unit);
    return [
      { name, weight: value(e), value: 1, bias: true, factor, weightFrom: from, reads, inner: holdsSum(e) ? e : null },
    ];
  }
  const froms = e.args.map((arg) => (arg.args.length ? null : source(play, scene, arg, unit)));
  return [
    { name, weight: value(e.args[0]), value: value(e.args[1]), factor, weightFrom: froms[0], from: froms[1], reads },
  ];
}

const holdsSum = (e) => AFFINE.includes(e.op) || e.args.some(holdsSum);

// What a curve is taken of, where one stands outermost.
function inside(e) {
  const curve =
    e.op in OPERATORS && !ARITHMETIC.includes(e.op) && e.args.slice(1).every((arg) => arg.op === "constant");
  return curve ? e.args[0] : e;
}

function symbolic(scene, e, unit) {
  if (e.op === "constant") return null;
  if (!e.args.length) {
    const block = e.op in TERMS && blockOf(scene.track, TERMS[e.op][0], e.name);
    return [block ? `${block.name}[${unit}]${e.op === "input term" ? " x" : ""}` : nameOf(scene.track, e, unit)];
  }
  return AFFINE.includes(e.op)
    ? [`${blockOf(scene.track, (TERMS[e.op] ?? ["matrix on a state"])[0], e.name).name}[${unit}]·…`]
    : null;
}

// An expression in pieces; `put` says what stands for a part of it, and null where its own spelling does.
function spelled(e, put, need = 0) {
  const found = put(e);
  if (found) {
    const binds = found.length > 1 ? 0 : typeof found[0] === "object" && found[0].value < 0 ? 1 : 3;
    return binds < need ? ["(", ...found, ")"] : found;
  }
  if (e.op === "constant") return [{ value: e.value, exact: true }];
  const { text, binds, needs } = SPELLINGS[e.op];
  const pieces = text
    .split(/\{(\d)\}/)
    .flatMap((part, k) => (k % 2 ? spelled(e.args[part], put, needs[part] ?? 0) : part ? [part] : []));
  return binds < need ? ["(", ...pieces, ")"] : pieces;
}
const flat = (pieces) =>
  pieces
    .map((piece) => (typeof piece === "string" ? piece : shown(piece)))
    .join("")
    .replaceAll("+ -", "- ");

// The equation with every number put in, then with its sums worked out.
function stages(play, scene, e, unit) {
  const leaf = (part, term) => {
    if (part.op === "constant") return null;
    if (AFFINE.includes(part.op)) return term(part);
    if (part.args.length && !(part.op in OF_ALL_UNITS)) return null;
    return [{ value: at(evaluate(part, scene), unit), from: source(play, scene, part, unit) }];
  };
  const total = (part) => [{ value: at(evaluate(part, scene), unit) }];
  const sum = (part) => {
    const all = products(play, scene, part, unit);
    const cut = all.length > ALL_SHOWN ? all.slice(ENDS, -ENDS) : [];
    return all.flatMap((one, k) => {
      const plus = k ? [" + "] : [];
      if (cut.includes(one)) {
        if (one !== cut[0]) return [];
        const rest = cut.reduce((total, other) => total + other.weight * other.value, 0);
        return [...plus, `[… ${cut.length} terms: `, { value: rest }, "]"];
      }
      const weight = { value: one.weight, from: { ...one.edit, given: true } };
      const value = { value: one.value, from: one.from, reads: one.reads };
      return [...plus, weight, ...(one.bias ? [] : ["·", ...(one.value < 0 ? ["(", value, ")"] : [value])])];
    });
  };
  return [spelled(e, (part) => leaf(part, sum)), spelled(e, (part) => leaf(part, total))];
}
