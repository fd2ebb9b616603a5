// Predict first: values are hidden until somebody has said what they are.

Object.assign(Player.prototype, {
  isHidden(track, symbol, row, unit) {
    return (
      this.predict.checked &&
      track.back === Boolean(this.play.back) &&
      (track.back ? row <= this.row : row >= this.row) &&
      !this.solved.has([this.play.tracks.indexOf(track), symbol, row, unit].join())
    );
  },

  // Whether a number says what is still to be found out, or is made of it.
  isVeiled({ from, reads = [] }) {
    return [from, ...(reads ?? [])].some(
      (one) => one && !one.given && this.isHidden(one.track, one.symbol, one.row, one.unit),
    );
  },

  // The value is asked for, and right to as many decimals as were typed.
  question(place, value) {
    const answer = make("p", { role: "status" });
    const entry = make("input", {
      type: "text",
      inputmode: "decimal",
      "aria-label": "your value",
      "data-of": "your value",
      size: "9",
    });
    const solve = () => {
      this.solved.add([this.play.tracks.indexOf(place.track), place.symbol, place.row, place.unit].join());
      this.show();
    };
    const check = (event) => {
      event.preventDefault();
      const text = entry.value.trim().replace(",", ".").replace("−", "-");
      const decimals = Math.max((text.split(".")[1] ?? "").length, 1);
      if (text === "" || !Number.isFinite(Number(text))) answer.textContent = "type a number, such as 0.25";
      else if (Math.abs(Number(text) - value) <= 0.5000001 * 10 ** -decimals) {
        solve();
        this.find(".how .result")?.prepend("✓ right ");
      } else answer.textContent = `✗ not yet: it is ${value > Number(text) ? "larger" : "smaller"}`;
    };
    const give = make("button", { type: "button", onclick: solve }, "show it");
    return make(
      "form",
      { class: "question", onsubmit: check },
      make("label", {}, "= ", entry),
      " ",
      make("button", { type: "submit" }, "check"),
      " ",
      give,
      answer,
    );
  },
});
