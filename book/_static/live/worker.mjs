// The Web Worker: trains, and tells the page what it measures. The page stays free for the reader meanwhile.
//
// It is told { start, digits }, { play: steps per second }, { pause }, { goal: step }, { event }, { ask: pixels }, and
// { shown } when the page has drawn a frame; it answers with { frame } and { answers }.

import { Runs } from "./run.mjs";
import { readDigits } from "./problems.mjs";

const SLICE_MS = 20; // between looks at what the page wants
const FRAME_MS = 16;
const GOAL_FRAME_MS = 250; // on the way to a step that was asked for
const MISTAKES_MS = 2000;
const FIELD_SIDE = 48;
const MISTAKES = 3;

let runs = null;
let goal = 0;
let speed = Infinity;
let points = []; // measured since the last frame
let due = 0;
let lastTick = 0, lastFrame = 0, lastMistakes = 0;
let frameEvery = FRAME_MS;
let shown = true; // the last frame: pages that draw slowly get fewer
let timer = null;
let current = 0; // which start this is
const answer = (message) => postMessage({ ...message, id: current });

const HANDLERS = {
  start({ start, digits, at, id }) {
    halt();
    current = id;
    runs = new Runs(start, digits && readDigits(digits));
    points = [runs.measure()];
    send(at === 0);
    if (at > 0) run(at, Infinity, GOAL_FRAME_MS);
  },
  play: ({ play }) => run(runs.settings.steps, play, FRAME_MS),
  goal: ({ goal }) => run(goal, Infinity, GOAL_FRAME_MS),
  shown: () => (shown = true),
  pause() {
    halt();
    send();
  },
  event({ event }) {
    const now = [runs.step, ...event];
    runs.apply(now);
    runs.settings.events.push(now);
    points.push(runs.measure());
    answer({ event: now });
    send(timer === null);
  },
  ask: ({ ask }) => answer({ answers: runs.ask(ask) }),
};

addEventListener("message", ({ data }) => HANDLERS[Object.keys(data).find((name) => name in HANDLERS)](data));

function halt() {
  clearTimeout(timer);
  timer = null;
}

function run(until, stepsPerSecond, milliseconds) {
  halt();
  frameEvery = milliseconds;
  [goal, speed] = [Math.min(until, runs.settings.steps), stepsPerSecond];
  [due, lastTick] = [0, performance.now()];
  tick();
}

function tick() {
  const began = performance.now();
  due = speed === Infinity ? Infinity : Math.min(due + ((began - lastTick) * speed) / 1000, speed / 4 + 1);
  lastTick = began;
  while (runs.step < goal && !runs.finished && due >= 1 && performance.now() - began < SLICE_MS) {
    runs.advance();
    due -= 1;
    // By steps, not by time: the same moments are measured whenever a run is repeated.
    if (runs.step % runs.settings.every === 0) points.push(runs.measure());
  }
  const over = runs.step >= goal || runs.finished;
  if (over || (points.length && shown && performance.now() - lastFrame > frameEvery)) send(over);
  timer = over ? null : setTimeout(tick, pauseBefore());
}

// Until the next step is due, or the page may have drawn: each timer is memory until it is collected.
function pauseBefore() {
  if (speed === Infinity) return 0;
  return points.length ? FRAME_MS : Math.max(0, (1000 * (1 - due)) / speed);
}

function send(over = true) {
  const { settings } = runs;
  const last = points.at(-1);
  const now = last?.step === runs.step ? last : over ? runs.measure() : last;
  const frame = { step: runs.step, now, points, over, finished: runs.finished };
  if (settings.view === "turn") frame.units = runs.units();
  if (settings.view === "clusters") {
    frame.field = runs.field(FIELD_SIDE);
    if (runs.step === 0) frame.examples = { X: runs.problem.points.X.values, y: runs.problem.points.y.values };
  }
  if (settings.view === "race" && (over || performance.now() - lastMistakes > MISTAKES_MS)) {
    frame.mistakes = runs.mistakes(MISTAKES);
    lastMistakes = performance.now();
  }
  if (over) frame.digest = runs.digest();
  answer({ frame });
  [points, shown, lastFrame] = [[], false, performance.now()];
}
