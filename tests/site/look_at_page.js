// What test_browser.py asks of a page, seen from within: evaluated once the page is loaded.
() => {
  const tag = (element) => element.outerHTML.replace(/\s+/g, " ").slice(0, 120);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  const text = (element) => element.textContent.trim();
  const main = document.querySelector("main");

  const unsized = (image) => !image.naturalWidth || !image.hasAttribute("width") || !image.hasAttribute("height");
  // A figure is an image, or a drawing in the page.
  const pictures = (figure) => all("img, [role=img]", figure).filter((picture) => picture.getBoundingClientRect().height > 0);
  const told = (picture) => picture.alt || picture.getAttribute("aria-label") || "";
  const typeset = (element) => element.querySelector("math")?.getBoundingClientRect().width > 0;
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const raw = [];
  while (words.nextNode()) {
    const outside = !words.currentNode.parentElement.closest("script, style, pre, code");
    if (outside && /\\[([]|\$\$|\\begin\{/.test(words.currentNode.data)) raw.push(words.currentNode.data.slice(0, 120));
  }
  const ids = all("[id]").map((element) => element.id);
  return {
    language: document.documentElement.lang,
    title: document.title,
    equations: all(".math").length,
    untypeset: all(".math").filter((element) => shown(element) && !typeset(element)).map(tag),
    faulty: [...all("merror").map(text), ...raw],
    figures: all("figure").length,
    unsized: all("main img").filter(unsized).map(tag),
    untold: all("img").filter((image) => !image.hasAttribute("alt")).map(tag),
    unseen: all("figure")
      .filter((figure) => shown(figure) && !pictures(figure).some((picture) => told(picture).length >= 40))
      .map(tag),
    headings: all("h1, h2, h3, h4, h5, h6", main)
      .filter(shown)
      .map((heading) => [Number(heading.tagName[1]), text(heading)]),
    headless: all("table:not([role=presentation])")
      .filter((table) => !all("th", table).length || all("th", table).some((th) => !text(th)))
      .map(tag),
    ids,
    repeated: [...new Set(ids.filter((id, place) => ids.indexOf(id) !== place))],
    links: [...new Set(all("a[href]").map((link) => link.href))],
  };
};
