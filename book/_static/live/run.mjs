// Runs that train side by side: from the same weights, on the same batches; what is measured of them.

import * as math from "./math.mjs";
import { makeProblem } from "./problems.mjs";
import { stream } from "./random.mjs";

const COIN_LOSS = Math.log(2);
// Runs that end well can be at three times the loss of guessing for a while (dfa_lib.experiments.outcomes).
const UNSTABLE = 5 * COIN_LOSS;

// How each kind of feedback is drawn, from a = 1/√(units) (dfa_lib.feedback).
const FEEDBACK = {
  uniform: (a, random) => random.uniform(-a, a),
  standard_uniform: (a, random) => random.uniform(0, 1),
  gaussian: (a, random) => a + a * random.normal(),
  standard_gaussian: (a, random) => random.normal(),
  sign: (a, random) => a * Math.sign(random.uniform(-a, a)),
};

function drawn(rows, columns, draw) {
  return math.matrix(rows, columns, Float64Array.from({ length: rows * columns }, draw));
}

function drawNetwork(widths, random) {
  const parameters = {};
  for (let l = 1; l < widths.length; l++) {
    const bound = widths[l - 1] ** -0.5, draw = () => random.uniform(-bound, bound);
    parameters[`W${l}`] = drawn(widths[l - 1], widths[l], draw);
    parameters[`b${l}`] = drawn(1, widths[l], draw);
  }
  return parameters;
}

function drawFeedback(parameters, widths, { rule, feedback, scale }, random) {
  const { direct } = math.RULES[rule];
  if (direct === undefined) return;
  for (let l = 1; l < widths.length - 1; l++) {
    const a = widths[l] ** -0.5;
    parameters[`B${l}`] = drawn(direct ? 1 : widths[l + 1], widths[l], () => scale * FEEDBACK[feedback](a, random));
  }
}

export class Runs {
  constructor(settings, digits) {
    this.settings = settings;
    this.problem = makeProblem(settings, digits);
    this.widths = [this.problem.inputs, ...Array(settings.layers).fill(settings.hidden), 1];
    this.batches = stream(settings.seed, "batches");
    this.step = 0;
    this.redraws = 0;
    this.lanes = settings.lanes.map((lane) => {
      const parameters = drawNetwork(this.widths, stream(settings.seed, "weights"));
      if (math.RULES[lane.rule].gated) {
        const gates = drawNetwork(this.widths.slice(0, 2), stream(settings.seed, "gates"));
        Object.assign(parameters, { V1: gates.W1, c1: gates.b1 });
      }
      drawFeedback(parameters, this.widths, lane, stream(settings.seed, "feedback"));
      return { ...lane, parameters, start: math.copy(parameters), state: {}, unstable: null, stopped: false };
    });
    this.applyDue();
  }

  // Events are [step, what, …]: a new B, or another rate, as soon as that step is reached.
  apply([, what, lane, value]) {
    if (what === "rate") this.lanes[lane].rate = value;
    if (what !== "redraw") return;
    this.redraws += 1;
    for (const each of this.lanes)
      drawFeedback(each.parameters, this.widths, each, stream(this.settings.seed, `feedback ${this.redraws}`));
  }

  applyDue() {
    for (const event of this.settings.events) if (event[0] === this.step) this.apply(event);
  }

  advance() {
    const { X, y } = this.problem.draw(this.batches);
    for (const lane of this.lanes) {
      if (lane.stopped) continue;
      const { gradients } = math.RULES[lane.rule];
      math.step(lane.optimizer, lane.parameters, lane.state, (point) => gradients(point, X, y, this.settings.activation), lane.rate);
    }
    this.step += 1;
    this.applyDue();
  }

  get finished() {
    return this.step >= this.settings.steps || this.lanes.every((lane) => lane.stopped);
  }

  // What is shown of each run; of one that has become non-finite, what was measured before.
  measure() {
    return { step: this.step, lanes: this.lanes.map((lane) => this.measureLane(lane)) };
  }

