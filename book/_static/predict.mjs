// Predict first: readers choose what they expect of a figure, then see it. A box with a list of answers covers the figure
// after it, and all that its section says of it, until its button is pressed or a link leads there. The page's first box
// has a button for all figures, which is remembered. Without this script, and on paper, nothing is covered.
"use strict";

// A block of its own: other scripts of a page share its names.
{
  const figures = [...document.querySelectorAll("figure")];
  const shown = [];
  const MEMORY = "dfa-figures-shown";

  const boxes = [...document.querySelectorAll(".dfa-predict")];

  boxes.forEach((box, number) => {
    const list = box.querySelector("ol");
    const question = list?.previousElementSibling;
    const figure = figures.find((other) => follows(other, box));
    if (!question || !figure) return;
    const told = after(figure, box);

    const group = element("fieldset");
    element("legend", group).append(...question.childNodes);
    const answers = [...list.children].map((item) => {
      const label = element("label", group);
      const choice = element("input", label);
      Object.assign(choice, { type: "radio", name: `dfa-predict-${number}` });
      label.append(...(item.querySelector("p") ?? item).childNodes);
      return { choice, text: label.textContent };
    });
    const button = element("button", group);
    button.type = "button";
    button.setAttribute("aria-controls", figure.id);
    const expected = element("output", group); // read aloud when it changes
    question.remove();
    list.replaceWith(group);

    function show(now) {
      figure.classList.toggle("dfa-covered", !now);
      for (const part of told) part.classList.toggle("dfa-awaited", !now);
      button.setAttribute("aria-expanded", now);
      button.textContent = now ? "Cover the figure" : "Show the figure";
      const chosen = answers.find(({ choice }) => choice.checked);
      expected.textContent = now && chosen ? `You expected: ${chosen.text}` : "";
    }
    button.addEventListener("click", () => show(figure.classList.contains("dfa-covered")));
    group.addEventListener("change", () => show(!figure.classList.contains("dfa-covered")));
    show(false);
    shown.push([[figure, ...told], show]);
    if (shown.length === 1) buttonForAll(group, expected);
  });

  function buttonForAll(group, before) {
    const button = element("button", group);
    button.type = "button";
    before.before(button);
    const text = () => (button.textContent = remembered() ? "Cover all figures" : "Show all figures");
    button.addEventListener("click", () => {
      const now = !remembered();
      try {
        localStorage.setItem(MEMORY, now ? "yes" : "");
      } catch {
        // Where nothing may be stored, it is for this page only, and cannot be taken back.
      }
      text();
      for (const [, show] of shown) show(now);
    });
    text();
  }

  function remembered() {
    try {
      return localStorage.getItem(MEMORY) === "yes";
    } catch {
      return false;
    }
  }

  // What follows a figure in its box's section, up to the next box or subsection: tables, answers and verdicts.
  function after(figure, box) {
    const parts = [];
    for (let node = figure; node.parentElement && !node.contains(box); node = node.parentElement) {
      for (let next = node.nextElementSibling; next && !next.matches("section, .dfa-predict"); next = next.nextElementSibling) {
        parts.push(next);
      }
    }
    return parts;
  }

  function follows(node, other) {
    return other.compareDocumentPosition(node) & Node.DOCUMENT_POSITION_FOLLOWING;
  }

  function uncover() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (const [parts, show] of shown) {
      if (remembered() || parts.some((part) => part.contains(target))) show(true);
    }
  }

  function element(name, parent) {
    const made = document.createElement(name);
    parent?.append(made);
    return made;
  }

  addEventListener("hashchange", uncover);
  uncover();
}
