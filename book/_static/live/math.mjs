// The mathematics of dfa_lib in JavaScript: forward pass, loss, learning rules, optimizers, alignment.
//
// A network is an object of matrices named as in the equations: W1, b1, …, WL, bL; feedback is B1, …; fixed
// gates are V1, c1. A matrix is { rows, columns, values }, row by row in double precision. Batches are rows.
// tests/site/test_live.py compares every rule, activation and optimizer with the library's, step by step.

export function matrix(rows, columns, values = new Float64Array(rows * columns)) {
  return { rows, columns, values };
}

export const copy = (parameters) =>
  Object.fromEntries(Object.entries(parameters).map(([name, m]) => [name, matrix(m.rows, m.columns, m.values.slice())]));

// ---- products ----

// out = a b, or aᵀ b with `transposed`. Two rows of a by four of b at a time: the inner loop then reads and writes
// less for each multiplication, which is what bounds its speed.
function product(a, b, transposed = false) {
  const rows = transposed ? a.columns : a.rows;
  const inner = transposed ? a.rows : a.columns;
  const [down, along] = transposed ? [1, a.columns] : [a.columns, 1];
  const n = b.columns;
  const out = matrix(rows, n);
  const A = a.values, B = b.values, C = out.values;
  const pairs = rows - (rows % 2), fours = inner - (inner % 4);
  for (let i = 0; i < pairs; i += 2)
    for (let k = 0; k < fours; k += 4) {
      const p = i * down + k * along, q = p + down;
      const p0 = A[p], p1 = A[p + along], p2 = A[p + 2 * along], p3 = A[p + 3 * along];
      const q0 = A[q], q1 = A[q + along], q2 = A[q + 2 * along], q3 = A[q + 3 * along];
      const b0 = k * n, b1 = b0 + n, b2 = b1 + n, b3 = b2 + n, above = i * n, below = above + n;
      for (let j = 0; j < n; j++) {
        const x0 = B[b0 + j], x1 = B[b1 + j], x2 = B[b2 + j], x3 = B[b3 + j];
        C[above + j] += p0 * x0 + p1 * x1 + p2 * x2 + p3 * x3;
        C[below + j] += q0 * x0 + q1 * x1 + q2 * x2 + q3 * x3;
      }
    }
  // The rest: an odd row, and what is beyond the last four.
  for (let i = 0; i < rows; i++)
    for (let k = i < pairs ? fours : 0; k < inner; k++) {
      const x = A[i * down + k * along];
      for (let j = 0; j < n; j++) C[i * n + j] += x * B[k * n + j];
    }
  return out;
}

export function transpose(m) {
  const out = matrix(m.columns, m.rows);
  for (let i = 0; i < m.rows; i++) for (let j = 0; j < m.columns; j++) out.values[j * m.rows + i] = m.values[i * m.columns + j];
  return out;
}

function columnSums(m) {
  const out = matrix(1, m.columns);
  for (let i = 0; i < m.rows; i++) for (let j = 0; j < m.columns; j++) out.values[j] += m.values[i * m.columns + j];
  return out;
}

function timesInPlace(m, other) {
  for (let i = 0; i < m.values.length; i++) m.values[i] *= other.values[i];
  return m;
}

const map = (m, f) => matrix(m.rows, m.columns, m.values.map(f));

// ---- networks ----

const sigmoid = (a) => 1 / (1 + Math.exp(-a));

export const ACTIVATIONS = {
  // At a = 0 the ReLU has no derivative; 0 is taken.
  relu: { f: (a) => (a > 0 ? a : 0), derivative: (a) => (a > 0 ? 1 : 0) },
  tanh: { f: Math.tanh, derivative: (a) => 1 - Math.tanh(a) ** 2 },
  sigmoid: { f: sigmoid, derivative: (a) => sigmoid(a) * (1 - sigmoid(a)) },
  linear: { f: (a) => a, derivative: () => 1 },
};

export const depth = (parameters) => Object.keys(parameters).filter((name) => name[0] === "W").length;

function affine(h, W, b) {
  const a = product(h, W);
  if (b) for (let i = 0; i < a.rows; i++) for (let j = 0; j < a.columns; j++) a.values[i * a.columns + j] += b.values[j];
  return a;
}

// hidden[l] is h_l, with hidden[0] = X; pre[l - 1] is a_l; the last of them holds the logits.
export function forward(parameters, X, activation = "relu") {
  const hidden = [X], pre = [], L = depth(parameters);
  for (let l = 1; l <= L; l++) {
    pre.push(affine(hidden[l - 1], parameters[`W${l}`], parameters[`b${l}`]));
    if (l < L) hidden.push(map(pre[l - 1], ACTIVATIONS[activation].f));
  }
  return { hidden, pre, logits: pre[L - 1] };
}

