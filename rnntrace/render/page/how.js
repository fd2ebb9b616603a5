// How the number that was chosen comes about: its formula, its products on bars, and what they come from.

Object.assign(Player.prototype, {
  explain() {
    const { play, row } = this;
    if (this.chosen.given) return this.explainGiven();
    const { track, symbol, unit } = this.chosen;
    const step = track.cell.steps.find((one) => one.symbol === symbol);
    const place = { track, symbol, row, unit };
    const how = this.find(".how");
    const there = play.counts(row);
    const held = document.activeElement?.closest(".how") === how ? document.activeElement.dataset.of : null;
    const head = make("h2", {}, `${this.named(place)} `, make("span", { class: "role" }, step.role));
    this.light([], place);
    if (!there) {
      how.replaceChildren(head, make("p", {}, "This step does not count: states are handed on."));
      this.find(".drawing").replaceChildren();
      return;
    }
    const scene = play.scene(track, row);
    const hidden = this.isHidden(track, symbol, row, unit);
    const value = play.value(track, symbol, row, unit);
    const [numbers, totals] = stages(play, scene, step.expression, unit);
    const terms = summands(play, scene, inside(step.expression), unit);
    const lines = [make("p", { class: "symbolic" }, step.text.replaceAll("ₜ₋₁", beforeOf(track))), this.line(numbers)];
    if (!hidden && flat(totals) !== flat(numbers)) lines.push(this.line(totals));
    if (!hidden)
      lines.push(
        make("p", { class: "result" }, "= ", make("strong", {}, shown({ value })), ...this.beside(place, scene, step)),
      );
    how.replaceChildren(
      head,
      ...lines,
      hidden ? this.question(place, value) : "",
      this.products(terms, hidden, "change a number: what depends on it is computed again"),
      ...this.inner(scene, terms, unit, hidden),
      this.changed(),
    );
    this.find(".drawing").replaceChildren(this.drawing(scene, place));
    this.light(terms, place);
    if (held) how.querySelector(`[data-of="${CSS.escape(held)}"]`)?.focus();
  },

  // What is given has no formula: it can be changed.
  explainGiven() {
    const from =
      this.chosen.x === undefined
        ? this.chosen
        : source(this.play, { track: this.play.tracks[0], row: this.row }, { op: "input" }, this.chosen.x);
    const name = this.keyOf(from);
    const words = from.x === undefined ? "where the sequence starts" : "input";
    this.light([{ from }], {});
    const value = from.array.data[from.index];
    this.find(".how").replaceChildren(
      make("h2", {}, `${name} `, make("span", { class: "role" }, words)),
      make("p", { class: "entries" }, this.entry(value, { ...from, name })),
      this.changed(),
    );
  },

  // What stands beside a value, and what the equation gives where the replay has something else.
  beside(place, scene, step) {
    const { play } = this;
    const said = [];
    const mine = play.value(place.track, place.symbol, place.row, place.unit);
    const given = at(evaluate(step.expression, scene), place.unit);
    if (play.isChanged(place.track, place.symbol, place.row, place.unit)) {
      return [
        make("span", { class: "remark" }, `✎ changed here${play.other && `; ${play.other} ran without the change`}`),
      ];
    }
    const theirs = play.sent("beside", place.track, place.symbol, place.row, place.unit);
    const wrong = play.sent("wrong", place.track, place.symbol, place.row, place.unit) === 1;
    if (shown({ value: given }) !== shown({ value: mine }))
      said.push(make("span", { class: "remark" }, `the equation gives ${shown({ value: given })}`));
    if (theirs !== null) {
      const apart = Math.abs(theirs - mine);
      const words = `${wrong ? "✗ " : ""}${play.other} ${shown({ value: theirs })}, |Δ| ${apart ? apart.toExponential(1) : "0"}`;
      said.push(make("span", { class: wrong ? "remark bad" : "remark" }, words));
    }
    return said;
  },

  line(pieces) {
    const line = make("p", { class: "numbers" }, "= ");
    pieces.forEach((piece, k) => {
      if (typeof piece === "string") {
        const negative = piece.endsWith("+ ") && pieces[k + 1]?.value < 0;
        line.append(negative ? piece.slice(0, -2) + "− " : piece);
        return;
      }
      const before = pieces[k - 1];
      const turned = typeof before === "string" && before.endsWith("+ ") && piece.value < 0;
      const text = this.isVeiled(piece) ? "?" : shown(turned ? { ...piece, value: -piece.value } : piece);
      line.append(piece.from ? this.link(text, piece.from) : text);
    });
    return line;
  },

  // A number that can be followed to where it comes from.
  link(text, from) {
    const name = from.given ? this.keyOf(from) : this.named(from);
    const go = () =>
      from.given ? this.find(`.entries [data-of="${CSS.escape(this.keyOf(from))}"]`)?.focus() : this.visit(from);
    return make(
      "button",
      { type: "button", class: "link", title: name, "aria-label": `${text}, ${name}`, onclick: go },
      text,
    );
  },

  keyOf(from) {
    return (
      from.name ??
      (from.x === undefined
        ? `${from.track.names[from.symbol]}[${from.unit}] at the start`
        : `x${subscript(this.row + this.play.first)}[${from.x}]`)
    );
  },

  // Every product: what multiplies, what is multiplied, and a bar for what it adds.
  products(terms, hidden, title) {
    const adds = terms.map((one) => one.factor * one.weight * one.value);
    const most = Math.max(...adds.map(Math.abs), 1e-30);
    const lines = terms.map((one, k) => {
      const cells = [
        make("th", { scope: "row" }, one.name),
        make("td", {}, this.entry(one.weight, one.edit, one.weightFrom, one.edit || one.weightFrom ? [] : one.reads)),
        make(
          "td",
          {},
          one.bias
            ? ""
            : this.entry(
                one.value,
                one.from?.given ? { ...one.from, name: this.keyOf(one.from) } : null,
                one.from,
                one.from ? [] : one.reads,
              ),
        ),
      ];
      if (hidden) return make("tr", {}, ...cells);
      const bar = make("span", { class: adds[k] < 0 ? "bar minus" : "bar plus", "aria-hidden": "true" });
      bar.style.width = `${(50 * Math.abs(adds[k])) / most}%`;
      return make("tr", {}, ...cells, make("td", { class: "adds" }, bar, make("span", {}, shown({ value: adds[k] }))));
    });
    const headings = ["term", "weight", "value", ...(hidden ? [] : ["adds"])].map((text) =>
      make("th", { scope: "col" }, text),
    );
    return make(
      "div",
      { class: "scroll", role: "region", tabindex: "0", "aria-label": "products" },
      make(
        "table",
        { class: "entries" },
        make("caption", {}, title),
        make("thead", {}, make("tr", {}, ...headings)),
        make("tbody", {}, ...lines),
      ),
    );
  },

  // What is summed up inside of a term, where it is taken of a whole sum, as a layer norm is.
  inner(scene, terms, unit, hidden) {
    const found = new Set(terms.map((one) => one.inner).filter(Boolean));
    return [...found].map((e) =>
      this.products(
        summands(this.play, scene, inside(e).op in OF_ALL_UNITS ? e.args[0] : inside(e), unit),
        hidden,
        `inside: ${flat(spelled(e, (leaf) => symbolic(scene, leaf, unit)))}`,
      ),
    );
  },

  // A number of the list: to be changed, to be followed, or as it is.
  entry(value, edit, from, reads) {
    const text = this.isVeiled({ from, reads }) ? "?" : shown({ value });
    if (!edit) return from ? this.link(text, from) : text;
    const changed = this.play.changes.some((one) => one.array === edit.array && one.index === edit.index);
    const take = (event) => {
      const typed = Number(event.target.value);
      if (event.target.value === "" || !Number.isFinite(typed)) event.target.value = shown({ value });
      else {
        this.play.change(edit.array, edit.index, typed, edit.name);
        this.show();
      }
    };
    return make("input", {
      type: "number",
      step: "any",
      value: shown({ value, exact: true }),
      "aria-label": edit.name,
      "data-of": edit.name,
      class: changed && "changed",
      onchange: take,
    });
  },

  changed() {
    const { changes } = this.play;
    if (!changes.length) return "";
    const undo = (some) => () => {
      this.play.undo(some);
      this.show();
    };
    return make(
      "div",
      { class: "changes" },
      make("h3", {}, "Changed"),
      make(
        "ul",
        {},
        ...changes.map((one) =>
          make(
            "li",
            {},
            `${one.name}: ${shown({ value: one.old })} → ${shown({ value: one.array.data[one.index] })} `,
            make("button", { type: "button", onclick: undo([one]) }, "undo"),
          ),
        ),
      ),
      make("button", { type: "button", onclick: undo([...changes]) }, "undo all"),
    );
  },

  // What the chosen number comes from lights up.
  light(terms, place) {
    const froms = terms.flatMap((one) => [one.from, one.weightFrom, ...(one.reads ?? [])]).filter(Boolean);
    const lit = (one) =>
      froms.some(
        (from) =>
          from.track === one.track &&
          from.symbol === one.symbol &&
          from.unit === one.unit &&
          Boolean(from.before || from.given) === one.before,
      );
    for (const { cells } of this.tables) {
      for (const one of cells) {
        one.button.classList.toggle("lit", lit(one));
        const own = !one.before && one.track === place.track && one.symbol === place.symbol && one.unit === place.unit;
        if (own) one.button.setAttribute("aria-current", "true");
        else one.button.removeAttribute("aria-current");
      }
    }
    for (const { button, x } of this.inputs)
      button.classList.toggle(
        "lit",
        froms.some((from) => from.x === x),
      );
  },
});
