// What the page plays: the numbers that came with it, and those that are computed again once something is changed.

function decoded(text) {
  const bytes = Uint8Array.from(atob(text.slice(2)), (char) => char.charCodeAt(0));
  if (text.startsWith("b")) return bytes;
  return Float64Array.from(text.startsWith("d") ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer));
}
const arrayOf = ({ shape, data }) => ({ shape, data: decoded(data) });

// A tree of the declaration, in which what goes without saying was left out.
const whole = (e) => ({ name: "", ...e, args: (e.args ?? []).map(whole) });

class Play {
  constructor(data) {
    Object.assign(this, data);
    this.x = arrayOf(data.x);
    this.valid = data.valid && decoded(data.valid);
    const each = (found) => Object.fromEntries(Object.entries(found).map(([name, array]) => [name, arrayOf(array)]));
    const cells = data.cells.map((cell) => ({
      ...cell,
      steps: cell.steps.map((step) => ({ ...step, expression: whole(step.expression) })),
    }));
    this.tracks = data.tracks.map((track) => ({
      ...track,
      cell: cells[track.cell],
      names: Object.fromEntries(cells[track.cell].steps.map(({ symbol }) => [symbol, track.names[symbol] ?? symbol])),
      weights: each(track.weights),
      start: each(track.start),
      values: each(track.values),
      beside: each(track.beside),
      wrong: each(track.wrong),
    }));
    for (const track of this.tracks.filter((one) => one.back)) {
      track.forward = this.tracks.find(
        (one) => !one.back && one.layer === track.layer && one.direction === track.direction,
      );
      track.weights = track.forward.weights;
    }
    if (this.back) this.back.output = arrayOf(this.back.output);
    this.changes = [];
    this.take(data.opens.item);
  }

  // Plays another item of the batch, by its place among those that are there.
  take(item) {
    const changes = this.changes.map(({ array, index }) => [array, index, array.data[index]]);
    for (const { array, index, old } of this.changes) array.data[index] = old;
    this.item = item;
    this.given = null;
    this.given = replay(this, item);
    for (const [array, index, value] of changes) array.data[index] = value;
    this.computed = changes.length ? replay(this, item) : this.given;
  }

  change(array, index, value, name) {
    const known = this.changes.find((one) => one.array === array && one.index === index);
    if (!known) this.changes.push({ array, index, name, old: array.data[index] });
    array.data[index] = value;
    this.changes = this.changes.filter((one) => one.array.data[one.index] !== one.old);
    this.computed = replay(this, this.item);
  }

  undo(changes) {
    for (const { array, index, old } of changes) array.data[index] = old;
    this.changes = this.changes.filter((one) => !changes.includes(one));
    this.computed = replay(this, this.item);
  }

  counts(row, item = this.item) {
    return !this.valid || this.valid[row * this.items.length + item] === 1;
  }

  rowOfX(row, item = this.item) {
    const width = this.x.shape[2];
    const start = (row * this.items.length + item) * width;
    return [start, start + width];
  }

  startOf(track, state, item = this.item) {
    const { shape, data } = track.start[state];
    return data.subarray(item * shape[1], (item + 1) * shape[1]);
  }

  // The rows of a track as its time runs.
  order(track) {
    const rows = Array.from({ length: this.steps }, (_, row) => row);
    return (track.direction === "reverse") !== track.back ? rows.reverse() : rows;
  }

  // The row from which a step's states come, or -1 for those that the track starts from.
  rowBefore(track, row, item = this.item) {
    const rows = this.order(track).filter((one) => this.counts(one, item));
    return rows[rows.indexOf(row) - 1] ?? -1;
  }

  sent(kind, track, symbol, row, unit) {
    const array = track[kind][symbol];
    const place = this.units.indexOf(unit);
    if (!array || place < 0 || !this.counts(row)) return null;
    return array.data[(row * this.items.length + this.item) * array.shape[2] + place];
  }

  // The value that is shown: the replay's own, or where a change has reached it the one computed here.
  value(track, symbol, row, unit) {
    const now = this.computed.get(track)[symbol][row]?.[unit];
    if (now === undefined) return null;
    return this.isChanged(track, symbol, row, unit) ? now : (this.sent("values", track, symbol, row, unit) ?? now);
  }

  isChanged(track, symbol, row, unit) {
    return !Object.is(this.computed.get(track)[symbol][row]?.[unit], this.given.get(track)[symbol][row]?.[unit]);
  }

  vector(track, symbol, row) {
    return this.computed.get(track)[symbol][row]?.map((_, unit) => this.value(track, symbol, row, unit));
  }

  before(track, state, row) {
    const earlier = this.rowBefore(track, row);
    if (earlier < 0) return this.startOf(track, state);
    if (track.back && isCut(this.back, track, row + this.first)) return this.startOf(track, state).map(() => 0);
    const own = this.vector(track, state, earlier);
    return this.forced ? own.map((value, unit) => this.sent("beside", track, state, earlier, unit) ?? value) : own;
  }

  // All that can be read at a row of a track.
  scene(track, row) {
    const of = (...place) => this.vector(...place);
    const own = Object.fromEntries(track.cell.steps.map(({ symbol }) => [symbol, this.vector(track, symbol, row)]));
    const before = Object.fromEntries(track.cell.states.map((state) => [state, this.before(track, state, row)]));
    if (!track.back) return { track, row, x: inputOf(this, track.layer, row, this.item, of), now: own, before };
    const scene = behind(this, track, row, this.item, of, (...place) => this.before(...place));
    Object.assign(scene.now, own, { [OUTPUT]: this.computed.get(track)[OUTPUT][row] });
    return { ...scene, before };
  }
}
