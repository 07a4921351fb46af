// How the search orders its results: pages, then functions of the reference.
"use strict";

var Scorer = {
  score: ([, , , description, score]) => (description ? score - 100 : score), // only functions have one
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
