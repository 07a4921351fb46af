// View 3: clusters in the plane, and the boundary between the network's answers.

import { chart } from "./chart.mjs";
import { canvas, decimal, degrees, element, mean, percent, theme, write } from "./dom.mjs";
import { lane, shortName } from "./settings.mjs";

const clustersStart = {
  view: "clusters", problem: "clusters", k: 1, hidden: 64, layers: 1, activation: "relu", seed: 1, steps: 1000,
  halt: true, every: 4, mostLanes: 2, lanes: [lane("dfa", "adam", 0.01), lane("relu_features", "adam", 0.01)], events: [],
};
// Colours for class 0 and 1, those of the book's figures (dfa_book.plots.LABEL_COLOURS).
const CLASSES = [[169, 123, 0], [91, 107, 224]];
const css = (colour) => `rgb(${colour.join(" ")})`;

export const clusters = {
  name: "clusters",
  defaults: clustersStart,
  speed: 60,
  fields: ["hidden", "layers"],
  presets: [
    {
      name: "Aligning",
      says: "DFA moves its hidden units until the boundary goes round the clusters; the angle of B and W₂ falls meanwhile. Fixed features have to do with the kinks that they were given.",
      settings: {},
    },
    {
      name: "Backpropagation beside it",
      says: "The same start and the same points: the two rules find different boundaries.",
      settings: { lanes: [lane("dfa", "sgd", 1), lane("bp", "sgd", 1)] },
    },
  ],
  build() {
    const maps = [0, 1].map(() => {
      const caption = element("figcaption", {});
      const surface = canvas(300, 300, "The plane of the points, coloured by the answers; not measured yet.");
      return { caption, surface, element: element("figure", { class: "live-map" }, caption, surface.element) };
    });
    const charts = [
      chart({ title: "Accuracy on new points", read: (m) => m.accuracy, high: 1, mark: [0.5, "guessing"], format: percent }),
      chart({ title: "Loss", read: (m) => m.loss, mark: [Math.log(2), "guessing"], format: (x) => decimal(x, 1) }),
      chart({ title: "Angle of B and W₂", read: (m) => m.weightAngles && mean(m.weightAngles), high: 120, mark: [90, "90°"], format: degrees }),
    ];
    const made = element("div", { class: "live-stage" },
      element("div", { class: "live-maps" }, ...maps.map((each) => each.element)),
      element("div", { class: "live-charts" }, ...charts.map((each) => each.element)));

    function draw(frame, history, settings) {
      maps.forEach((each, i) => {
        each.element.hidden = i >= settings.lanes.length;
        if (each.element.hidden || !frame.field[i]) return;
        write(each.caption, shortName(settings.lanes, i));
        each.surface.element.setAttribute("aria-label", `The plane of the points, coloured by the answers of ${each.caption.textContent}, right on ${percent(frame.now.lanes[i].accuracy)} of new points.`);
        drawField(each.surface, frame.field[i], frame.examples);
      });
      for (const each of charts) each.draw(history, settings.lanes, settings.steps);
    }

    return { element: made, draw };
  },
};

function drawField(surface, answers, examples) {
  const { context, width } = surface.ready();
  const { paper, ink } = theme();
  const side = Math.sqrt(answers.length), cell = width / side;
  // A pixel a point, made larger by the browser, which smooths it.
  surface.field ??= { small: new OffscreenCanvas(side, side), pixels: new ImageData(side, side) };
  const { small, pixels } = surface.field;
  answers.forEach((answer, i) => pixels.data.set([...CLASSES[Number(answer > 0.5)], 300 * Math.abs(answer - 0.5)], 4 * i));
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.drawImage(small, 0, 0, width, width);
  // The boundary: in each square of four points, from one crossing of ½ to the other.
  context.strokeStyle = ink;
  context.lineWidth = 2;
  context.beginPath();
  for (let row = 0; row + 1 < side; row++)
    for (let column = 0; column + 1 < side; column++) {
      const first = row * side + column;
      const odd = [first, first + 1, first + side, first + side + 1].filter((i) => answers[i] > 0.5).length;
      if (odd % 4 === 0) continue; // most squares
      const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([dx, dy]) => [column + dx, row + dy, answers[(row + dy) * side + column + dx] - 0.5]);
      const crossings = corners.flatMap(([x, y, here], i) => {
        const [x2, y2, there] = corners[(i + 1) % 4];
        const share = here / (here - there);
        return here > 0 === there > 0 ? [] : [[(x + share * (x2 - x) + 0.5) * cell, (y + share * (y2 - y) + 0.5) * cell]];
      });
      crossings.forEach((point, i) => (i % 2 ? context.lineTo(...point) : context.moveTo(...point)));
    }
  context.stroke();
  // The points stay where they are: drawn once, and again for another size or theme.
  const looks = `${width} ${devicePixelRatio} ${paper}`;
  if (surface.points?.examples !== examples || surface.points.looks !== looks)
    surface.points = { examples, looks, picture: pointsPicture(examples, width, paper) };
  context.drawImage(surface.points.picture, 0, 0, width, width);
}

// Labels differ in shape, too: disks and rings.
function pointsPicture({ X, y }, width, paper) {
  const side = Math.round(width * devicePixelRatio), scale = side / 1.2;
  const picture = new OffscreenCanvas(side, side), context = picture.getContext("2d");
  context.lineWidth = 1.5 * devicePixelRatio;
  y.forEach((label, i) => {
    context.beginPath();
    context.arc((X[3 * i + 1] + 0.6) * scale, (0.6 - X[3 * i + 2]) * scale, 3 * devicePixelRatio, 0, 2 * Math.PI);
    [context.fillStyle, context.strokeStyle] = label ? [css(CLASSES[1]), paper] : [paper, css(CLASSES[0])];
    context.fill();
    context.stroke();
  });
  return picture;
}
