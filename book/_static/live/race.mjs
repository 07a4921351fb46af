// View 2: two or three runs on the same stacks of real digits. Is the sum of the digits odd?

import { chart } from "./chart.mjs";
import { button, canvas, decimal, degrees, element, mean, percent, set } from "./dom.mjs";
import { COLOURS, lane, shortName } from "./settings.mjs";

const raceStart = {
  view: "race", problem: "parity", k: 3, hidden: 64, layers: 1, activation: "relu", seed: 1, steps: 2000,
  halt: true, every: 20, mostLanes: 3, lanes: [lane("dfa", "rmsprop", 0.003), lane("bp", "rmsprop", 0.003), lane("relu_features", "rmsprop", 0.003)], events: [],
};

export const race = {
  name: "race",
  defaults: raceStart,
  speed: Infinity,
  fields: ["k", "hidden", "layers"],
  presets: [
    {
      name: "Three rules",
      says: "The same weights at the start, the same stacks. DFA sends the error through a random matrix, BP through the weights; fixed features train the last layer alone.",
      settings: {},
    },
    {
      name: "RMSProp closes the gap",
      says: "Two digits. With plain SGD, DFA leaves chance later than BP; with RMSProp, as early.",
      settings: { k: 2, steps: 1000, lanes: [lane("dfa", "sgd", 0.1), lane("bp", "sgd", 0.1), lane("dfa", "rmsprop", 0.003)] },
    },
    {
      name: "Too high a rate",
      says: "Both have the same rate. BP learns with it; DFA begins to, and then explodes: around step 1,000 its loss leaves the chart.",
      settings: { lanes: [lane("dfa", "sgd", 0.3), lane("bp", "sgd", 0.3)], halt: false },
    },
    {
      name: "Lazy methods cannot do parity",
      says: "Fixed features and fixed gates do not learn features. Three digits are beyond them; try one digit in the settings.",
      settings: { lanes: [lane("dfa", "rmsprop", 0.003), lane("relu_features", "rmsprop", 0.003), lane("ntk", "rmsprop", 0.003)] },
    },
    {
      name: "A new B in mid-training",
      says: "At step 600, B is drawn anew. The angle jumps to about 90° and falls again: the network learns the new way back.",
      settings: { lanes: [lane("dfa", "rmsprop", 0.003)], events: [[600, "redraw"]] },
    },
  ],
  build({ ask }) {
    const charts = [
      chart({ title: "Accuracy on held-out digits", read: (m) => m.accuracy, low: 0.4, high: 1, mark: [0.5, "guessing"], format: percent }),
      chart({ title: "Loss", read: (m) => m.loss, mark: [Math.log(2), "guessing"], format: (x) => decimal(x, 1) }),
      chart({ title: "Angle of B and W₂", read: (m) => m.weightAngles && mean(m.weightAngles), high: 120, mark: [90, "90°"], format: degrees }),
      chart({ title: "Angle of updates with BP’s", read: (m) => m.gradientAngles && mean(m.gradientAngles), high: 120, mark: [90, "90°"], format: degrees }),
      chart({ title: "S: weight with B’s sign", read: (m) => m.agreement && mean(m.agreement), high: 1, mark: [0.5, "half"], format: percent }),
      chart({ title: "Weights moved", read: (m) => m.moved, format: percent }),
    ];
    const ways = element("div", { class: "live-ways" });
    const wrong = element("div", { class: "live-wrong" });
    const pad = makePad(ask);
    const made = element("div", { class: "live-stage" },
      element("div", { class: "live-charts" }, ...charts.map((each) => each.element)),
      element("div", { class: "live-beside" },
        element("figure", {}, element("figcaption", {}, "The error’s way back: an arrow is as wide as what arrives"), ways),
        pad.element),
      element("div", { class: "live-wrong-all" }, element("p", { class: "live-strong" }, "Held-out stacks that each run gets wrong"), wrong));

    function prepare(settings) {
      ways.replaceChildren(...settings.lanes.map((each, i) => makeWay(each, shortName(settings.lanes, i), settings.layers)));
      wrong.replaceChildren();
      pad.prepare(settings);
    }

    function draw({ now, mistakes }, history, settings) {
      for (const each of charts) each.draw(history, settings.lanes, settings.steps);
      [...ways.children].forEach((way, i) => drawWay(way, shortName(settings.lanes, i), now.lanes[i]));
      if (mistakes) wrong.replaceChildren(...mistakes.map((each, i) => mistakesOf(shortName(settings.lanes, i), each)));
      if (mistakes) pad.again();
    }

    return { element: made, prepare, draw, answer: pad.answer };
  },
};

