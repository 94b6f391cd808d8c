// Exports: those under way with live bars, those that can be carried on, and the history.
import * as api from "./api.js";
import { announce, ask, complain, element, find, place, say, sayName } from "./dom.js";
import { access, forgetCredentials, take } from "./form.js";
import { clock, count, duration, person, refusal, size, text, time } from "./text.js";

const MAX_ROWS = 200;
const MAX_BLOBS = 8;
const HISTORY_STEP = 20;
const DEAF_MS = 10000;
const RECENT_MS = 24 * 3600 * 1000;
const ACTIVE = ["queued", "running"];
const ENDED = ["done", "failed", "cancelled"];
const LOGIN_HELPS = ["unauthorized", "wrong_credentials", "denied", "login_failed", "proxy"];

let all = [];
const cards = new Map(); // by id
const heard = new Map(); // by id: when the stream said something of it
let stream; // One for all: a browser has six connections to a host, for all its windows, and files are to be fetched too.
let opened = 0; // When the stream was.
const seen = new Set(); // ids of those that were begun or under way while the page was there
let historyShown = HISTORY_STEP;
let onChange = () => {};

export function whenChanged(call) {
  onChange = call;
}

// One that was begun here; a small one may have ended before anybody looks.
export function begun(job) {
  seen.add(job.id);
}

export async function load() {
  const asked = performance.now();
  const said = (await api.exportsList()).exports;
  const before = new Map(all.map((job) => [job.id, job]));
  // A stream that is silent while the list moves on is dead: a machine that slept has such.
  for (const { id, done_bytes } of said) {
    if (before.get(id)?.done_bytes !== done_bytes && Math.max(opened, heard.get(id) ?? 0) < asked - DEAF_MS) close();
  }
  // What a stream said meanwhile is newer than the list; and streams tell of blobs, lists don't.
  const isKept = (known, job) => known && (heard.get(job.id) > asked || (isHeard(job.id) && known.state === job.state));
  all = said.map((job) => (isKept(before.get(job.id), job) ? before.get(job.id) : job));
  const ids = new Set(all.map((job) => job.id));
  for (const known of [cards, heard]) for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
  draw();
}

// What an export is called, if it is there.
export function titleOf(id) {
  const job = all.find((known) => known.id === id);
  return job && title(job);
}

export function leave() {
  close();
  cards.clear();
  all = [];
  draw();
}

function isRecent(job) {
  if (!ENDED.includes(job.state) || seen.has(job.id)) return true;
  return job.state !== "done" && api.now() - Date.parse(job.ended ?? job.created) < RECENT_MS;
}

// Cards stay the nodes they are: focus, selections and what is open are not lost when something moves.
function placeCards(box, jobs) {
  place(box, jobs.map((job) => {
    if (!cards.has(job.id)) cards.set(job.id, new Card(job.id));
    cards.get(job.id).draw(job);
    return cards.get(job.id).node;
  }));
}

function draw() {
  for (const job of all) if (ACTIVE.includes(job.state)) seen.add(job.id);
  const recent = all.filter(isRecent);
  const past = all.filter((job) => !isRecent(job));
  placeCards(find("running"), recent);
  find("no-exports").hidden = recent.length > 0;
  say(find("history-count"), past.length ? `(${past.length})` : "");
  find("history").hidden = past.length === 0;
  if (find("history").open) placeCards(find("past"), past.slice(0, historyShown));
  find("more-past").hidden = past.length <= historyShown;
  say(find("more-past"), text("more", Math.min(HISTORY_STEP, past.length - historyShown)));
  if (!document.hidden && all.some((job) => ACTIVE.includes(job.state))) watch();
}

function close() {
  stream?.close();
  stream = undefined;
}

// True of one that the stream tells of; it began with all that are under way.
function isHeard(id) {
  return stream && heard.get(id) > opened;
}

function watch() {
  if (stream) return;
  stream = api.events();
  opened = performance.now();
  stream.addEventListener("job", (event) => took(JSON.parse(event.data)));
  stream.addEventListener("progress", (event) => took(JSON.parse(event.data)));
  stream.addEventListener("log", (event) => {
    const line = JSON.parse(event.data);
    cards.get(line.export)?.say([line]);
  });
  // Nothing is under way any more, or it is refused, or the server is gone: the next look at the list opens another one if needed.
  stream.addEventListener("error", close);
}

function took(job) {
  heard.set(job.id, performance.now());
  const index = all.findIndex((known) => known.id === job.id);
  if (index < 0) return onChange(); // Somebody else began it.
  const before = all[index];
  all[index] = job;
  if (job.log) cards.get(job.id)?.tell(job.log);
  const done = (export_) => export_.archives.filter((archive) => archive.state === "done").length;
  const isActive = ACTIVE.includes(job.state);
  if (!isActive) announce(text("said_of", title(job), text(job.state)));
  if (isActive && ACTIVE.includes(before.state)) cards.get(job.id)?.draw(job);
  else draw();
  if (!isActive || done(job) > done(before)) onChange();
}

