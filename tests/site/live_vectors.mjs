// Trains by the page's own mathematics what dfa_lib has trained: node live_vectors.mjs MATH VECTORS.json writes,
// for each case, the largest error relative to the library's parameters after 1, 10 and 100 steps.

export function largestErrors(math, cases) {
  const matrix = ([rows, columns, values]) => math.matrix(rows, columns, Float64Array.from(values));
  const matrices = (given) => Object.fromEntries(Object.entries(given).map(([name, m]) => [name, matrix(m)]));
  return cases.map(({ rule, optimizer, activation, rate, start, batches, expected, measures }) => {
    const parameters = matrices(start), state = {}, errors = {};
    for (let t = 0; t <= 100; t++) {
      for (const [name, m] of Object.entries(matrices(expected[t] ?? {})))
        errors[`${name} after ${t}`] = relative(parameters[name].values, m.values);
      if (t === 100) break;
      const [X, y] = batches[t % batches.length].map(matrix);
      math.step(optimizer, parameters, state, (point) => math.RULES[rule].gradients(point, X, y, activation), rate);
    }
    const [X, y] = batches[0].map(matrix);
    const { logits } = math.RULES[rule].forward(parameters, X, activation);
    const found = { loss: math.crossEntropy(logits, y), accuracy: math.accuracy(logits, y) };
    const { direct } = math.RULES[rule];
    if (direct !== undefined) {
      found.weight_angle = math.weightAngle(parameters, 1, direct);
      found.sign_agreement = math.signAgreement(parameters, 1, direct);
      found.gradient_angle = math.gradientAngles(rule, parameters, X, y, activation)[0];
    }
    for (const [name, value] of Object.entries(measures)) errors[name] = Math.abs(found[name] - value) / Math.abs(value);
    return errors;
  });
}

// In the Euclidean norm; a value that is no number counts as infinitely wrong.
function relative(actual, expected) {
  const length = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  const error = length(actual.map((value, i) => value - expected[i])) / length(expected);
  return Number.isFinite(error) ? error : Number.MAX_VALUE;
}

if (globalThis.process?.argv[2]) {
  const { readFileSync } = await import("node:fs");
  const { pathToFileURL } = await import("node:url");
  const math = await import(pathToFileURL(process.argv[2]));
  console.log(JSON.stringify(largestErrors(math, JSON.parse(readFileSync(process.argv[3])))));
}
