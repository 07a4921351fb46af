// Puts a view wherever the page has a place for it: <div class="dfa-live" data-view="turn">.

import { mount } from "./lab.mjs";
import { turn } from "./turn.mjs";
import { race } from "./race.mjs";
import { clusters } from "./clusters.mjs";

/* global WORKER: the worker's script, which the build puts before this one */
const VIEWS = { turn, race, clusters };
const folder = document.currentScript.src.replace(/[^/]*$/, "");
let digitsLoading = null;

// The digits, for a problem that is made of them; loaded once, when they are needed.
function digitsFor(problem) {
  if (problem !== "parity") return Promise.resolve(null);
  digitsLoading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${folder}live-digits.mjs`;
    script.onload = () => resolve(globalThis.dfaDigits);
    script.onerror = () => reject(new Error("the digits could not be loaded"));
    document.head.append(script);
  });
  return digitsLoading;
}

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    mount(target, VIEWS[target.dataset.view], WORKER, digitsFor);
  }
}, { rootMargin: "400px" });
for (const place of document.querySelectorAll(".dfa-live")) near.observe(place);
