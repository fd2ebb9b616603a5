// The page: tables of one step, a slider over time, and how the number that was chosen comes about.

let digits = 4;
function shown({ value, exact }) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (exact && value === Math.round(value * 1e4) / 1e4) return String(value);
  const size = Math.abs(value);
  return size >= 1e6 || (size && size < 0.5 * 10 ** -digits)
    ? value.toExponential(Math.max(digits - 1, 0))
    : value.toFixed(digits);
}
const inTable = (value) => (value === null ? "–" : Number.isFinite(value) ? value.toFixed(digits) : shown({ value }));

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
const below = "₀₁₂₃₄₅₆₇₈₉";
const subscript = (t) => String(t).replace(/\d/g, (digit) => below[digit]);
const LEVELS = 6;

class Player {
  constructor(article) {
    this.article = article;
    this.play = new Play(JSON.parse(article.querySelector("script").textContent));
    digits = this.play.digits;
    this.row = this.play.opens.t - this.play.first;
    this.solved = new Set();
    this.tables = [...article.querySelectorAll("table[data-track]")].map((table) => ({
      track: this.play.tracks[table.dataset.track],
      cells: this.cellsOf(table),
    }));
    this.inputs = this.inputCells(article.querySelector("table[data-x]"));
    this.find(".controls").hidden = false;
    this.listen();
    const { symbol, unit } = this.play.opens;
    const track = this.play.tracks[this.play.opens.track];
    this.chosen = { track, symbol: symbol || track.cell.steps[0].symbol, unit };
    this.listWrong();
    this.show();
  }

  find(selector) {
    return this.article.querySelector(selector);
  }

  cellsOf(table) {
    const columns = [...table.querySelectorAll("thead th")].slice(1).map((heading) => heading.dataset);
    const track = this.play.tracks[table.dataset.track];
    return [...table.querySelectorAll("tbody tr")].flatMap((line) =>
      [...line.querySelectorAll("td")].flatMap((cell, k) => {
        const button = cell.firstElementChild;
        if (!button) return [];
        const { symbol, before } = columns[k];
        return [{ button, cell, track, symbol, unit: Number(line.dataset.unit), before: before !== undefined }];
      }),
    );
  }

  inputCells(table) {
    return table
      ? [...table.querySelectorAll("tbody button")].map((button, k) => ({ button, cell: button.parentElement, x: k }))
      : [];
  }