// ---- the error's way ----

const GAP = 74;

function makeWay({ rule }, title, layers) {
  const names = ["X", ...Array.from({ length: layers }, (_, i) => `h${layers > 1 ? i + 1 : ""}`), "ŷ", "e"];
  const width = GAP * (names.length - 1) + 50;
  const boxes = names.flatMap((name, i) => [
    element("rect", { x: 8 + GAP * i, y: 22, width: 34, height: 24, rx: 4, class: "live-box" }),
    element("text", { x: 25 + GAP * i, y: 38, "text-anchor": "middle" }, name),
  ]);
  const forwards = names.slice(1).map((_, i) => element("path", { d: `M ${44 + GAP * i} 34 H ${GAP * (i + 1) + 4}`, class: "live-forward" }));
  const backwards = Array.from({ length: layers }, (_, i) => {
    const to = 25 + GAP * (i + 1);
    // From the error straight to a layer, or from the layer above.
    const from = rule === "dfa" || i === layers - 1 ? 25 + GAP * (layers + 2) : 25 + GAP * (i + 2);
    const low = 58 + (rule === "dfa" ? 9 * (layers - i) : 12);
    return element("path", { d: `M ${from} 48 C ${from} ${low + 14}, ${to} ${low + 14}, ${to} 49`, class: "live-back", stroke: COLOURS[rule], "data-layer": i });
  });
  return element("svg", { viewBox: `0 0 ${width} ${74 + 9 * layers}`, role: "img", class: "live-way", "aria-label": "The error on its way back through the layers; not measured yet." },
    element("text", { x: 8, y: 12, class: "live-strong" }, title), ...forwards, ...boxes, ...backwards);
}

function drawWay(way, title, { signals }) {
  // A decade of what arrives is 2.2 units of width.
  for (const arrow of way.querySelectorAll(".live-back")) {
    const size = signals[arrow.dataset.layer];
    set(arrow, { "stroke-width": size > 0 ? Math.max(1, 12 + 2.2 * Math.log10(size)) : 0 });
  }
  const sizes = signals.map((size, i) => `layer ${i + 1}: ${size ? size.toExponential(1) : "nothing"}`).join(", ");
  set(way, { "aria-label": `The error sent back by ${title}, as a root mean square: ${sizes}` });
}

// ---- stacks as pictures ----

function picture(pixels, k, label) {
  const surface = element("canvas", { width: 8 * k, height: 8, role: "img", "aria-label": label, class: "live-digits" });
  const context = surface.getContext("2d");
  pixels.forEach((ink, i) => {
    const within = i % 64;
    context.fillStyle = `rgb(0 0 0 / ${ink / 16})`;
    context.fillRect(8 * Math.floor(i / 64) + (within % 8), Math.floor(within / 8), 1, 1);
  });
  return surface;
}

const inkOf = (digit) => Array.from(globalThis.dfaDigits.test.pixels.slice(64 * digit, 64 * digit + 64), (letter) => letter.charCodeAt(0) - 97);

