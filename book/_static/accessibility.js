// An equation that is wider than the page scrolls by itself. Then it can be reached by keyboard, as the theme
// sees to for code and tables.
const reachable = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    target.toggleAttribute("tabindex", false);
    if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
  }
});
document.addEventListener("DOMContentLoaded", () => {
  for (const equation of document.querySelectorAll("div.math > math")) reachable.observe(equation);

  // A formula in the text is in one piece, and scrolls if it is wider than its column. Firefox leaves a gap behind one
  // with a root: as much as a taller root would need.
  const formulas = [...document.querySelectorAll(".bd-article span.math > math")];
  const right = (element) => element.getBoundingClientRect().right;
  const fit = () => {
    for (const { parentElement } of formulas) {
      parentElement.classList.remove("dfa-wide");
      parentElement.removeAttribute("tabindex");
    }
    const gaps = formulas.map((math) => (math.querySelector("msqrt") ? right(math) - right(math.lastElementChild) : 0));
    const wide = formulas.filter((math) => {
      const column = math.closest("p, li, dd, td, th, label, figcaption");
      return column && math.getBoundingClientRect().width > column.clientWidth;
    });
    formulas.forEach((math, i) => gaps[i] > 1 && (math.style.marginInlineEnd = `${-gaps[i]}px`));
    for (const { parentElement } of wide) {
      parentElement.classList.add("dfa-wide");
      parentElement.setAttribute("tabindex", "0");
    }
  };
  if (formulas.length) {
    new ResizeObserver(fit).observe(document.querySelector(".bd-article"));
    document.fonts.ready.then(fit);
  }
});
