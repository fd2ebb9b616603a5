// The cell as a drawing, read from its declaration: gates as boxes, operations as circles, the numbers of one unit beside them.

const SIGNS = {
  add: "+",
  subtract: "−",
  multiply: "⊙",
  divide: "÷",
  negate: "−",
  maximum: "max",
  minimum: "min",
  sigmoid: "σ",
};
const WIDE = 96;
const HIGH = 58;
const MARGIN = 34;

// The nodes of a cell: each with what it reads, and its part of the declaration, whose value it shows.
function nodesOf(track) {
  const { cell } = track;
  const nodes = new Map();
  const leaf = (name, text, e) => {
    if (!nodes.has(name)) nodes.set(name, { name, text, e, reads: [], shape: "leaf" });
    return nodes.get(name);
  };
  const ofSteps = new Map();
  const inputs = (e) => {
    if (e.op === "constant" || e.op === "shift") return [];
    if (e.op === "add" || e.op === "layer_norm") return e.args.flatMap(inputs);
    if (e.op === "input term") return [leaf("x", "xₜ", null)];
    if (AFFINE.includes(e.op)) return [of(e.args[0])];
    return [of(e)];
  };
  function of(e, name = JSON.stringify(e)) {
    if (nodes.has(name)) return nodes.get(name);
    if (e.op === "now") return ofSteps.get(e.name) ?? leaf(e.name, leafName(track, e), e);
    if (e.op === "before") return leaf(`${e.name} handed`, leafName(track, e), e);
    if (e.op === "input") return leaf("x", "xₜ", e);
    const curve = e.op in OPERATORS && !ARITHMETIC.includes(e.op) && e.op !== "maximum" && e.op !== "minimum";
    const affine =
      AFFINE.includes(e.op) || e.op === "layer_norm" || e.op === "shift" || (e.op === "add" && e.args.some(isAffine));
    const constant = e.args.find((arg) => arg.op === "constant");
    const reads = affine
      ? inputs(e)
      : curve
        ? inputs(e.args[0])
        : e.args.filter((arg) => arg.op !== "constant").map((arg) => of(arg));
    const sign = SIGNS[e.op] ?? e.op.replace("_", " ");
    const text = affine
      ? e.op === "layer_norm"
        ? "LN"
        : "W·"
      : constant && !curve
        ? e.args[0] === constant
          ? `${constant.value}${sign}`
          : `${sign}${constant.value}`
        : sign;
    const node = { name, text, e, reads: [...new Set(reads)], shape: curve || affine ? "box" : "circle" };
    nodes.set(name, node);
    return node;
  }
  for (const step of cell.steps) {
    const node = of(step.expression, `step ${step.symbol}`);
    ofSteps.set(step.symbol, Object.assign(node, { symbol: step.symbol }));
  }
  return [...nodes.values()];
}
const isAffine = (e) => AFFINE.includes(e.op) || (e.op === "add" && e.args.some(isAffine));

// Where each node stands: behind all that it reads, and near to it.
function placed(nodes) {
  const depth = (node) => (node.column ??= node.reads.length ? 1 + Math.max(...node.reads.map(depth)) : 0);
  nodes.forEach(depth);
  const columns = [];
  for (const node of nodes) (columns[node.column] ??= []).push(node);
  const most = Math.max(...columns.map((column) => column.length));
  columns.forEach((column, k) => {
    const wish = (node) => node.reads.reduce((sum, one) => sum + one.y, 0) / (node.reads.length || 1);
    if (k) column.sort((a, b) => wish(a) - wish(b));
    column.forEach((node, line) => {
      node.x = MARGIN + k * WIDE;
      node.y = MARGIN + ((line + 0.5) * most * HIGH) / column.length - HIGH / 2;
    });
  });
  return { width: 2 * MARGIN + (columns.length - 1) * WIDE, height: MARGIN + most * HIGH };
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(document.querySelector("svg").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

Object.assign(Player.prototype, {
  drawing(scene, place) {
    const { track, unit } = place;
    const nodes = nodesOf(track);
    const { width, height } = placed(nodes);
    const edges = nodes.flatMap((node) =>
      node.reads.map((from) => {
        const middle = (from.x + node.x) / 2;
        return draw("path", {
          d: `M${from.x + 20} ${from.y} C${middle} ${from.y} ${middle} ${node.y} ${node.x - 20} ${node.y}`,
          class: node.symbol === place.symbol ? "edge lit" : "edge",
        });
      }),
    );
    const marks = nodes.map((node) => {
      const own = node.symbol && node.symbol === place.symbol;
      const hidden = node.symbol
        ? this.isHidden(track, node.symbol, place.row, unit)
        : node.shape !== "leaf" && this.predict.checked;
      const shape =
        node.shape === "circle"
          ? draw("circle", { r: 15 })
          : draw("rect", { x: -20, y: -15, width: 40, height: 30, rx: node.shape === "box" ? 3 : 15 });
      const value = node.symbol ? scene.now[node.symbol][unit] : node.e ? at(evaluate(node.e, scene), unit) : null;
      const number = value === null || value === undefined ? "" : hidden ? "?" : shown({ value });
      const group = draw(
        "g",
        { transform: `translate(${node.x} ${node.y})`, class: `node ${node.shape}${own ? " lit" : ""}` },
        shape,
        draw("text", { class: "sign", y: 4 }, node.text),
        draw("text", { class: "value", y: 28 }, node.symbol ? `${track.names[node.symbol]} ${number}` : number),
      );
      if (node.symbol)
        group.addEventListener("click", () => this.visit({ track, symbol: node.symbol, row: place.row, unit }));
      return group;
    });
    const label = `drawing of the ${track.cell.title} with the numbers of unit ${unit}`;
    const svg = draw(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label, class: "cell" },
      ...edges,
      ...marks,
    );
    Object.assign(svg.style, { minWidth: `${0.75 * width}px`, maxWidth: `${width}px` });
    return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "drawing of the cell" }, svg);
  },
});
