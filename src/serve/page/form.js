// What is to be exported, and how.
import * as api from "./api.js";
import { announce, find, say } from "./dom.js";
import * as list from "./list.js";
import { text } from "./text.js";

let onBegin;
let isSending = false;

export function whenBegun(call) {
  onBegin = call;
}

export function begin(session) {
  list.allow(session.max_images);
  if (find("list").value) list.check();
  ready();
}

export function draw() {
  list.draw();
}

// What is not for whoever comes next.
export function leave() {
  for (const prefix of ["source", "retry"]) forgetCredentials(prefix);
}

export function clear() {
  find("form").reset();
  nameField();
  list.check();
}

// The list of an export, to be begun again or made another.
export function take(job) {
  find("list").value = [...new Set(job.archives.flatMap((archive) => archive.images))].join("\n");
  find("platform").value = job.platforms.join(", ");
  find("layers").value = job.layers;
  find("form").elements.archive.value = job.archive;
  nameField();
  find("list").focus();
  list.check();
}

function ready() {
  find("start").disabled = !list.isGood();
}

// What is in a field, or nothing.
function filled(id) {
  return find(id).value.trim() || undefined;
}

// Credentials and proxy as the API takes them; `prefix` is of the fields' names.
export function access(prefix) {
  const [username, password] = [filled(`${prefix}-user`), find(`${prefix}-password`).value];
  const [http_proxy, https_proxy] = [filled(`${prefix}-http-proxy`), filled(`${prefix}-https-proxy`)];
  return {
    source_auth: username || password ? { username: username ?? "", password, registry: filled(`${prefix}-registry`) } : undefined,
    proxy_config: http_proxy || https_proxy ? { http_proxy, https_proxy } : undefined,
  };
}

// A proxy's address may have a password, too.
export function forgetCredentials(prefix) {
  for (const name of ["user", "password", "registry", "http-proxy", "https-proxy"]) find(`${prefix}-${name}`).value = "";
}

function body() {
  const archive = find("form").elements.archive.value;
  return {
    images: list.images(),
    platform: filled("platform"),
    layers: find("layers").value,
    archive,
    name: archive === "one" ? filled("archive-name") : undefined,
    ...access("source"),
  };
}

async function start(event) {
  event.preventDefault();
  if (isSending || find("start").disabled) return;
  isSending = true;
  say(find("start-problem"), "");
  try {
    const begun = find("list").value;
    const job = await api.beginExport(body());
    // What was typed meanwhile is the next list.
    if (find("list").value === begun) find("list").value = "";
    forgetCredentials("source");
    announce(text("started"));
    find("exports-title").focus();
    find("exports").scrollIntoView();
    onBegin(job);
    await list.check();
  } catch (error) {
    say(find("start-problem"), error.message);
  }
  isSending = false;
}

function nameField() {
  find("archive-name").closest("p").hidden = find("form").elements.archive.value !== "one";
}

find("form").addEventListener("submit", start);
find("form").addEventListener("change", nameField);
nameField();
list.whenChecked(ready);
