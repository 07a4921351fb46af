// Predict first: readers choose what they expect of a figure, then see it. A box with a list of answers covers the figure
// after it until its button is pressed, or until a link leads to the figure. Without this script, and on paper, nothing is
// covered.
"use strict";

// A block of its own: other scripts of a page share its names.
{
  const figures = [...document.querySelectorAll("figure")];
  const shown = [];

  document.querySelectorAll(".dfa-predict").forEach((box, number) => {
    const list = box.querySelector("ol");
    const question = list?.previousElementSibling;
    const figure = figures.find((other) => box.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);
    if (!question || !figure) return;

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
      button.setAttribute("aria-expanded", now);
      button.textContent = now ? "Cover the figure" : "Show the figure";
      const chosen = answers.find(({ choice }) => choice.checked);
      expected.textContent = now && chosen ? `You expected: ${chosen.text}` : "";
    }
    button.addEventListener("click", () => show(figure.classList.contains("dfa-covered")));
    group.addEventListener("change", () => show(!figure.classList.contains("dfa-covered")));
    show(false);
    shown.push([figure, show]);
  });

  function uncover() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (const [figure, show] of shown) {
      if (figure.contains(target)) show(true);
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
