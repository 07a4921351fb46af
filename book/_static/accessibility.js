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
});
