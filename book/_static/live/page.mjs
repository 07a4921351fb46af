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

// A view begins when it comes near, or when the address asks for it.
const begin = (place) => {
  near.unobserve(place);
  mount(place, VIEWS[place.dataset.view], WORKER, digitsFor);
};
const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) begin(target);
}, { rootMargin: "400px" });
for (const place of document.querySelectorAll(".dfa-live")) {
  if (location.hash.slice(1).split("&")[0] === place.dataset.view) begin(place);
  else near.observe(place);
}
