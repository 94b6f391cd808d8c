// The archives: a table with what can be done with each, and with many at once.
import * as api from "./api.js";
import { announce, ask, breakable, complain, element, find, place, say } from "./dom.js";
import { count, refusal, size, text, time } from "./text.js";

const STEP = 100;
const SHOWN_IMAGES = 3;
let folder = "";
let said = { files: [], total_bytes: 0, free_bytes: null, max_disk_bytes: null };
let shown = STEP;
let isLoaded = false;
let [asked, answered] = [0, 0];
const chosen = new Set(); // names
const rows = new Map(); // by name; a file that stays as it is keeps its row, so focus and what is open stay too
let onChange = () => {};

export function whenChanged(call) {
  onChange = call;
}

export function begin(session) {
  folder = session.folder ?? "";
}

export async function load() {
  const mine = ++asked;
  const now = await api.files();
  if (mine < answered) return; // A newer answer came first.
  answered = mine;
  if (isLoaded && JSON.stringify(now) === JSON.stringify(said)) return;
  said = now;
  isLoaded = true;
  const names = new Set(said.files.map((file) => file.name));
  for (const name of chosen) if (!names.has(name)) chosen.delete(name);
  draw();
  for (const name of rows.keys()) if (!names.has(name)) rows.delete(name);
}

export function leave() {
  said = { ...said, files: [] };
  isLoaded = false;
  chosen.clear();
  draw();
}

function matching() {
  const wanted = find("filter").value.trim().toLowerCase();
  return said.files.filter((file) =>
    [file.name, ...file.images].some((name) => name.toLowerCase().includes(wanted)));
}

function visible() {
  return matching().slice(0, shown);
}

async function copy(words) {
  try {
    await navigator.clipboard.writeText(words);
    announce(text("copied", words));
  } catch {
    // Pages on plain HTTP from another machine have no clipboard: the old way has.
    const field = element("textarea", { class: "quiet", readonly: true });
    const focused = document.activeElement;
    field.value = words;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    focused?.focus();
    if (isCopied) announce(text("copied", words));
    else complain(text("copy_by_hand", words));
  }
}

// Once at a time; what takes its time is seen to.
async function busy(node, act) {
  if (node.ariaBusy) return;
  node.ariaBusy = "true";
  try {
    await act();
  } catch (error) {
    complain(error.message);
  }
  node.ariaBusy = null;
}

async function workOut(file) {
  await api.sum(file.name);
  await load();
}

function action(label, of, act, kind) {
  const name = text("said_of", label, of);
  return element("button", { type: "button", class: kind, "aria-label": name, onclick: (event) => act(event.currentTarget) }, label);
}

function sum(file) {
  if (file.sha256) {
    const button = action(`${file.sha256.slice(0, 12)}…`, text("copy_sum", file.name), () => copy(file.sha256), "plain mono");
    button.title = file.sha256;
    return button;
  }
  return action(text("read_sum"), text("sum_of", file.name), (button) => busy(button, () => workOut(file)), "plain");
}

function inside(file) {
  if (file.problem) {
    const words = refusal({ code: file.problem_code, error: file.problem });
    return element("span", { class: file.problem_code === "not_opened" ? "hint" : "problem", title: file.problem }, words);
  }
  const names = file.images.map((name) => element("li", {}, ...breakable(name)));
  const list = element("ul", {}, ...names.slice(0, SHOWN_IMAGES));
  if (names.length <= SHOWN_IMAGES) return list;
  return element("div", {}, list, element("details", {},
    element("summary", {}, text("more", names.length - SHOWN_IMAGES)), element("ul", {}, ...names.slice(SHOWN_IMAGES))));
}

function choice(file) {
  const box = element("input", { type: "checkbox", "aria-label": text("choose", file.name), onchange: () => {
    if (box.checked) chosen.add(file.name);
    else chosen.delete(file.name);
    drawChoice();
  } });
  return box;
}

