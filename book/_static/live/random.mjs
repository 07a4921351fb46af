// Random numbers: every stream comes from a seed and a name, as in dfa_lib, though not with its numbers.

// sfc32, seeded by a hash (FNV-1a) of the seed and the stream's name.
export function stream(seed, name) {
  const words = [2166136261, 40503, 2654435769, 97].map((start) => {
    let hash = start;
    for (const character of `${seed}/${name}`) hash = Math.imul(hash ^ character.codePointAt(0), 16777619);
    return hash >>> 0;
  });
  let [a, b, c, d] = words;
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 20; i++) next();
  return {
    uniform: (low = 0, high = 1) => low + (high - low) * next(),
    whole: (n) => Math.floor(n * next()),
    // Box and Muller's method.
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}
