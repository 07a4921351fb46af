// Figures that can be read. A panel is a slider: point at it, tap it or use the arrow keys, and a box tells the values of
// every line there. An entry of the legend hides what belongs to it, and stands out while it is pointed at. Without
// this script the figure is whole, and its data can be downloaded below it.
"use strict";

const HINT = "To read values, point at a panel, tap it, or use its arrow keys. A name in the legend hides what it names.";

document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll(".dfa-figure")) {
    const panels = [...figure.querySelectorAll("[data-readings]")].map((drawing) => readable(figure, drawing));
    for (const panel of panels) {
      // Panels along the same axis are read at the same place.
      panel.alike = panels.filter((other) => String(other.readings.x) === String(panel.readings.x));
    }
    for (const legend of figure.querySelectorAll(".dfa-legend")) {
      selectable(legend, legend.closest(".dfa-panel") ?? figure);
    }
    if (panels.length) element("p", "dfa-hint", figure).textContent = HINT;
  }
});

function readable(figure, drawing) {
  const readings = JSON.parse(drawing.dataset.readings);
  const { at, x, lines, rows, start } = readings;
  const last = x.length - 1;
  if (!rows) for (const line of Object.values(lines)) line.at = line.at.map((top, place) => top === null ? null : [at[place], top]);
  const panel = { drawing, readings, show, hide, place: start };

  const slider = element("div", "dfa-slider", drawing);
  slider.tabIndex = 0;
  slider.setAttribute("role", "slider");
  slider.setAttribute("aria-label", `Read ${readings.name}`);
  slider.setAttribute("aria-orientation", rows ? "vertical" : "horizontal");
  slider.setAttribute("aria-valuemin", 0);
  slider.setAttribute("aria-valuemax", last);
  slider.style.inset = `${readings.top}% ${100 - readings.right}% ${100 - readings.bottom}% ${readings.left}%`;
  const cursor = element("div", "dfa-cursor", drawing);
  cursor.style.inset = slider.style.inset;
  const dots = Object.entries(lines).map(([name, { at }]) => {
    const dot = element("div", "dfa-dot", drawing);
    dot.dataset.line = name;
    return { dot, at };
  });
  const box = element("div", "dfa-box", drawing);
  const legend = drawing.parentElement.querySelector(".dfa-legend") ?? figure;

  function show(place) {
    panel.place = place;
    drawing.classList.add("dfa-read");
    Object.assign(cursor.style, rows ? { top: `${at[place]}%`, bottom: "auto" } : { left: `${at[place]}%`, right: "auto" });
    for (const { dot, at } of dots) {
      dot.hidden = !at[place];
      if (at[place]) [dot.style.left, dot.style.top] = at[place].map((percent) => `${percent}%`);
    }
    tell(place);
  }

  // The box says what each line is there, the highest first.
  function tell(place) {
    box.replaceChildren();
    element("div", "dfa-x", box).textContent = x[place];
    const here = Object.entries(lines).filter(([, { told }]) => told[place].length);
    here.sort(([, a], [, b]) => (rows ? b.at[place][0] - a.at[place][0] : a.at[place][1] - b.at[place][1]));
    const said = here.map(([key, { name, told }]) => {
      const row = element("div", "dfa-value", box);
      row.dataset.line = key;
      const mark = legend.querySelector(`[data-line="${key}"] svg`);
      if (mark) {
        const copy = mark.cloneNode(true);
        for (const part of copy.querySelectorAll("[id]")) part.removeAttribute("id");
        row.append(copy);
      }
      for (const part of [name, ...told[place]]) element("span", "", row).textContent = part;
      return `${name} ${told[place].join(" ")}`;
    });
    // Beside the cursor, within the drawing; and above or below the lines, where there are fewer.
    const height = here.reduce((sum, [, { at }]) => sum + at[place][1], 0) / here.length;
    const beside = ({ clientWidth: all, clientHeight: deep }, { offsetWidth: own, offsetHeight: high }) => {
      const [size, whole] = rows ? [high, deep] : [own, all];
      const after = (at[place] * whole) / 100 + 8;
      return Math.max(0, after + size > whole ? after - 16 - size : after);
    };
    const low = height < (readings.top + readings.bottom) / 2;
    if (rows) Object.assign(box.style, { left: `${readings.left}%`, top: `${beside(drawing, box)}px` });
    else if (2 * box.offsetWidth > drawing.clientWidth) Object.assign(box.style, { left: 0, top: "100%", bottom: "auto" }); // it would hide the lines
    else Object.assign(box.style, { left: `${beside(drawing, box)}px`, top: low ? "auto" : `${readings.top}%`, bottom: low ? `${100 - readings.bottom}%` : "auto" });
    slider.setAttribute("aria-valuenow", place);
    slider.setAttribute("aria-valuetext", `${x[place]}: ${said.join("; ")}`);
  }

  function move(place) {
    for (const other of panel.alike) {
      other.drawing.classList.toggle("dfa-told", other === panel);
      other.show(Math.max(0, Math.min(last, place)));
    }
  }

  function hide() {
    show(start);
    drawing.classList.remove("dfa-read");
  }

  function leave() {
    for (const other of panel.alike) other.hide();
  }

  function point(event) {
    const { left, top, width, height } = drawing.getBoundingClientRect();
    const percent = 100 * (rows ? (event.clientY - top) / height : (event.clientX - left) / width);
    const distances = at.map((value) => Math.abs(value - percent));
    move(distances.indexOf(Math.min(...distances)));
  }

  const next = rows ? -1 : 1; // the first row is on top
  const steps = { ArrowRight: 1, ArrowUp: next, ArrowLeft: -1, ArrowDown: -next, PageUp: 5, PageDown: -5 };
  slider.addEventListener("pointermove", point);
  slider.addEventListener("pointerdown", point);
  slider.addEventListener("pointerleave", ({ pointerType }) => pointerType === "touch" || leave());
  slider.addEventListener("focus", () => move(panel.place));
  slider.addEventListener("blur", leave);
  slider.addEventListener("keydown", (event) => {
    const { key } = event;
    const place = { Home: 0, End: last }[key] ?? (key in steps ? panel.place + steps[key] : null);
    if (place === null) return;
    move(place);
    event.preventDefault();
  });
  hide();
  return panel;
}

function selectable(legend, scope) {
  const marks = [...scope.querySelectorAll(".dfa-drawing svg [data-line]:not(image)")].map((mark) => ({
    mark,
    entries: mark.dataset.line.split(" "),
  }));
  const off = new Set();

  function draw(pointed) {
    for (const { mark, entries } of marks) {
      mark.classList.toggle("dfa-off", entries.some((entry) => off.has(entry)));
      mark.classList.toggle("dfa-faint", pointed !== undefined && !entries.includes(pointed));
    }
  }

  for (const row of legend.querySelectorAll("[data-line]")) {
    const name = row.dataset.line;
    if (!marks.some(({ entries }) => entries.includes(name))) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Show or hide";
    button.setAttribute("aria-pressed", true);
    button.append(...row.childNodes);
    row.append(button);
    button.addEventListener("click", () => {
      if (!off.delete(name)) off.add(name);
      button.setAttribute("aria-pressed", !off.has(name));
      draw();
    });
    for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => draw(off.has(name) ? undefined : name));
    for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => draw());
  }
}

function element(name, look, parent) {
  const made = document.createElement(name);
  made.className = look;
  parent.append(made);
  return made;
}
