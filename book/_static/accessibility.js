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

  // A formula in the text is in one piece, unless it is wider than its column.
  const formulas = [...document.querySelectorAll(".bd-article span.math")];
  const fit = () => {
    for (const formula of formulas) formula.classList.remove("dfa-wide");
    const wide = formulas.filter((formula) => {
      const width = formula.getBoundingClientRect().width;
      return width > 200 && width > formula.closest("p, li, dd, td, th, label, figcaption")?.clientWidth;
    });
    for (const formula of formulas) formula.toggleAttribute("tabindex", false);
    for (const formula of wide) {
      formula.classList.add("dfa-wide");
      formula.setAttribute("tabindex", "0");
    }
  };
  if (formulas.length) new ResizeObserver(fit).observe(document.querySelector(".bd-article"));
});