function mistakesOf(name, wrong) {
  const shown = wrong.map(({ digits, answer }) => {
    const labels = digits.map((digit) => globalThis.dfaDigits.test.labels[digit]);
    const sum = labels.reduce((a, b) => a + b);
    const told = `${labels.join(" + ")} = ${sum}; it says ${answer > 0.5 ? "odd" : "even"}, ${percent(Math.max(answer, 1 - answer))} sure`;
    return element("li", {}, picture(digits.flatMap(inkOf), labels.length, `Digits ${labels.join(", ")}`), element("span", {}, told));
  });
  return element("div", {}, element("p", { class: "live-strong" }, name), shown.length ? element("ul", {}, ...shown) : element("p", {}, "none of 500"));
}

// ---- a digit of one's own ----

// Eight by eight pixels. A pen darkens the pixel under it and, less, those beside it, as in the scanned digits.
function makePad(ask) {
  const CELLS = 8;
  let ink = Array(64).fill(0), at = 27, k = 3, lanes = [];
  const surface = canvas(160, 160, "");
  const said = element("p", { class: "live-answer", "aria-live": "polite" });
  const others = element("span", { class: "live-others" });
  set(surface.element, { tabindex: 0, role: "application", class: "live-canvas live-pad", "aria-label": "Draw a digit: arrow keys move, the space bar inks" });
  const made = element("div", { class: "live-draw" }, element("p", { class: "live-strong" }, "Draw the first digit yourself"),
    element("div", {}, surface.element, others), element("div", {}, button("Clear", () => { ink.fill(0); changed(); })), said);

  function inkAt(column, row, strength) {
    for (const [dx, dy, share] of [[0, 0, 16], [1, 0, 5], [-1, 0, 5], [0, 1, 5], [0, -1, 5]]) {
      const [c, r] = [column + dx, row + dy];
      if (c >= 0 && c < CELLS && r >= 0 && r < CELLS) ink[8 * r + c] = Math.max(ink[8 * r + c], Math.min(16, share * strength));
    }
    changed();
  }

  function show() {
    const { context, width } = surface.ready();
    const cell = width / CELLS;
    ink.forEach((value, i) => {
      context.fillStyle = `rgb(0 0 0 / ${value / 16})`;
      context.fillRect((i % CELLS) * cell, Math.floor(i / CELLS) * cell, cell + 0.3, cell + 0.3);
    });
    if (document.activeElement !== surface.element) return;
    context.strokeStyle = "#D55E00";
    context.lineWidth = 2;
    context.strokeRect((at % CELLS) * cell + 1, Math.floor(at / CELLS) * cell + 1, cell - 2, cell - 2);
  }

  function changed() {
    show();
    again();
  }

  function again() {
    if (ink.some((value) => value > 0)) ask(ink.map((value) => globalThis.dfaDigits.levels[value]));
    else said.textContent = "";
  }

  const point = (event) => {
    const box = surface.element.getBoundingClientRect();
    inkAt(Math.floor((CELLS * (event.clientX - box.left)) / box.width), Math.floor((CELLS * (event.clientY - box.top)) / box.height), 1);
  };
  set(surface.element, {
    onpointerdown: (event) => {
      surface.element.setPointerCapture(event.pointerId);
      point(event);
    },
    onpointermove: (event) => event.buttons && point(event),
    onkeydown: (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -8, ArrowDown: 8 }[event.key];
      if (move && at + move >= 0 && at + move < 64) at += move;
      else if (event.key === " ") inkAt(at % CELLS, Math.floor(at / CELLS), 1);
      else if (!move) return;
      event.preventDefault();
      show();
    },
    onfocus: show,
    onblur: show,
  });

  return {
    element: made,
    prepare(settings) {
      ({ k, lanes } = settings);
      others.textContent = k > 1 ? `and ${k - 1} held-out ${k > 2 ? "digits" : "digit"} beside it` : "";
      said.textContent = "";
      requestAnimationFrame(show);
    },
    again,
    answer(answers) {
      said.textContent = answers.map((answer, i) => `${shortName(lanes, i)}: ${answer > 0.5 ? "odd" : "even"}, ${percent(Math.max(answer, 1 - answer))} sure`).join("; ");
    },
  };
}
