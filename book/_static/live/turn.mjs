// View 1: 64 hidden units whose output weights turn toward a random matrix, on the problem of chapter 1.

import { chart } from "./chart.mjs";
import { decimal, degrees, element, percent, set, write } from "./dom.mjs";
import { lane } from "./settings.mjs";

const SIDE = 8, CELL = 30;

const turnStart = {
  view: "turn", problem: "signs", k: 1, hidden: 64, layers: 1, activation: "relu", seed: 1, steps: 1000,
  halt: true, every: 2, mostLanes: 1, lanes: [lane("dfa", "sgd", 0.5)], events: [],
};

export const turn = {
  name: "turn",
  defaults: turnStart,
  speed: 60,
  fields: [],
  rules: ["bp", "dfa", "fa", "relu_features"],
  presets: [
    {
      name: "Aligning",
      says: "The matrix B is random and stays as it is. Watch the angle fall below 90°: the weights W₂ turn toward B.",
      settings: {},
    },
    {
      name: "A new B in mid-training",
      says: "At step 100, B is drawn anew. The angle jumps back to about 90°, and the weights turn to the new matrix, as long as there is error to learn from.",
      settings: { events: [[100, "redraw"]] },
    },
    {
      name: "Wrong signs are muted",
      says: "Rings are units whose error arrives with the wrong sign. Watch them shrink: the network does not correct their signs, it gives them less to say. S, their share’s complement, rises.",
      settings: { seed: 2 },
      speed: 15,
    },
    {
      name: "Backpropagation needs no B",
      says: "The same start, with the error sent back through W₂ itself. There is no matrix to turn to, so there are no signs to agree.",
      settings: { lanes: [lane("bp", "sgd", 0.5)] },
    },
  ],
  build() {
    const cells = Array.from({ length: SIDE * SIDE }, (_, j) =>
      element("circle", { cx: CELL * ((j % SIDE) + 0.5), cy: CELL * (Math.floor(j / SIDE) + 0.5), r: 1 }));
    const grid = element("svg", { viewBox: `0 0 ${SIDE * CELL} ${SIDE * CELL}`, role: "img", class: "live-cells", "aria-label": "64 hidden units, sized by their output weights; not measured yet." }, ...cells);
    const key = element("p", { class: "live-key" },
      element("span", { class: "live-agree" }, "●"), " the sign of W₂ is that of B, ", element("span", { class: "live-disagree" }, "○"), " it is not; the size is |W₂|");
    const dial = makeDial();
    const charts = [
      chart({ title: "Loss", read: (m) => m.loss, mark: [Math.log(2), "guessing"], format: (x) => decimal(x, 1) }),
      chart({ title: "Angle of B and W₂", read: (m) => m.weightAngles?.[0], high: 120, mark: [90, "90°"], format: degrees }),
    ];
    const made = element("div", { class: "live-stage live-turn" },
      element("figure", {}, element("figcaption", {}, "64 hidden units"), grid, key),
      element("figure", {}, element("figcaption", {}, "Angle of B and W₂"), dial.element),
      element("div", { class: "live-charts" }, ...charts.map((each) => each.element)));

    function draw({ units: { B, W }, now }, history, settings) {
      const most = Math.max(...W.map(Math.abs));
      let agreeing = 0;
      cells.forEach((cell, j) => {
        const agrees = B && B[j] * W[j] > 0;
        agreeing += agrees;
        set(cell, { r: 1 + ((CELL / 2 - 2.5) * Math.abs(W[j])) / most, class: !B ? "live-plain" : agrees ? "live-agree" : "live-disagree" });
      });
      set(grid, { "aria-label": B ? `${agreeing} of 64 units have the sign of B; they hold ${percent(now.lanes[0].agreement[0])} of the weight.` : "64 units, sized by their output weights; this rule uses no B." });
      dial.draw(now.lanes[0].weightAngles?.[0], now.lanes[0].gradientAngles?.[0]);
      for (const each of charts) each.draw(history, settings.lanes, settings.steps);
    }

    return { element: made, draw };
  },
};

// Half a circle from 0° at the right to 180° at the left. A thin needle is the angle of the updates.
function makeDial() {
  const [x, y, radius] = [120, 120, 92];
  const place = (angle, r) => [x + r * Math.cos((angle * Math.PI) / 180), y - r * Math.sin((angle * Math.PI) / 180)];
  const arc = (from, to) => `M ${place(from, radius).join(" ")} A ${radius} ${radius} 0 0 0 ${place(to, radius).join(" ")}`;
  const text = (angle, said, r = radius + 14) => element("text", { x: place(angle, r)[0], y: place(angle, r)[1] + 4, "text-anchor": "middle" }, said);
  const thin = element("line", { class: "live-needle-thin", x1: x, y1: y });
  const needle = element("line", { class: "live-needle", x1: x, y1: y });
  const said = element("text", { x, y: y + 36, "text-anchor": "middle", class: "live-big" });
  const updates = element("text", { x, y: y + 54, "text-anchor": "middle" });
  const svg = element("svg", { viewBox: "-14 0 268 180", role: "img", class: "live-dial", "aria-label": "The angle between the matrix B and W₂; not measured yet." },
    element("path", { d: arc(0, 90), class: "live-arc-good" }), element("path", { d: arc(90, 180), class: "live-arc-bad" }),
    text(0, "0°", radius + 16), text(90, "90°", radius + 12), text(180, "180°", radius + 22), element("text", { x: x + 62, y: y + 24, "text-anchor": "middle" }, "helps"), element("text", { x: x - 62, y: y + 24, "text-anchor": "middle" }, "hurts"),
    thin, needle, said, updates);

  function draw(angle, ofUpdates) {
    const none = !Number.isFinite(angle);
    for (const [line, value, r] of [[needle, angle, radius - 6], [thin, ofUpdates, radius - 6]]) {
      const [x2, y2] = place(Number.isFinite(value) ? value : 90, r);
      set(line, { x2, y2, visibility: Number.isFinite(value) ? "visible" : "hidden" });
    }
    write(said, none ? "no B" : degrees(angle));
    write(updates, none ? "" : `updates: ${degrees(ofUpdates)} (thin)`);
    set(svg, { "aria-label": none ? "This rule uses no matrix B." : `B and W₂ are ${degrees(angle)} apart; the update of W₁ is ${degrees(ofUpdates)} from backpropagation’s.` });
  }

  return { element: svg, draw };
}