function named(archive) {
  const [first, ...others] = archive.images;
  const name = others.length ? text("and_more", first, others.length) : first;
  return archive.platform ? `${name} (${archive.platform})` : name;
}

// What failed and what moves comes first, where not all can be shown.
const RANKS = { failed: 0, waiting: 2, done: 3 };
function shownOf(archives) {
  if (archives.length <= MAX_ROWS) return archives;
  const rank = (archive) => RANKS[archive.state] ?? 1;
  return [...archives].sort((one, other) => rank(one) - rank(other)).slice(0, MAX_ROWS);
}

function title(job) {
  const images = [...new Set(job.archives.flatMap((archive) => archive.images))];
  return images.length > 2 ? text("and_more", images[0], images.length - 1) : images.join(", ");
}

function bar(node, done, total) {
  if (total > 0) {
    node.max = total;
    node.value = Math.min(done, total);
  } else node.removeAttribute("value");
}

// A row for an archive: bar, figures, and why it failed.
class Row {
  constructor() {
    this.called = element("span", { class: "called" });
    this.bar = element("progress");
    this.figures = element("span", { class: "figures" });
    this.problem = element("p", { class: "problem" });
    this.blobs = element("ul", { class: "blobs" });
    this.node = element("li", { class: "image" }, this.called, this.bar, this.figures, this.problem, this.blobs);
  }

  draw(archive, isActive) {
    sayName(this.called, named(archive));
    const isStill = ["waiting", "done", "failed"].includes(archive.state);
    this.node.className = `image ${archive.state}${isStill ? " still" : ""}`;
    this.bar.hidden = isStill;
    this.bar.setAttribute("aria-label", text("progress_of", named(archive)));
    const isOver = ["done", "failed"].includes(archive.state);
    bar(this.bar, archive.state === "done" ? 1 : archive.done_bytes,
      archive.state === "done" ? 1 : archive.total_bytes || (archive.state === "waiting" || isOver ? 1 : 0));
    const amount = archive.total_bytes ? text("of", size(archive.done_bytes), size(archive.total_bytes)) : "";
    const how = text(archive.state === "waiting" && !isActive ? "left_out" : archive.state);
    say(this.figures, archive.state === "done" ? `✓ ${size(archive.size ?? archive.total_bytes)}`
      : [how, archive.state === "fetching" ? amount : ""].filter(Boolean).join(" · "));
    say(this.problem, archive.error ? refusal({ code: archive.error_code, error: archive.error }) : "");
    this.problem.title = archive.error ?? "";
    const blobs = (isOver ? [] : archive.blobs ?? []).filter((blob) => blob.state !== "done").slice(0, MAX_BLOBS);
    while (this.blobs.children.length > blobs.length) this.blobs.lastChild.remove();
    while (this.blobs.children.length < blobs.length) {
      this.blobs.append(element("li", {}, element("code"), element("progress"), element("span", { class: "figures" })));
    }
    blobs.forEach((blob, index) => {
      const [code, progress, figures] = this.blobs.children[index].children;
      const short = blob.digest.replace(/^sha256:/, "").slice(0, 12);
      say(code, short);
      progress.setAttribute("aria-label", text("progress_of", short));
      bar(progress, blob.done_bytes, blob.size);
      say(figures, blob.state === "inflating" ? text("inflating") : text("of", size(blob.done_bytes), size(blob.size)));
    });
  }
}

class Card {
  constructor(id) {
    this.id = id;
    this.rows = [];
    this.lines = [];
    this.title = element("h3", { id: `export-${id}` });
    this.state = element("span", { class: "state" });
    this.buttons = element("span", { class: "buttons" });
    this.bar = element("progress");
    this.figures = element("p", { class: "hint", "aria-live": "off" });
    this.images = element("ul", { class: "images" });
    this.more = element("p", { class: "hint" });
    this.log = element("pre", { class: "job-log mono", tabindex: "0", lang: "en" });
    this.details = element("details", { ontoggle: () => this.opened() }, element("summary"), this.log);
    this.node = element("article", { class: "export", "aria-labelledby": `export-${id}` },
      element("div", { class: "top" }, this.title, this.state, this.buttons),
      this.bar, this.figures, this.images, this.more, this.details);
  }