  measureLane(lane) {
    if (lane.stopped) return lane.measured;
    const { activation } = this.settings, { X, y } = this.problem.held, { probe } = this.problem;
    const { forward, direct, gradients } = math.RULES[lane.rule];
    const { logits } = forward(lane.parameters, X, activation);
    const loss = math.crossEntropy(logits, y);
    const seen = X === probe.X ? logits : forward(lane.parameters, probe.X, activation).logits;
    const trainLoss = math.crossEntropy(seen, probe.y);
    if (!(trainLoss < UNSTABLE && Number.isFinite(loss))) {
      lane.unstable ??= { step: this.step, finite: Number.isFinite(loss + trainLoss) };
      lane.stopped = this.settings.halt || !Number.isFinite(loss + trainLoss);
      if (!Number.isFinite(loss + trainLoss)) return (lane.measured = { ...lane.measured, unstable: lane.unstable });
    }
    const layers = this.settings.layers, signals = {}, random = direct !== undefined;
    const ours = [lane.parameters, probe.X, probe.y, activation, signals];
    const gradientAngles = random ? math.gradientAngles(lane.rule, ...ours) : void gradients(...ours);
    const measured = {
      loss,
      accuracy: math.accuracy(logits, y),
      moved: this.moved(lane),
      unstable: lane.unstable,
      signals: Array.from({ length: layers }, (_, i) => signals[i + 1] ?? 0),
    };
    if (random) {
      measured.gradientAngles = gradientAngles;
      measured.weightAngles = Array.from({ length: layers }, (_, i) => math.weightAngle(lane.parameters, i + 1, direct));
      measured.agreement = Array.from({ length: layers }, (_, i) => math.signAgreement(lane.parameters, i + 1, direct));
    }
    return (lane.measured = measured);
  }

  // ‖W - W at the start‖ / ‖W at the start‖, over all weights and biases.
  moved({ parameters, start }) {
    let change = 0, length = 0;
    for (const name of Object.keys(start)) {
      if (name[0] !== "W" && name[0] !== "b") continue;
      start[name].values.forEach((value, i) => {
        change += (parameters[name].values[i] - value) ** 2;
        length += value ** 2;
      });
    }
    return Math.sqrt(change / length);
  }

  // ---- what single views draw ----

  // A hidden unit's feedback and output weight, of the first run.
  units() {
    const { parameters } = this.lanes[0];
    return { B: parameters.B1 ? [...parameters.B1.values] : null, W: [...parameters.W2.values] };
  }

  // The answers of each run on a square of `side` × `side` points, row by row from above.
  field(side) {
    const X = math.matrix(side * side, 3);
    const at = (i) => (1.2 * (i + 0.5)) / side - 0.6;
    for (let i = 0; i < side * side; i++) X.values.set([1, at(i % side), -at(Math.floor(i / side))], 3 * i);
    return this.lanes.map((lane) => this.answers(lane, X));
  }

  // Held-out stacks that a run gets wrong: which digits, and the answer, the probability of an odd sum.
  mistakes(count) {
    const { held } = this.problem, { k } = this.settings;
    return this.lanes.map((lane) => {
      const wrong = [];
      const answers = this.answers(lane, held.X);
      for (let i = 0; i < answers.length && wrong.length < count; i++)
        if (answers[i] > 0.5 !== held.y.values[i] > 0.5)
          wrong.push({ digits: held.index.slice(i * k, (i + 1) * k), answer: answers[i] });
      return wrong;
    });
  }

  // Each run's answer for a stack whose first digit is given by its pixels, the others those of a held-out stack.
  ask(pixels) {
    const { held } = this.problem;
    const X = math.matrix(1, held.X.columns, held.X.values.slice(0, held.X.columns));
    X.values.set(pixels);
    return this.lanes.map((lane) => this.answers(lane, X)[0]);
  }

  answers({ rule, parameters }, X) {
    const { logits } = math.RULES[rule].forward(parameters, X, this.settings.activation);
    return Array.from(logits.values, (a) => 1 / (1 + Math.exp(-a)));
  }

  // Every bit of every parameter, in eight hexadecimal digits (FNV-1a).
  digest() {
    let hash = 2166136261;
    for (const { parameters } of this.lanes)
      for (const { values } of Object.values(parameters))
        for (const word of new Uint32Array(values.buffer)) hash = Math.imul(hash ^ word, 16777619);
    return (hash >>> 0).toString(16).padStart(8, "0");
  }
}
