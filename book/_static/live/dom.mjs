// Elements, and numbers as readers see them.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "circle", "line", "path", "text", "rect", "polygon"]);

export function element(tag, attributes = {}, ...children) {
  const made = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  set(made, attributes);
  made.append(...children.filter((child) => child !== false));
  return made;
}

export function set(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) target.addEventListener(name.slice(2), value);
    else if (value === false || value === undefined) target.removeAttribute(name);
    else target.setAttribute(name, value === true ? "" : value);
  }
}

// Change a text in place: at 60 frames a second, new nodes come faster than browsers collect the old ones.
export function write(target, text) {
  if (target.firstChild?.nodeType !== Node.TEXT_NODE) target.textContent = text;
  else if (target.firstChild.data !== text) target.firstChild.data = text;
}

export const button = (text, onclick, attributes = {}) => element("button", { type: "button", onclick, ...attributes }, text);

let labels = 0;

// A labelled field; change(value) is told what is chosen, as text.
export function choice(label, options, value, change) {
  const id = `live-field-${(labels += 1)}`;
  const known = options.some(([option]) => String(option) === String(value));
  const all = known ? options : [...options, [value, String(value)]];
  const select = element(
    "select",
    { id, onchange: () => change(select.value) },
    ...all.map(([option, text]) => element("option", { value: option, selected: String(option) === String(value) }, text)),
  );
  return element("div", { class: "live-field" }, element("label", { for: id }, label), select);
}

export function numberField(label, value, low, high, change) {
  const id = `live-field-${(labels += 1)}`;
  const input = element("input", { id, type: "number", min: low, max: high, step: 1, value });
  input.addEventListener("change", () => {
    input.value = Math.max(low, Math.min(high, Math.round(Number(input.value) || 0)));
    change(input.value);
  });
  return element("div", { class: "live-field" }, element("label", { for: id }, label), input);
}

export const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
export const degrees = (angle) => (Number.isFinite(angle) ? `${Math.round(angle)}°` : "–");
export const decimal = (x, digits = 2) => (Math.abs(x) < 1000 ? x.toFixed(digits) : x.toExponential(1));
export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// A drawing surface as sharp as the screen, with a description for who does not see it.
export function canvas(width, height, label) {
  const made = element("canvas", { role: "img", "aria-label": label, class: "live-canvas", style: `aspect-ratio: ${width} / ${height}` });
  const context = made.getContext("2d");
  const ready = () => {
    const ratio = devicePixelRatio || 1;
    const shown = made.clientWidth || width;
    const [w, h] = [Math.round(shown * ratio), Math.round(((shown * height) / width) * ratio)];
    if (made.width !== w || made.height !== h) [made.width, made.height] = [w, h];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, shown, (shown * height) / width);
    return { context, width: shown, height: (shown * height) / width };
  };
  return { element: made, ready };
}

const themes = {};

// The theme's colours, light or dark; read once, because pictures are drawn many times a second.
export const theme = () => (themes[document.documentElement.dataset.theme] ??= readTheme());

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const named = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    ink: named("--pst-color-text-base", "#333333"),
    muted: named("--pst-color-text-muted", "#595959"),
    rule: named("--pst-color-border", "#c8c8c8"),
    paper: named("--pst-color-background", "#ffffff"),
  };
}
