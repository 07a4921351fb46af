// A small chart of one measure against the step, a line for each run.

import { COLOURS, shortName } from "./settings.mjs";
import { canvas, theme } from "./dom.mjs";

// Runs are told apart without colour, too.
export const DASHES = [[], [7, 4], [2, 3]];

// read(lane) is the measure, from `low` to `high`; without `high`, to the largest value. `mark` is [value, name].
export function chart({ title, read, low = 0, high, mark, format }) {
  const made = canvas(260, 150, `Chart of ${title.toLowerCase()} against the training step, not measured yet.`);
  const figure = document.createElement("figure");
  figure.className = "live-chart";
  const caption = document.createElement("figcaption");
  caption.textContent = title;
  figure.append(caption, made.element);

  function draw(history, lanes, steps) {
    const { context, width, height } = made.ready();
    const { ink, rule } = theme();
    const values = high === undefined ? history.flatMap((point) => point.lanes.map(read)).filter(Number.isFinite) : [];
    const top = high ?? Math.min(Math.max(0.8, ...values), 8);
    context.font = "11px sans-serif";
    const left = Math.max(34, Math.ceil(context.measureText(format(top)).width) + 6), bottom = height - 18;
    const x = (step) => left + ((width - left - 6) * step) / Math.max(steps, 1);
    const y = (value) => bottom - ((bottom - 6) * (Math.min(value, top) - low)) / (top - low);
    context.fillStyle = ink;
    context.strokeStyle = rule;
    context.lineWidth = 1;
    const line = (points) => {
      context.beginPath();
      points.forEach(([px, py], i) => (i ? context.lineTo(px, py) : context.moveTo(px, py)));
      context.stroke();
    };
    line([[left, 6], [left, bottom], [width - 6, bottom]]);
    context.textAlign = "right";
    context.fillText(format(top), left - 4, 14);
    context.fillText(format(low), left - 4, bottom);
    context.fillText(steps.toLocaleString("en"), width - 6, height - 4);
    context.textAlign = "left";
    context.fillText("step 0", left, height - 4);
    if (mark) {
      context.setLineDash([2, 3]);
      context.strokeStyle = ink;
      line([[left, y(mark[0])], [width - 6, y(mark[0])]]);
      context.setLineDash([]);
      context.textAlign = "right";
      context.fillText(mark[1], width - 8, y(mark[0]) - 3);
    }
    context.lineWidth = 2;
    lanes.forEach(({ rule: name }, i) => {
      context.strokeStyle = COLOURS[name];
      context.setLineDash(DASHES[i]);
      line(history.map((point) => [x(point.step), read(point.lanes[i])]).filter(([, value]) => Number.isFinite(value)).map(([px, value]) => [px, y(value)]));
    });
    context.setLineDash([]);
    const last = history.at(-1);
    const told = last ? lanes.map((_, i) => `${shortName(lanes, i)} ${format(read(last.lanes[i]))}`).join(", ") : "nothing";
    made.element.setAttribute("aria-label", `Chart of ${title.toLowerCase()} against the training step. Now: ${told}.`);
  }

  return { element: figure, draw };
}
