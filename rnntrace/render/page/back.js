// A backward pass: the adjoint of each layer, from the last layer to the first, and from the last step back.

const OUTPUT = "∂output";

// What each direction gets of the gradient of what its layer gives.
const SHARES = {
  concat: (d, h, k) => d.subarray(k * h[k].length, (k + 1) * h[k].length),
  sum: (d) => d,
  mul: (d, h, k) => (h.length > 1 ? d.map((value, unit) => value * h[1 - k][unit]) : d),
  ave: (d, h) => (h.length > 1 ? d.map((value) => value / 2) : d),
};

// Whether truncation lets nothing back into this row from the step after.
function isCut({ truncate, total }, track, t) {
  return truncate > 0 && (track.direction === "reverse" ? total - t + 1 : t) % truncate === 0;
}

// The gradient of the output at a row: that of the loss, which for a squared error changes with the output itself.
function ofLoss(play, row, item, of) {
  const { shape, data } = play.back.output;
  const start = (row * play.items.length + item) * shape[2];
  const given = data.subarray(start, start + shape[2]);
  if (!play.back.slope || !play.given || item !== play.item) return given;
  const now = inputOf(play, play.merges.length, row, item, of);
  const was = inputOf(play, play.merges.length, row, item, (track, symbol, k) => play.given.get(track)[symbol][k]);
  return given.map((value, unit) => value + play.back.slope * (now[unit] - was[unit]));
}

// All that an adjoint reads at a row beside its own quantities: the forward pass, and the gradient of the output.
function behind(play, track, row, item, of, before) {
  const { cell } = track.forward;
  const now = Object.fromEntries(cell.steps.map(({ symbol }) => [symbol, of(track.forward, symbol, row)]));
  for (const state of cell.states) now[`${state}.before`] = before(track.forward, state, row);
  return { track, row, now, x: inputOf(play, track.layer, row, item, of) };
}

function goBack(play, item, found, of) {
  const before = (track, state, row) => {
    const earlier = play.rowBefore(track, row, item);
    return earlier < 0 ? play.startOf(track, state, item) : of(track, state, earlier);
  };
  let ofOutput = (row) => ofLoss(play, row, item, of);
  for (let layer = play.merges.length - 1; layer >= 0; layer--) {
    const tracks = play.tracks.filter((track) => track.back && track.layer === layer);
    const forwards = play.tracks.filter((track) => !track.back && track.layer === layer);
    const above = ofOutput;
    for (const track of tracks) {
      const symbols = [...track.cell.steps.map((step) => step.symbol), OUTPUT];
      const values = Object.fromEntries(symbols.map((symbol) => [symbol, Array(play.steps).fill(null)]));
      found.set(track, values);
      let after = Object.fromEntries(track.cell.states.map((state) => [state, play.startOf(track, state, item)]));
      let begun = false;
      for (const row of play.order(track)) {
        if (!play.counts(row, item)) continue;
        if (begun && isCut(play.back, track, row + play.first)) {
          after = Object.fromEntries(track.cell.states.map((state) => [state, after[state].map(() => 0)]));
        }
        begun = true;
        const h = forwards.map((one) => of(one, one.cell.output, row));
        const share = SHARES[play.merges[layer]](above(row), h, forwards.indexOf(track.forward));
        values[OUTPUT][row] = share;
        const scene = { ...behind(play, track, row, item, of, before), before: after };
        scene.now[OUTPUT] = share;
        for (const step of track.cell.steps) {
          values[step.symbol][row] = scene.now[step.symbol] = evaluate(step.expression, scene);
        }
        after = scene.now;
      }
    }
    // What the layer below gets is the gradient of x, of both directions.
    ofOutput = (row) => {
      const parts = tracks.flatMap((track) => [
        ...track.cell.intoX.map(([gate, symbol]) =>
          byColumns(blockOf(track, "matrix on x", gate), of(track, symbol, row)),
        ),
        ...track.cell.onX.map((symbol) => of(track, symbol, row)),
      ]);
      return parts.reduce((sum, part) => sum.map((value, k) => value + part[k]));
    };
  }
}