  listen() {
    const { play } = this;
    this.slider = this.find("input[type=range]");
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value) - play.first));
    this.find(".back").addEventListener("click", () => this.go(this.row - 1));
    this.find(".next").addEventListener("click", () => this.go(this.row + 1));
    this.find(".run").addEventListener("click", () => this.run(!this.timer));
    this.find(".items")?.addEventListener("change", (event) => {
      play.take(Number(event.target.value));
      this.solved.clear();
      this.listWrong();
      this.show();
    });
    this.predict = this.find(".predict");
    this.predict.checked = location.hash === "#predict";
    this.predict.addEventListener("change", () => {
      this.solved.clear();
      this.show();
    });
    for (const { cells } of this.tables) {
      for (const one of cells) {
        const choose = () => one.before || this.choose(one);
        one.button.addEventListener("focus", choose);
        one.button.addEventListener("pointerenter", () => this.pinned || choose());
        one.button.addEventListener("click", () => {
          this.pinned = true;
          this.choose(this.placeOf(one));
          if (one.before) this.visit(this.placeOf(one));
        });
      }
    }
    for (const { button, x } of this.inputs) {
      const choose = () =>
        this.choose(source(play, this.play.scene(this.play.tracks[0], this.row), { op: "input" }, x));
      button.addEventListener("focus", choose);
      button.addEventListener("click", choose);
    }
    this.article.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const typing = event.target.matches("input, select");
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === "Escape") this.pinned = false;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (!typing && event.key in moves) {
      this.go(this.row + moves[event.key]);
      event.preventDefault();
    }
    if (!typing && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      const cells = this.tables.flatMap((table) => table.cells);
      const own = cells.find((one) => one.button === document.activeElement);
      const wanted = own && own.unit + (event.key === "ArrowUp" ? -1 : 1);
      const other =
        own &&
        cells.find(
          (one) =>
            one.track === own.track && one.symbol === own.symbol && one.before === own.before && one.unit === wanted,
        );
      if (other) {
        other.button.focus();
        event.preventDefault();
      }
    }
  }

  go(row) {
    this.row = Math.min(Math.max(row, 0), this.play.steps - 1);
    this.show();
  }

  run(on) {
    clearInterval(this.timer);
    // A backward pass plays from the last step to the first.
    const [start, end, step] = this.play.back ? [this.play.steps - 1, 0, -1] : [0, this.play.steps - 1, 1];
    const next = () => (this.row === end ? this.run(false) : this.go(this.row + step));
    if (on && this.row === end) this.go(start);
    this.timer = on ? setInterval(next, 800) : 0;
    this.find(".run").setAttribute("aria-pressed", String(on));
    this.find(".run").textContent = on ? "❚❚ Pause" : "▶ Play";
  }

  // The place of a cell: that of a state before is where it was computed.
  placeOf({ track, symbol, unit, before }) {
    return before
      ? source(this.play, { track, row: this.row }, { op: "before", name: symbol }, unit)
      : { track, symbol, row: this.row, unit };
  }

  choose(place) {
    this.chosen = place;
    this.explain();
  }

  // Goes to where a number was computed.
  visit(place) {
    if (place.given) return;
    this.chosen = place;
    this.go(place.row);
    this.tables
      .flatMap((table) => table.cells)
      .find((one) => !one.before && one.track === place.track && one.symbol === place.symbol && one.unit === place.unit)
      ?.button.focus();
  }

  // Everything at the step that is shown.
  show() {
    const { play, row } = this;
    const t = row + play.first;
    this.slider.value = t;
    this.slider.setAttribute("aria-valuetext", `t = ${t}`);
    this.find("output").textContent = t;
    this.find(".back").disabled = row === 0;
    this.find(".next").disabled = row === play.steps - 1;
    for (const { cells } of this.tables) cells.forEach((one) => this.fill(one));
    for (const { button, cell, x } of this.inputs) {
      const value = play.x.data[play.rowOfX(row)[0] + x];
      button.textContent = inTable(play.counts(row) ? value : null);
      cell.className = play.counts(row) ? this.shade(value, false, play.tracks[0].limit) : "";
    }
    this.explain();
  }

  shade(value, isGate, limit) {
    const level = Math.round(Math.min(Math.abs(value) / (isGate ? 1 : limit), 1) * LEVELS);
    return level ? (isGate ? "gate" : value > 0 ? "above" : "below") + level : "";
  }

  fill(one) {
    const { play } = this;
    const { button, cell, track, symbol, unit } = one;
    const place = this.placeOf(one);
    const there = play.counts(this.row);
    const value = !there
      ? null
      : place.given
        ? place.array.data[place.index]
        : play.value(track, symbol, place.row, unit);
    const hidden = there && !place.given && this.isHidden(track, symbol, place.row, unit);
    const changed = !hidden && !place.given && there && play.isChanged(track, symbol, place.row, unit);
    // What stands beside was computed without the change.
    const silent = hidden || place.given || !there || changed;
    const beside = silent ? null : play.sent("beside", track, symbol, place.row, unit);
    const wrong = beside !== null && play.sent("wrong", track, symbol, place.row, unit) === 1;
    const sign = wrong ? "✗ " : changed ? "✎ " : "";
    const aside = (words) => make("span", { class: "said" }, words);
    const when = one.before ? (track.back ? " handed back" : " before") : "";
    button.replaceChildren(
      aside(`${track.names[symbol]}${when}, unit ${unit}: `),
      make("span", { class: "value" }, sign + (hidden ? "?" : inTable(value))),
    );
    if (beside !== null) button.append(make("small", {}, aside(` ${play.other} `), inTable(beside)));
    if (wrong || changed) button.append(aside(wrong ? ", out of tolerance" : ", changed"));
    cell.className = [
      hidden || value === null ? "" : this.shade(value, track.gates.includes(symbol), track.limit),
      wrong && "wrong",
      changed && "changed",
    ]
      .filter(Boolean)
      .join(" ");
  }

  named({ track, symbol, row, unit }) {
    const several = this.play.tracks.filter((one) => !one.back).length > 1;
    const where = several ? ` · layer ${track.layer} ${track.direction}` : "";
    // What is handed on belongs to the step before.
    const earlier = track.back && track.cell.states.includes(symbol) ? (track.direction === "reverse" ? 1 : -1) : 0;
    return `${track.names[symbol]}${subscript(row + this.play.first + earlier)}[${unit}]${where}`;
  }
}
