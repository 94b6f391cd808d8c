// The list of images: each line is checked while it is typed, by the server's own reader.
import * as api from "./api.js";
import { complain, element, find, say } from "./dom.js";
import { count, refusal, text } from "./text.js";

const PAUSE_MS = 150;
const MAX_BYTES = 4 << 20;
const MAX_ROWS = 2000;
let asking;
let asked; // The list that was asked for last.
let checked;
let most = Infinity;
let onCheck = () => {};

export function allow(images) {
  most = images;
}

export function whenChecked(call) {
  onCheck = call;
}

// The images, in full, each once.
export function images() {
  return checked?.images.filter((entry) => entry.image && !entry.repeated).map((entry) => entry.image) ?? [];
}

// True if all that is there is checked and good.
export function isGood() {
  return find("list").value === asked && !firstProblem() && images().length > 0 && images().length <= most;
}

function problems() {
  return checked?.images.filter((entry) => entry.error) ?? [];
}

function firstProblem() {
  const problem = checked?.error ?? problems()[0];
  return problem && (problem.line ? text("line", problem.line, refusal(problem)) : refusal(problem));
}

function row(line, kind, what) {
  return element("li", { class: kind, title: what },
    element("span", { class: "line" }, line ? String(line) : ""), element("span", { class: "what" }, what));
}

function verdict(entry) {
  if (entry.error) return row(entry.line, "bad", `✗ ${refusal(entry)}`);
  if (entry.repeated) return row(entry.line, "note", `= ${entry.image}: ${text("repeated")}`);
  return row(entry.line, "good", `✓ ${entry.image}`);
}

// A plain list has a row for each of its lines, so that a verdict stands beside what it is of.
function rows() {
  if (!checked) return [];
  const notes = checked.notes.map((note) => row(note.line, "note", refusal(note)));
  if (checked.error) return [row(checked.error.line, "bad", `✗ ${refusal(checked.error)}`), ...notes];
  if (checked.kind !== "plain") return [...checked.images.map(verdict), ...notes];
  const byLine = new Map(checked.images.map((entry) => [entry.line, entry]));
  const last = Math.max(0, ...byLine.keys());
  const lines = Array.from({ length: last }, (_, index) => byLine.get(index + 1));
  return [...lines.map((entry, index) => (entry ? verdict(entry) : row(index + 1, "", ""))), ...notes];
}

export function draw() {
  find("verdicts").replaceChildren(...rows().slice(0, MAX_ROWS));
  const found = images().length;
  const problem = firstProblem();
  const wrong = problem || found > most;
  let summary = "";
  if (checked?.error) summary = problem;
  else if (problem) summary = text("list_bad", count("images", found), count("lines", problems().length), problem);
  else if (found > most) summary = text("list_too_many", count("images", found), count("images", most));
  else if (found) summary = text("list_good", count("images", found));
  say(find("list-summary"), summary);
  find("list-summary").classList.toggle("bad", Boolean(wrong));
  find("list").setAttribute("aria-invalid", String(Boolean(wrong)));
  scrolled();
}

async function check() {
  asking?.abort();
  asking = new AbortController();
  const list = find("list").value;
  try {
    checked = list.trim() ? await api.checkList(list, asking.signal) : undefined;
    asked = list;
    draw();
  } catch (error) {
    if (error.name === "AbortError") return;
    checked = undefined;
    draw();
    say(find("list-summary"), error.message);
  }
  onCheck();
}

function scrolled() {
  if (checked?.kind === "plain") find("verdicts").scrollTop = find("list").scrollTop;
}

// UTF-8, or UTF-16 with a byte order mark, as PowerShell writes.
function decoded(bytes) {
  const [first, second] = bytes;
  const kind = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  return new TextDecoder(kind, { fatal: true }).decode(bytes);
}

async function read(files) {
  const lists = [];
  for (const file of files) {
    if (file.size > MAX_BYTES) return complain(text("list_large", file.name));
    try {
      lists.push(decoded(new Uint8Array(await file.arrayBuffer())));
    } catch {
      return complain(text("list_not_text", file.name));
    }
  }
  if (!lists.length) return;
  find("list").value = lists.join("\n");
  find("list").focus();
  await check();
}

let typing;
find("list").addEventListener("input", () => {
  onCheck();
  clearTimeout(typing);
  typing = setTimeout(check, PAUSE_MS);
});
find("list").addEventListener("scroll", scrolled);
find("open").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", async () => {
  await read(find("file").files);
  find("file").value = "";
});
// Anywhere on the page: beside the field the browser would show the file in the page's place.
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    find("drop").classList.add("over");
  });
}
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("drop").classList.remove("over");
});
addEventListener("drop", (event) => {
  find("drop").classList.remove("over");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  if (!find("work").hidden && !document.querySelector("dialog[open]")) read(event.dataTransfer.files);
});
export { check };