function link(label, of, address) {
  return element("a", { class: "button", href: address, download: true, "aria-label": text("said_of", label, of) }, label);
}

// Of some archives no script can be made. Browsers would keep the refusal to themselves: it is asked for before they are.
function script(file) {
  const node = link(text("script"), file.name, file.script_url);
  let isSure = false;
  node.addEventListener("click", (event) => {
    if (isSure) return;
    event.preventDefault();
    busy(node, async () => {
      await api.script(file.script_url);
      isSure = true;
      node.click();
      isSure = false;
    });
  });
  return node;
}

function rowOf(file) {
  const known = rows.get(file.name);
  if (known?.file === file) return known.node;
  if (known && JSON.stringify(known.file) === JSON.stringify(file)) {
    known.file = file;
    return known.node;
  }
  const node = row(file);
  rows.set(file.name, { file, node });
  return node;
}

function row(file) {
  const cell = (label, kind, ...children) => element("td", { role: "cell", class: kind, "data-is": label && text(label) }, ...children);
  return element("tr", { role: "row" },
    cell(null, null, choice(file)),
    element("th", { role: "rowheader", scope: "row" }, ...breakable(file.name)),
    cell("size", "number", size(file.size)),
    cell("created", "time", element("time", { datetime: file.created }, time(file.created))),
    cell("images_inside", "inside", inside(file)),
    element("td", { role: "cell", class: "sum", "data-is": "SHA-256" }, sum(file)),
    cell(null, "does", element("span", { class: "actions" },
      link(text("download"), file.name, file.download_url),
      file.problem ? null : action(text("copy"), file.name, () => copy(file.load_command)),
      file.images.length ? script(file) : null,
      action(text("delete"), file.name, () => remove([file.name]), "danger"))));
}

function drawChoice() {
  const names = visible().map((file) => file.name);
  for (const name of names) rows.get(name).node.querySelector("input").checked = chosen.has(name);
  const chosenHere = names.filter((name) => chosen.has(name)).length;
  find("choose-all").checked = names.length > 0 && chosenHere === names.length;
  find("choose-all").indeterminate = chosenHere > 0 && chosenHere < names.length;
  find("delete-chosen").disabled = chosen.size === 0;
  say(find("delete-chosen"), chosen.size ? text("delete_count", chosen.size) : text("delete_chosen"));
}

function room() {
  if (!isLoaded) return "";
  const used = [size(said.total_bytes), count("files", said.files.length)];
  const free = said.free_bytes == null ? text("nobody") : size(said.free_bytes);
  const allowed = said.max_disk_bytes;
  const words = allowed == null ? text("room", ...used, free) : text("room_of", ...used, size(allowed), free);
  return `${words} · ${text("in_folder", folder)}`;
}

// In another language all rows are others.
export function redraw() {
  rows.clear();
  draw();
}

const controls = (node) => [...node.querySelectorAll("a, button, input, summary")];

// Which control of which file has the focus.
function focused() {
  const row = [...rows].find(([, { node }]) => node.contains(document.activeElement));
  return row && [row[0], controls(row[1].node).indexOf(document.activeElement)];
}

function draw() {
  const found = matching();
  const focus = focused();
  place(find("file-rows"), visible().map(rowOf));
  // A row that is drawn anew gets the focus back.
  if (focus && document.activeElement === document.body) {
    (controls(rows.get(focus[0])?.node ?? find("no-files"))[focus[1]] ?? find("files-title")).focus();
  }
  say(find("files-count"), room());
  find("no-files").hidden = !isLoaded || found.length > 0;
  find("files-tools").hidden = find("files-table").hidden = said.files.length === 0;
  say(find("no-files"), text(said.files.length ? "no_match" : "no_files"));
  find("more-files").hidden = found.length <= shown;
  say(find("more-files"), text("more", Math.min(STEP, found.length - shown)));
  drawChoice();
}

