// The three problems: examples to train on, examples to measure on. All numbers come from the run's seed.

import { matrix } from "./math.mjs";
import { stream } from "./random.mjs";

// A problem has `inputs`; draw(random), the next batch; `held`, the examples that loss and accuracy are measured
// on; and `probe`, a batch for the angle between updates.
export function makeProblem(settings, digits) {
  return { signs, parity, clusters }[settings.problem](settings, digits);
}

const batchOf = (rows) => ({
  X: matrix(rows.length, rows[0].x.length, Float64Array.from(rows.flatMap(({ x }) => [...x]))),
  y: matrix(rows.length, 1, Float64Array.from(rows, ({ y }) => y)),
});

// Chapter 1: do the first two of six normal inputs have the same sign? One batch of 256, again and again.
function signs({ seed }) {
  const random = stream(seed, "signs");
  const example = () => {
    const x = Array.from({ length: 6 }, random.normal);
    return { x, y: Number(x[0] * x[1] > 0) };
  };
  const all = batchOf(Array.from({ length: 256 }, example));
  return { inputs: 6, draw: () => all, held: all, probe: all };
}

// Chizat and Bach's clusters (dfa_lib.data.clusters): 4 of 9 have label 1; the first input is a constant 1.
function clusters({ seed }) {
  const random = stream(seed, "clusters");
  const labels = [1, 1, 1, 1, 0, 0, 0, 0, 0];
  for (let i = 8; i > 0; i--) {
    const j = random.whole(i + 1);
    [labels[i], labels[j]] = [labels[j], labels[i]];
  }
  const centre = (i) => (3 * i + 1) / 8 - 0.5;
  const example = () => {
    const cluster = random.whole(9);
    const distance = random.uniform() / 8, direction = random.uniform(0, 2 * Math.PI);
    const x = centre(Math.floor(cluster / 3)) + distance * Math.cos(direction);
    return { x: [1, x, centre(cluster % 3) + distance * Math.sin(direction)], y: labels[cluster] };
  };
  const all = batchOf(Array.from({ length: 256 }, example));
  const held = batchOf(Array.from({ length: 1000 }, example));
  return { inputs: 3, draw: () => all, held, probe: all, points: all };
}

const BATCH = 128, HELD_OUT = 500;

// Parity of the sum of k digits side by side: training digits to train on, test digits to measure on.
function parity({ seed, k }, digits) {
  const stacks = ({ images, labels }, samples, random) => {
    const pixels = digits.pixels;
    const X = matrix(samples, k * pixels), y = matrix(samples, 1), index = [];
    for (let i = 0; i < samples; i++) {
      for (let digit = 0; digit < k; digit++) {
        const chosen = random.whole(labels.length);
        X.values.set(images.subarray(chosen * pixels, (chosen + 1) * pixels), (i * k + digit) * pixels);
        y.values[i] = (y.values[i] + labels[chosen]) % 2;
        index.push(chosen);
      }
    }
    return { X, y, index };
  };
  const held = stacks(digits.test, HELD_OUT, stream(seed, "held-out stacks"));
  const probe = stacks(digits.test, BATCH, stream(seed, "probe"));
  return { inputs: k * digits.pixels, draw: (random) => stacks(digits.train, BATCH, random), held, probe };
}

// The bundled digits, as the site ships them: a letter a pixel, "a" for white.
export function readDigits({ levels, train, test }) {
  const read = ({ pixels, labels }) => ({
    images: Float64Array.from(pixels, (letter) => levels[letter.charCodeAt(0) - 97]),
    labels: Uint8Array.from(labels),
  });
  return { levels, pixels: train.pixels.length / train.labels.length, train: read(train), test: read(test) };
}
