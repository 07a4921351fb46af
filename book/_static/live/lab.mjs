// What all views share: the worker, play, pause, step, reset, speed, settings, presets, the address, and what is
// said to a screen reader. A view brings { name, defaults, presets, build }.

import { button, choice, decimal, degrees, element, mean, numberField, percent, write } from "./dom.mjs";
import { allowed, COLOURS, fromAddress, lane, laneName, NAMES, RATES, SCALES, shortName, STEPS, toAddress, WIDTHS } from "./settings.mjs";
import { DASHES } from "./chart.mjs";

const ANNOUNCE_MS = 6000; // a person's pace
const CALM_MS = 1000; // between pictures, where the reader asks for little motion
const CHART_POINTS = 500; // more than a chart has pixels
const SPEEDS = [[2, "2 steps / s"], [15, "15 steps / s"], [60, "60 steps / s"], [Infinity, "fastest"]];
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const swatch = ({ rule }, i) =>
  element("svg", { viewBox: "0 0 28 8", width: 28, height: 8, "aria-hidden": "true" },
    element("line", { x1: 0, x2: 28, y1: 4, y2: 4, stroke: COLOURS[rule], "stroke-width": 3, "stroke-dasharray": DASHES[i].join(" ") }));

export function mount(place, view, workerText, digits) {
  const asked = fromAddress(location.hash, view.defaults);
  let settings = null, problem = "";
  let speed = view.speed, playing = false, step = 0, history = [], latest = null, drawn = 0, announced = 0, pending = null;
  let id = 0, ready = null, resume = false;
  performance.now(); // before there is a worker: Firefox 153 can hang where both ask for the time first at once
  const worker = new Worker(URL.createObjectURL(new Blob([workerText], { type: "text/javascript" })));

  const tell = (message) => ready.then(() => worker.postMessage(message));

  // ---- the frame around a view ----

  const play = button("▶ Play", () => (playing ? pause() : start()), { class: "live-play" });
  const stepButton = button("Step", () => goTo(step + 1));
  const reset = button("Reset", () => begin({ settings: withRatesNow(), at: 0 }), { title: "The same start again" });
  const copied = element("span", { class: "live-copied", role: "status" });
  const link = button("Copy link", copyLink, { title: "A link to this moment" });
  const counter = element("span", { class: "live-counter" });
  const redraw = button("Redraw B now", () => tell({ event: ["redraw"] }), { class: "live-redraw" });
  const speedField = choice("Speed", SPEEDS, speed, (text) => {
    speed = Number(text);
    if (playing) start();
  });
  const bar = element("div", { class: "live-bar", role: "group", "aria-label": "Training" }, play, stepButton, reset, redraw, speedField, link, copied);
  const presetSays = element("p", { class: "live-says" }, view.presets[0].says);
  const presets = element("div", { class: "live-presets", role: "group", "aria-label": "Things to see" }, ...view.presets.map((preset) =>
    button(preset.name, () => {
      presetSays.textContent = preset.says;
      speed = preset.speed ?? view.speed;
      speedField.querySelector("select").value = String(speed);
      begin({ settings: { ...view.defaults, events: [], ...preset.settings }, at: 0 });
      start();
    }),
  ));
  const status = element("p", { class: "live-status" });
  const announcer = element("p", { class: "live-unseen", "aria-live": "polite" });
  const table = element("table", { class: "live-table" });
  const controls = element("details", { class: "live-settings" });
  const panel = view.build({ ask: (pixels) => tell({ ask: pixels }) });
  place.replaceChildren(...(place.dataset.small === undefined ? [presets, presetSays] : []), bar, element("div", { class: "live-scroll", tabindex: 0, role: "region", "aria-label": "Measures" }, table), counter, status, panel.element, controls, announcer);
  place.classList.add("live-on");

  // ---- what a reader does ----

  function start() {
    if (latest?.finished) begin({ settings: withRatesNow(), at: 0 });
    playing = true;
    place.dataset.digest = "";
    tell({ play: speed });
    showPlaying();
  }

  function pause() {
    tell({ pause: true });
  }

  function goTo(goal) {
    playing = false;
    place.dataset.digest = "";
    tell({ goal });
    showPlaying();
  }

  // Reset begins with the rates that are set now.
  function withRatesNow() {
    const lanes = settings.lanes.map((each, i) => {
      const changes = settings.events.filter(([, what, which]) => what === "rate" && which === i);
      return changes.length ? { ...each, rate: changes.at(-1)[3] } : each;
    });
    return { ...settings, lanes, events: [] };
  }

  function restart(state) {
    settings = allowed(structuredClone(state.settings));
    [history, latest, step, problem, playing, resume] = [[], null, 0, state.problem ?? "", false, false];
    place.dataset.digest = "";
    const message = { start: settings, at: state.at, id: (id += 1) };
    ready = digits(settings.problem).then((data) => worker.postMessage({ ...message, digits: data }));
    ready.catch(({ message }) => (status.textContent = `Nothing can be trained here: ${message}.`));
    showControls();
    makeTable();
    showPlaying();
  }

  // As restart, at the reader's wish: the address follows.
  function begin(state) {
    const going = playing;
    restart(state);
    address(state.at);
    if (going && state.keepGoing) start();
  }

  const change = (changes) => begin({ settings: { ...withRatesNow(), ...changes }, at: 0, keepGoing: true });
  const changeLane = (i, changes) => change({ lanes: withRatesNow().lanes.map((each, j) => (i === j ? { ...each, ...changes } : each)) });

  // The same settings and the same step: the same bits.
  function address(moment) {
    try {
      window.history.replaceState(null, "", toAddress(settings, moment));
    } catch {
      // Some browsers refuse when a page asks too often; the link still copies.
    }
  }

  function copyLink() {
    const text = location.href.split("#")[0] + toAddress(settings, step);
    address(step);
    const done = () => (copied.textContent = "Copied.");
    const failed = () => (copied.textContent = "The link is in the address bar.");
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, failed);
    else failed();
    setTimeout(() => (copied.textContent = ""), 4000);
  }

  // ---- what it shows ----

  function showPlaying() {
    play.textContent = playing ? "❚❚ Pause" : "▶ Play";
    place.classList.toggle("live-playing", playing);
  }

  function showControls() {
    const names = (of, only) => Object.entries(NAMES[of]).filter(([name]) => !only || only.includes(name));
    const lanes = settings.lanes.map((each, i) =>
      element("fieldset", {}, element("legend", {}, swatch(each, i), ` Run ${i + 1}`),
        choice("Rule", names("rule", view.rules), each.rule, (rule) => changeLane(i, { rule })),
        choice("Optimizer", names("optimizer"), each.optimizer, (optimizer) => changeLane(i, { optimizer })),
        choice("Rate", RATES.map((rate) => [rate, String(rate)]), rateNow(i), (rate) => changeRate(i, Number(rate))),
        choice("B is drawn", names("feedback"), each.feedback, (feedback) => changeLane(i, { feedback })),
        choice("Size of B", SCALES.map((scale) => [scale, `× ${scale}`]), each.scale, (scale) => changeLane(i, { scale: Number(scale) })),
        settings.lanes.length > 1 && button("Remove", () => change({ lanes: withRatesNow().lanes.filter((_, j) => j !== i) })),
      ),
    );
    const numbers = (values) => values.map((value) => [value, value.toLocaleString("en")]);
    const common = element("fieldset", {}, element("legend", {}, settings.lanes.length > 1 ? "All runs" : "Network"),
      view.fields.includes("k") && choice("Digits in a stack", numbers([1, 2, 3]), settings.k, (k) => change({ k: Number(k) })),
      view.fields.includes("hidden") && choice("Hidden units", numbers(WIDTHS), settings.hidden, (hidden) => change({ hidden: Number(hidden) })),
      view.fields.includes("layers") && choice("Hidden layers", numbers([1, 2, 3, 4]), settings.layers, (layers) => change({ layers: Number(layers) })),
      choice("Activation", names("activation"), settings.activation, (activation) => change({ activation })),
      numberField("Seed", settings.seed, 0, 9999, (seed) => change({ seed: Number(seed) })),
      choice("Ends after (steps)", numbers(STEPS), settings.steps, (steps) => change({ steps: Number(steps) })),
      choice("A run that becomes unstable", [[true, "stops"], [false, "goes on"]], settings.halt, (halt) => change({ halt: halt === "true" })),
    );
    const add = settings.lanes.length < settings.mostLanes
      ? button("Add a run", () => change({ lanes: [...withRatesNow().lanes, lane("bp", "sgd", 0.1)] }), { class: "live-add" })
      : "";
    // The field that was changed keeps the focus.
    const fields = () => [...controls.querySelectorAll("select, input")];
    const focused = fields().indexOf(document.activeElement);
    controls.replaceChildren(element("summary", {}, "Settings"), element("div", { class: "live-fields" }, common, ...lanes, add));
    fields()[focused]?.focus();
    redraw.hidden = !settings.lanes.some(({ rule }) => rule === "dfa" || rule === "fa");
    panel.prepare?.(settings);
  }

  const rateNow = (i) => withRatesNow().lanes[i].rate;

  // A rate may change in mid-training; all else begins anew.
  function changeRate(i, rate) {
    if (step === 0) changeLane(i, { rate });
    else tell({ event: ["rate", i, rate] });
  }

  worker.addEventListener("message", ({ data }) => {
    if (data.id !== id) return; // of a run that was given up
    if (data.event) {
      settings.events.push(data.event);
      address(data.event[0]);
    }
    if (data.answers) panel.answer?.(data.answers, settings);
    if (!data.frame) return;
    const { frame } = data;
    step = frame.step;
    const apart = settings.every * Math.ceil(settings.steps / settings.every / CHART_POINTS);
    history.push(...frame.points.filter((point) => point.step % apart === 0));
    latest = { examples: latest?.examples, ...frame };
    if (frame.over) {
      if (playing) address(step);
      playing = false;
      showPlaying();
      goOn();
    }
    if (frame.over) show(); // at once: browsers draw pages rarely that they take for hidden
    else pending ??= requestAnimationFrame(show);
  });
  worker.addEventListener("error", ({ message }) => (status.textContent = `The training stopped: ${message}`));

  function show() {
    pending = null;
    if (!latest) return;
    const now = performance.now();
    if (calm.matches && playing && now - drawn < CALM_MS) {
      pending = requestAnimationFrame(show);
      return;
    }
    drawn = now;
    worker.postMessage({ shown: true });
    panel.draw(latest, [...history, latest.now], settings);
    const examples = settings.problem === "parity" ? `, ${(step * 128).toLocaleString("en")} stacks seen` : "";
    write(counter, `Step ${step.toLocaleString("en")} of ${settings.steps.toLocaleString("en")}${examples}`);
    showTable();
    const said = [problem, ...latest.now.lanes.map(unstableSentence)].filter(Boolean).join(" ");
    const end = latest.finished && !said ? "The run has ended: reset it, or let it end later in the settings." : "";
    const text = [said, end].filter(Boolean).join(" ");
    if (status.textContent !== text) {
      status.textContent = text;
      announced = 0;
    }
    if (latest.over || now - announced > ANNOUNCE_MS) {
      announced = now;
      const measures = latest.now.lanes.map((each, i) => {
        const turned = each.weightAngles ? `, angle of B and the weights ${degrees(mean(each.weightAngles))}` : "";
        return `${laneName(settings.lanes[i])}: accuracy ${percent(each.accuracy)}${turned}`;
      });
      announcer.textContent = `Step ${step}. ${measures.join("; ")}. ${text}`;
    }
    [place.dataset.step, place.dataset.digest] = [latest.step, latest.digest ?? ""]; // the digest is known where it rests
  }

  function unstableSentence({ unstable, loss }, i) {
    if (!unstable) return "";
    const why = unstable.finite ? `its loss has grown to ${decimal(loss, 1)} nats, and that of guessing is 0.7` : "its weights have grown beyond all numbers";
    const after = settings.halt || !unstable.finite ? "It was stopped; " : "";
    return `Run ${i + 1}, ${shortName(settings.lanes, i)}, became unstable before step ${unstable.step}: ${why}. ${after}${after ? "a" : "A"} lower rate will do.`;
  }

  const COLUMNS = [
    ["accuracy", (m) => percent(m.accuracy)],
    ["loss", (m) => decimal(m.loss, 3)],
    ["angle B, W₂", (m) => (m.weightAngles ? m.weightAngles.map(degrees).join(" ") : "–")],
    ["angle of updates", (m) => (m.gradientAngles ? m.gradientAngles.map(degrees).join(" ") : "–")],
    ["S", (m) => (m.agreement ? m.agreement.map(percent).join(" ") : "–")],
    ["weights moved", (m) => percent(m.moved)],
  ];

  let rows = []; // of the table: a run's name, and what is measured of it

  function makeTable() {
    const head = element("tr", {}, element("th", { scope: "col" }, "run"), ...COLUMNS.map(([name]) => element("th", { scope: "col" }, name)));
    rows = settings.lanes.map(() => ({ name: element("span"), cells: COLUMNS.map(() => element("td", {}, "–")) }));
    table.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows.map(({ name, cells }, i) =>
      element("tr", {}, element("th", { scope: "row" }, swatch(settings.lanes[i], i), " ", name), ...cells))));
    nameRuns();
  }

  const nameRuns = () => rows.forEach(({ name }, i) => write(name, laneName({ ...settings.lanes[i], rate: rateNow(i) })));

  function showTable() {
    nameRuns();
    rows.forEach(({ cells }, i) => COLUMNS.forEach(([, read], j) => write(cells[j], read(latest.now.lanes[i]))));
  }

  new MutationObserver(() => latest && (pending ??= requestAnimationFrame(show))).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  new ResizeObserver(() => latest && (pending ??= requestAnimationFrame(show))).observe(place);
  addEventListener("hashchange", () => {
    const state = fromAddress(location.hash, view.defaults);
    if (!state || location.hash === toAddress(settings, step)) return;
    restart(state);
  });
  // Nothing is missed in another tab: training rests there, and goes on when the reader is back.
  document.addEventListener("visibilitychange", () => {
    resume ||= document.hidden && playing;
    if (document.hidden && playing) pause();
    else goOn();
  });

  function goOn() {
    if (!resume || document.hidden || playing) return;
    resume = false;
    if (!latest.finished) start();
  }

  if (asked) place.scrollIntoView();
  restart(asked ?? fromAddress(place.dataset.state ?? "", view.defaults) ?? { settings: view.defaults, at: 0 });
}