async function remove(names) {
  say(find("sure-title"), names.length === 1 ? text("sure_one") : text("sure_many", names.length));
  find("sure-names").replaceChildren(...names.map((name) => element("li", {}, name)));
  if (!(await ask(find("sure")))) return;
  let [freed, gone] = [0, 0];
  for (const name of names) {
    try {
      const cleaned = await api.deleteFile(name);
      freed += cleaned.freed_bytes;
      gone += 1;
    } catch (error) {
      // What somebody else deleted meanwhile is gone, too.
      if (error.status !== 404) {
        complain(text("failed_of", name, error.message));
        break;
      }
    }
    chosen.delete(name);
  }
  find("files-title").focus(); // The button that was pressed goes with its row.
  if (gone === names.length) announce(gone === 1 ? text("deleted", names[0]) : text("deleted_count", count("files", gone), size(freed)));
  onChange();
}

// What the clean-up dialog asks for; none where nothing is said, or nothing that can be.
function rules() {
  const [age, most] = [find("max-age"), find("max-files")];
  if ((!age.value && !most.value) || !age.validity.valid || !most.validity.valid) return undefined;
  return {
    max_age_days: age.value ? Number(age.value) : undefined,
    max_files: most.value ? Number(most.value) : undefined,
  };
}

// What would go is said by the server, which goes by the same rules when it does it.
let previewed = 0;
let wouldGo = []; // names
async function preview(before = "") {
  const mine = ++previewed;
  const asked = rules();
  find("cleanup-go").disabled = true;
  wouldGo = [];
  if (!asked) {
    say(find("cleanup-summary"), text("cleanup_ask"));
    find("cleanup-names").replaceChildren();
    return;
  }
  try {
    const would = await api.cleanup({ ...asked, dry_run: true });
    if (mine !== previewed) return;
    const files = would.deleted;
    wouldGo = files.map((file) => file.name);
    const words = files.length ? text("cleanup_would", count("files", files.length), size(would.freed_bytes)) : text("cleanup_nothing");
    say(find("cleanup-summary"), `${before}${words}`);
    find("cleanup-names").replaceChildren(...files.map((file) =>
      element("li", {}, `${file.name} (${size(file.size)}, ${time(file.created)})`)));
    find("cleanup-go").disabled = files.length === 0;
  } catch (error) {
    if (mine === previewed) say(find("cleanup-summary"), error.message);
  }
}

async function cleanup(before) {
  const answer = ask(find("cleanup-dialog"));
  preview(before);
  if (!(await answer)) return;
  try {
    // An export may have ended while the dialog was open: what goes is what was shown.
    const [asked, shown] = [rules(), wouldGo.join("\n")];
    const would = await api.cleanup({ ...asked, dry_run: true });
    if (would.deleted.map((file) => file.name).join("\n") !== shown) {
      cleanup(text("cleanup_changed"));
      return;
    }
    const cleaned = await api.cleanup(asked);
    announce(text("deleted_count", count("files", cleaned.deleted.length), size(cleaned.freed_bytes)));
    const failures = cleaned.failed.map((failure) => text("failed_of", failure.name, failure.error));
    if (failures.length) complain(failures.join("\n"));
  } catch (error) {
    complain(error.message);
  }
  onChange();
}

find("choose-all").addEventListener("change", (event) => {
  for (const file of visible()) {
    if (event.target.checked) chosen.add(file.name);
    else chosen.delete(file.name);
  }
  draw();
});
find("filter").addEventListener("input", () => {
  shown = STEP;
  draw();
});
find("more-files").addEventListener("click", () => {
  shown += STEP;
  draw();
});
find("delete-chosen").addEventListener("click", () => remove([...chosen]));
find("cleanup").addEventListener("click", () => cleanup());
for (const id of ["max-age", "max-files"]) {
  find(id).addEventListener("input", () => preview());
  // Enter would delete before anybody read what.
  find(id).addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });
}
