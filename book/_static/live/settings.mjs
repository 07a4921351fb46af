// What can be set, and how the whole state stands in the address: #race&k=3&…&lane=dfa,rmsprop,0.003,uniform,1&at=400

export const NAMES = {
  rule: {
    bp: "BP",
    dfa: "DFA",
    fa: "FA",
    relu_features: "fixed features",
    ntk: "fixed gates (NTK)",
  },
  optimizer: {
    sgd: "SGD",
    momentum: "momentum",
    nesterov: "Nesterov",
    adagrad: "Adagrad",
    adadelta: "Adadelta",
    rmsprop: "RMSProp",
    adam: "Adam",
  },
  feedback: {
    uniform: "uniform on ±1/√h",
    standard_uniform: "uniform on [0, 1]",
    gaussian: "N(1/√h, 1/h)",
    standard_gaussian: "N(0, 1)",
    sign: "±1/√h",
  },
  activation: { relu: "ReLU", tanh: "tanh", sigmoid: "sigmoid", linear: "linear" },
};
// Those of the book's figures (dfa_lib.experiments.names).
export const COLOURS = { bp: "#1B86D0", fa: "#8F5BE0", dfa: "#D55E00", relu_features: "#BC4FA5", ntk: "#009E73" };
export const RATES = [-4, -3, -2, -1, 0, 1].flatMap((power) => [1, 2, 3, 5].map((digit) => Number(`${digit}e${power}`)));
export const SCALES = [0.1, 0.3, 1, 3, 10];
export const WIDTHS = [8, 16, 32, 64, 128, 256, 512];
export const STEPS = [500, 1000, 2000, 5000, 10000];
const oneOf = (values) => (text) => values.find((value) => String(value) === text);
const wholeNumber = (low, high) => (text) => (/^\d+$/.test(text) && Number(text) >= low && Number(text) <= high ? Number(text) : undefined);
const number = (low, high) => (text) => (text !== "" && Number(text) >= low && Number(text) <= high ? Number(text) : undefined);

const MOST_STEPS = STEPS.at(-1);
export const MOST_LANES = 3;
// How each field is read, and what is accepted; undefined where the text is not.
const FIELDS = {
  k: [oneOf([1, 2, 3]), "1, 2 or 3"],
  hidden: [oneOf(WIDTHS), WIDTHS.join(", ")],
  layers: [wholeNumber(1, 4), "1 to 4"],
  activation: [oneOf(Object.keys(NAMES.activation)), Object.keys(NAMES.activation).join(", ")],
  seed: [wholeNumber(0, 9999), "0 to 9999"],
  steps: [oneOf(STEPS), STEPS.join(", ")],
  halt: [oneOf([true, false]), "true or false"],
};
const LANE = {
  rule: oneOf(Object.keys(NAMES.rule)),
  optimizer: oneOf(Object.keys(NAMES.optimizer)),
  rate: number(1e-6, 1000),
  feedback: oneOf(Object.keys(NAMES.feedback)),
  scale: number(0, 1000),
};

export const lane = (rule, optimizer, rate, feedback = "uniform", scale = 1) => ({ rule, optimizer, rate, feedback, scale });

export const laneName = ({ rule, optimizer, rate }) => `${NAMES.rule[rule]}, ${NAMES.optimizer[optimizer]} ${rate}`;

// The rule, where only one run has it.
export function shortName(lanes, i) {
  const alone = lanes.filter(({ rule }) => rule === lanes[i].rule).length === 1;
  return alone ? NAMES.rule[lanes[i].rule] : laneName(lanes[i]);
}

// Fixed gates have one hidden layer of ReLUs.
export function allowed(settings) {
  const gated = settings.lanes.some(({ rule }) => rule === "ntk");
  return gated ? { ...settings, layers: 1, activation: "relu" } : settings;
}

export function toAddress(settings, at) {
  const { view, lanes, events } = settings;
  const parts = [view, ...Object.keys(FIELDS).map((name) => `${name}=${settings[name]}`)];
  for (const each of lanes) parts.push(`lane=${Object.keys(LANE).map((name) => each[name]).join(",")}`);
  for (const event of events) parts.push(`event=${event.join(",")}`);
  return `#${[...parts, `at=${at}`].join("&")}`;
}

// The state in an address: { settings, at, problem }; null where the address is of another view.
export function fromAddress(hash, defaults) {
  const [view, ...parts] = hash.replace(/^#/, "").split("&");
  if (view !== defaults.view) return null;
  const settings = { ...defaults, events: [] };
  const lanes = [];
  let at = 0, problem = "";
  const wrong = (name, text, accepted) => (problem = `The address asks for ${name} = “${text}”, which is left out: accepted is ${accepted}.`);
  for (const part of parts) {
    const [name, text = ""] = part.split("=");
    if (name === "at") at = wholeNumber(0, MOST_STEPS)(text) ?? (wrong(name, text, `0 to ${MOST_STEPS}`), 0);
    else if (name === "lane") {
      const given = text.split(",");
      const read = Object.fromEntries(Object.entries(LANE).map(([field, reader], i) => [field, reader(given[i] ?? "")]));
      if (Object.values(read).includes(undefined) || lanes.length === settings.mostLanes)
        wrong(name, text, "rule, optimizer, rate, kind and size of B, for at most " + settings.mostLanes);
      else lanes.push(read);
    } else if (name === "event") {
      const [step, what, which, value] = text.split(",");
      const event = { redraw: [], rate: [Number(which), Number(value)] }[what];
      if (!event || wholeNumber(0, MOST_STEPS)(step) === undefined || event.some((x) => !(x >= 0))) wrong(name, text, "STEP,redraw or STEP,rate,RUN,RATE");
      else settings.events.push([Number(step), what, ...event]);
    } else if (name in FIELDS) {
      const value = FIELDS[name][0](text);
      if (value === undefined) wrong(name, text, FIELDS[name][1]);
      else settings[name] = value;
    } else if (name) wrong(name, text, [...Object.keys(FIELDS), "lane", "event", "at"].join(", "));
  }
  if (lanes.length) settings.lanes = lanes;
  settings.events = settings.events.filter(([, what, which]) => what !== "rate" || which < settings.lanes.length);
  return { settings: allowed(settings), at, problem };
}