// ReLU gates that a second, frozen first layer V1, c1 opens and shuts.
export function gatedForward(parameters, X) {
  const gates = affine(X, parameters.V1, parameters.c1);
  const hidden = timesInPlace(affine(X, parameters.W1, parameters.b1), map(gates, ACTIVATIONS.relu.derivative));
  const logits = affine(hidden, parameters.W2, parameters.b2);
  return { hidden: [X, hidden], pre: [gates, logits], logits };
}

// Mean of log(1 + eᵃ) - y a, written so that neither tail overflows.
export function crossEntropy(logits, y) {
  let sum = 0;
  for (let i = 0; i < y.values.length; i++) {
    const a = logits.values[i];
    sum += Math.max(a, 0) - y.values[i] * a + Math.log1p(Math.exp(-Math.abs(a)));
  }
  return sum / y.values.length;
}

// A logit of exactly 0 counts as class 0.
export function accuracy(logits, y) {
  let right = 0;
  for (let i = 0; i < y.values.length; i++) right += (logits.values[i] > 0) === (y.values[i] > 0.5);
  return right / y.values.length;
}

// ---- learning rules ----

// e = (sigmoid(a_L) - y) / n
function outputError(logits, y) {
  return matrix(y.rows, 1, logits.values.map((a, i) => (sigmoid(a) - y.values[i]) / y.rows));
}

function layerGradients(found, parameters, l, h, delta) {
  found[`W${l}`] = product(h, delta, true);
  if (parameters[`b${l}`]) found[`b${l}`] = columnSums(delta);
}

// Update directions, given how the error travels: transport(l, e, δ_{l+1}) is what arrives at hidden layer l.
// `signals`, where it is given, receives what arrives at each hidden layer.
function backward(parameters, passed, y, activation, transport, signals) {
  const found = {};
  const error = outputError(passed.logits, y);
  let delta = error;
  for (let l = depth(parameters); l > 0; l--) {
    layerGradients(found, parameters, l, passed.hidden[l - 1], delta);
    if (l > 1) {
      const arrived = transport(l - 1, error, delta);
      if (signals) signals[l - 1] = rootMeanSquare(arrived);
      delta = timesInPlace(arrived, map(passed.pre[l - 2], ACTIVATIONS[activation].derivative));
    }
  }
  return found;
}

function rootMeanSquare(m) {
  let sum = 0;
  for (const value of m.values) sum += value * value;
  return Math.sqrt(sum / m.values.length);
}

function backpropagation(parameters, X, y, activation, signals) {
  const transport = (l, error, delta) => product(delta, transpose(parameters[`W${l + 1}`]));
  return backward(parameters, forward(parameters, X, activation), y, activation, transport, signals);
}

// Lillicrap et al. (2014): B_l is shaped as W_{l+1}ᵀ.
function feedbackAlignment(parameters, X, y, activation, signals) {
  const transport = (l, error, delta) => product(delta, parameters[`B${l}`]);
  return backward(parameters, forward(parameters, X, activation), y, activation, transport, signals);
}

// Nøkland (2016): B_l is (1, units of l).
function directFeedbackAlignment(parameters, X, y, activation, signals) {
  const transport = (l, error) => product(error, parameters[`B${l}`]);
  return backward(parameters, forward(parameters, X, activation), y, activation, transport, signals);
}

// Only the output layer is trained.
function fixedFeatures(parameters, X, y, activation) {
  const found = {}, L = depth(parameters);
  const passed = forward(parameters, X, activation);
  layerGradients(found, parameters, L, passed.hidden[L - 1], outputError(passed.logits, y));
  return found;
}

// W1, b1 and b2 are trained; the logit is linear in them, because the gates are fixed.
function fixedGates(parameters, X, y) {
  const found = {};
  const passed = gatedForward(parameters, X);
  const error = outputError(passed.logits, y);
  const delta = product(error, transpose(parameters.W2));
  layerGradients(found, parameters, 1, X, timesInPlace(delta, map(passed.pre[0], ACTIVATIONS.relu.derivative)));
  if (parameters.b2) found.b2 = columnSums(error);
  return found;
}

// `direct` says of a rule with random matrices whether they come from the output (DFA) or the layer above (FA).
export const RULES = {
  bp: { gradients: backpropagation, forward },
  fa: { gradients: feedbackAlignment, forward, direct: false },
  dfa: { gradients: directFeedbackAlignment, forward, direct: true },
  relu_features: { gradients: fixedFeatures, forward, fixed: true },
  ntk: { gradients: fixedGates, forward: gatedForward, fixed: true, gated: true },
};

// ---- optimizers ----

// Each updates theta and its state in place, given the gradient g and the rate.
function sgd(theta, g, state, rate) {
  for (let i = 0; i < theta.length; i++) theta[i] -= rate * g[i];
}

const GAMMA = 0.9;

function momentum(theta, g, { v }, rate) {
  for (let i = 0; i < theta.length; i++) {
    v[i] = GAMMA * v[i] + rate * g[i];
    theta[i] -= v[i];
  }
}

