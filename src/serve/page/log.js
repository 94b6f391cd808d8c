// The operation log: who did what, when, from where, and how it ended.
import * as api from "./api.js";
import { element, find, say } from "./dom.js";
import { titleOf } from "./exports.js";
import { person, text, time, wordOr } from "./text.js";

const STEP = 20;
const MOST = 1000;
let entries = [];
let shown = STEP;

// `known` is there when the exports are: the log calls them by their images.
export async function load(known) {
  const said = (await api.log(Math.min(shown + 1, MOST))).entries;
  await known;
  if (JSON.stringify(said) === JSON.stringify(entries)) return;
  entries = said;
  draw();
}

export function leave() {
  entries = [];
  shown = STEP;
  draw();
}

const EXPECTED = ["ok", "done", "cancelled", "paused"];
function outcome(entry) {
  const words = wordOr(`ended_${entry.outcome}`, wordOr(entry.outcome, entry.outcome));
  return EXPECTED.includes(entry.outcome) ? words : element("span", { class: "problem" }, words);
}

function cell(label, ...children) {
  return element("td", { role: "cell", class: label, "data-is": text(label) }, ...children);
}

function draw() {
  find("log-rows").replaceChildren(...entries.slice(0, shown).map((entry) =>
    element("tr", { role: "row" },
      cell("when", element("time", { datetime: entry.at }, time(entry.at))),
      cell("who", entry.who ? person(entry.who) : text("nobody")),
      cell("from", entry.from || text("nobody")),
      cell("what", [wordOr(`did_${entry.what}`, entry.what), titleOf(entry.export ?? entry.on) ?? entry.on].filter(Boolean).join(" ")),
      cell("ended", outcome(entry)))));
  find("no-log").hidden = entries.length > 0;
  find("more-log").hidden = entries.length <= shown || shown >= MOST;
  say(find("more-log"), text("more", STEP));
}

export { draw as redraw };

find("more-log").addEventListener("click", () => {
  shown += STEP;
  draw();
  load().catch(() => { /* The next look tells. */ });
});
