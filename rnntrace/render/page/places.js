// The values that are out of tolerance, in the order in which they are computed.

Object.assign(Player.prototype, {
  listWrong() {
    const { play } = this;
    const places = play.tracks.flatMap((track) =>
      Object.entries(track.wrong).flatMap(([symbol, { shape, data }]) => {
        const found = [];
        data.forEach((flag, k) => {
          const row = Math.floor(k / shape[2] / shape[1]);
          if (flag && Math.floor(k / shape[2]) % shape[1] === play.item)
            found.push({ track, symbol, row, unit: play.units[k % shape[2]] });
        });
        return found;
      }),
    );
    const early = (place) => [
      play.order(place.track).indexOf(place.row),
      place.track.layer,
      place.track.cell.steps.findIndex((step) => step.symbol === place.symbol),
    ];
    places.sort(
      (a, b) =>
        early(a)
          .map((value, k) => value - early(b)[k])
          .find(Boolean) ?? 0,
    );
    const list = this.find(".places");
    const MOST = 200;
    list.hidden = !places.length;
    if (!places.length) return;
    const more = places.length > MOST ? `, the first ${MOST}` : "";
    list.replaceChildren(
      make("h2", {}, `✗ ${places.length} value${places.length > 1 ? "s" : ""} out of tolerance${more}`),
      make(
        "ol",
        {},
        ...places
          .slice(0, MOST)
          .map((place) =>
            make("li", {}, make("button", { type: "button", onclick: () => this.visit(place) }, this.named(place))),
          ),
      ),
    );
  },
});