function adagrad(theta, g, { G }, rate, epsilon = 1e-8) {
  for (let i = 0; i < theta.length; i++) {
    G[i] += g[i] * g[i];
    theta[i] -= (rate * g[i]) / Math.sqrt(G[i] + epsilon);
  }
}

function adadelta(theta, g, { squares, updates }, rate, rho = 0.9, epsilon = 1e-6) {
  for (let i = 0; i < theta.length; i++) {
    squares[i] = rho * squares[i] + (1 - rho) * g[i] * g[i];
    const update = (Math.sqrt(updates[i] + epsilon) / Math.sqrt(squares[i] + epsilon)) * g[i];
    updates[i] = rho * updates[i] + (1 - rho) * update * update;
    theta[i] -= rate * update;
  }
}

function rmsprop(theta, g, { squares }, rate, rho = 0.9, epsilon = 1e-8) {
  for (let i = 0; i < theta.length; i++) {
    squares[i] = rho * squares[i] + (1 - rho) * g[i] * g[i];
    theta[i] -= (rate * g[i]) / Math.sqrt(squares[i] + epsilon);
  }
}

// powers holds β₁ᵗ and β₂ᵗ, where t counts updates.
function adam(theta, g, { m, v, powers }, rate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8) {
  powers[0] *= beta1;
  powers[1] *= beta2;
  for (let i = 0; i < theta.length; i++) {
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    theta[i] -= (rate * (m[i] / (1 - powers[0]))) / (Math.sqrt(v[i] / (1 - powers[1])) + epsilon);
  }
}

const zeros = (...names) => (n) => Object.fromEntries(names.map((name) => [name, new Float64Array(n)]));

export const OPTIMIZERS = {
  sgd: { update: sgd, start: zeros() },
  momentum: { update: momentum, start: zeros("v") },
  nesterov: { update: momentum, start: zeros("v"), looksAhead: true },
  adagrad: { update: adagrad, start: zeros("G") },
  adadelta: { update: adadelta, start: zeros("squares", "updates") },
  rmsprop: { update: rmsprop, start: zeros("squares") },
  adam: { update: adam, start: (n) => ({ ...zeros("m", "v")(n), powers: Float64Array.of(1, 1) }) },
};

// One update, in place, of every parameter that has a gradient. gradients(parameters) is called once, at the
// point that the optimizer asks for: Nesterov's rule looks ahead to θ - γ v.
export function step(optimizer, parameters, state, gradients, rate) {
  const { update, start, looksAhead } = OPTIMIZERS[optimizer];
  let point = parameters;
  if (looksAhead) {
    const ahead = ([name, { v }]) => [name, { ...parameters[name], values: parameters[name].values.map((x, i) => x - GAMMA * v[i]) }];
    point = { ...parameters, ...Object.fromEntries(Object.entries(state).map(ahead)) };
  }
  for (const [name, g] of Object.entries(gradients(point))) {
    state[name] ??= start(g.values.length);
    update(parameters[name].values, g.values, state[name], rate);
  }
}

// ---- alignment ----

// The angle between two lists of numbers, in degrees; NaN where one has no length.
export function angle(a, b) {
  let dot = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return (Math.acos(Math.max(-1, Math.min(1, dot / Math.sqrt(aa * bb)))) * 180) / Math.PI;
}

// The weights whose place B_l takes: W_{l+1}ᵀ for FA, the whole path (W_{l+1} … W_L)ᵀ for DFA.
export function standsFor(parameters, l, direct) {
  let path = parameters[`W${l + 1}`];
  if (direct) for (let above = l + 2; above <= depth(parameters); above++) path = product(path, parameters[`W${above}`]);
  return transpose(path);
}

export const weightAngle = (parameters, l, direct) =>
  angle(parameters[`B${l}`].values, standsFor(parameters, l, direct).values);

// The share of |W| on units that receive their error with the right sign: S = Σ |W_j| [B_j W_j > 0] / Σ |W_j|.
export function signAgreement(parameters, l, direct) {
  const B = parameters[`B${l}`].values, W = standsFor(parameters, l, direct).values;
  let agree = 0, all = 0;
  for (let j = 0; j < W.length; j++) {
    all += Math.abs(W[j]);
    if (B[j] * W[j] > 0) agree += Math.abs(W[j]);
  }
  return agree / all;
}

// The angle of a rule's update of W_l with backpropagation's, for l = 1, …, hidden layers.
export function gradientAngles(rule, parameters, X, y, activation, signals) {
  const ours = RULES[rule].gradients(parameters, X, y, activation, signals);
  const exact = backpropagation(parameters, X, y, activation);
  return Array.from({ length: depth(parameters) - 1 }, (_, i) => angle(ours[`W${i + 1}`].values, exact[`W${i + 1}`].values));
}
