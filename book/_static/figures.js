// Figures that can be read. A panel is a slider: point at it, drag on it or use the arrow keys, and the legend below
// tells the values of every line there. An entry of the legend hides what belongs to it, and stands out while
// it is pointed at. Without this script the figure is whole, and the legend tells where its lines end.
"use strict";

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
  }
});

function readable(figure, drawing) {
  const readings = JSON.parse(drawing.dataset.readings);
  const { at, x, lines } = readings;
  const last = x.length - 1;
  const panel = { readings, show };

  const slider = element("div", "dfa-slider", drawing);
  slider.tabIndex = 0;
  slider.setAttribute("role", "slider");
  slider.setAttribute("aria-label", `Read ${readings.name}`);
  slider.setAttribute("aria-valuemin", 0);
  slider.setAttribute("aria-valuemax", last);
  slider.style.top = `${readings.top}%`;
  slider.style.height = `${readings.bottom - readings.top}%`;
  slider.style.left = `${readings.left}%`;
  slider.style.width = `${readings.right - readings.left}%`;
  const cursor = element("div", "dfa-cursor", drawing);
  cursor.style.top = slider.style.top;
  cursor.style.height = slider.style.height;
  const dots = Object.entries(lines).map(([name, { y }]) => {
    const dot = element("div", "dfa-dot", drawing);
    dot.dataset.line = name;
    return { dot, y };
  });
  const own = (selector) => figure.querySelectorAll(`.dfa-legend ${selector}[data-panel="${readings.panel}"]`);

  function show(place) {
    panel.place = place;
    drawing.classList.add("dfa-read");
    cursor.style.left = `${at[place]}%`;
    for (const { dot, y } of dots) {
      dot.hidden = y[place] === null;
      dot.style.left = `${at[place]}%`;
      dot.style.top = `${y[place]}%`;
    }
    for (const head of own("th")) head.querySelector(".dfa-x").textContent = x[place];
    const said = [];
    for (const cell of own("td")) {
      const row = cell.closest("tr");
      const told = lines[row.dataset.line]?.told[place] ?? [];
      cell.replaceChildren();
      for (const part of told) {
        element("span", "", cell).textContent = part;
        cell.append(" ");
      }
      if (told.length) said.push(`${row.querySelector("th").textContent} ${told.join(" ")}`);
    }
    slider.setAttribute("aria-valuenow", place);
    slider.setAttribute("aria-valuetext", `${x[place]}: ${said.join("; ")}`);
  }

  function move(place) {
    for (const other of panel.alike) other.show(Math.max(0, Math.min(last, place)));
  }

  function point(event) {
    const { left, width } = drawing.getBoundingClientRect();
    const percent = (100 * (event.clientX - left)) / width;
    const distances = at.map((value) => Math.abs(value - percent));
    move(distances.indexOf(Math.min(...distances)));
  }

  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 5, PageDown: -5 };
  slider.addEventListener("pointermove", point);
  slider.addEventListener("pointerdown", point);
  slider.addEventListener("keydown", (event) => {
    const { key } = event;
    const place = { Home: 0, End: last }[key] ?? (key in steps ? panel.place + steps[key] : null);
    if (place === null) return;
    move(place);
    event.preventDefault();
  });
  show(readings.start);
  drawing.classList.remove("dfa-read"); // until somebody reads it
  return panel;
}

function selectable(legend, scope) {
  const marks = [...scope.querySelectorAll(".dfa-drawing [data-line]")].map((mark) => ({
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
    const head = row.querySelector("th") ?? row;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Show or hide";
    button.setAttribute("aria-pressed", true);
    button.append(...head.childNodes);
    head.append(button);
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