  draw(job) {
    this.job = job;
    const name = title(job);
    sayName(this.title, name);
    const isOther = this.state.textContent !== text(job.state);
    say(this.state, text(job.state));
    if (isOther) this.opened(); // Nobody tells the log of one that is not watched.
    this.state.className = `state ${job.state}`;
    const isActive = ACTIVE.includes(job.state);
    this.bar.hidden = !isActive || job.archives.length < 2;
    this.bar.setAttribute("aria-label", text("progress_of", name));
    const inState = (state) => job.archives.filter((archive) => archive.state === state).length;
    const [finished, failed] = [inState("done"), inState("failed")];
    // Sizes show one after another, so the bar goes by archives, and within one by its bytes.
    bar(this.bar, job.archives.reduce((sum, archive) => sum + (archive.state === "done" ? 1
      : archive.total_bytes ? archive.done_bytes / archive.total_bytes : 0), 0), job.archives.length);
    say(this.figures, [
      text("of", finished, count("files", job.archives.length)),
      failed ? text("failed_count", failed) : "",
      job.state === "running" && job.total_bytes ? text("of", size(job.done_bytes), size(job.total_bytes)) : "",
      job.state === "running" && job.bytes_per_second ? text("per_second", size(job.bytes_per_second)) : "",
      job.state === "running" && job.seconds_left != null ? text("left", duration(job.seconds_left)) : "",
      job.by ? text("by", time(job.created), person(job.by)) : time(job.created),
    ].filter(Boolean).join(" · "));
    this.drawButtons(job, name);
    this.drawImages(job);
    say(this.details.firstChild, text("details"));
    this.log.setAttribute("aria-label", text("details"));
    if (!this.lines.length) say(this.log, text("empty_log"));
  }

  drawButtons(job, name) {
    const wanted = [];
    if (ACTIVE.includes(job.state)) wanted.push(["cancel", "cancel", () => api.cancelExport(job.id)]);
    else {
      if (job.state !== "done") wanted.push(["retry", job.state === "failed" ? "retry_failed" : "retry", () => retry(this.job)]);
      wanted.push(["again", "again", () => take(this.job)], ["forget", "forget", () => api.forgetExport(job.id)]);
    }
    const key = wanted.map(([kind, label]) => `${kind} ${text(label)}`).join();
    if (this.wanted === key) return;
    this.wanted = key;
    const hadFocus = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...wanted.map(([kind, label, act]) => element("button",
      { type: "button", class: kind, "aria-label": text("said_of", text(label), name), onclick: () => this.act(kind, act) },
      text(label))));
    if (hadFocus) this.buttons.firstChild.focus();
  }

  drawImages(job) {
    const shown = shownOf(job.archives);
    while (this.rows.length > shown.length) this.rows.pop().node.remove();
    while (this.rows.length < shown.length) {
      this.rows.push(new Row());
      this.images.append(this.rows.at(-1).node);
    }
    shown.forEach((archive, index) => this.rows[index].draw(archive, ACTIVE.includes(job.state)));
    this.more.hidden = job.archives.length <= MAX_ROWS;
    say(this.more, text("and_more", "…", job.archives.length - MAX_ROWS));
  }

  // Once at a time. The button isn't disabled meanwhile, which would take the focus from it.
  async act(kind, act) {
    if (this.isActing) return;
    this.isActing = true;
    try {
      await act();
      if (kind === "forget") find("exports-title").focus(); // The button goes with its card.
      onChange();
    } catch (error) {
      complain(error.message);
    }
    this.isActing = false;
  }

  // The whole log; streams give it first, and then line by line. What is there already stays, for whoever reads it.
  tell(lines) {
    const isMore = this.lines.length <= lines.length
      && this.lines.every((line, index) => line.at === lines[index].at && line.text === lines[index].text);
    if (!isMore) {
      this.lines = [];
      this.log.replaceChildren();
    }
    this.say(lines.slice(this.lines.length));
  }

  say(lines) {
    const isAtEnd = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 4;
    if (!this.lines.length) this.log.replaceChildren();
    this.lines.push(...lines);
    this.log.append(...lines.map((line) => `${clock(line.at)}  ${line.text}\n`));
    if (isAtEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  async opened() {
    if (!this.details.open || (isHeard(this.id) && ACTIVE.includes(this.job.state))) return;
    try {
      this.tell((await api.exportById(this.id)).log ?? []);
    } catch (error) {
      complain(error.message);
    }
  }
}

// Asks for credentials where they are forgotten, or where some would help.
async function retry(job) {
  const wantsLogin = job.state === "failed" && job.archives.some((archive) => LOGIN_HELPS.includes(archive.error_code));
  if (!job.needs_credentials && !wantsLogin) return api.retryExport(job.id);
  say(find("retry-of"), title(job));
  say(find("retry-hint"), text(job.needs_credentials ? "needs_credentials" : "wants_login"));
  if (!(await ask(find("retry-dialog")))) return;
  const given = access("retry");
  forgetCredentials("retry");
  // Nothing filled in: on without those that are forgotten, or with those that are there.
  if (job.needs_credentials) given.source_auth ??= null;
  return api.retryExport(job.id, given);
}

export { draw as redraw };

find("history").addEventListener("toggle", draw);
find("more-past").addEventListener("click", () => {
  historyShown += HISTORY_STEP;
  draw();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) close();
});
