// The page: who is here, then the sections, each with its own file.
import * as api from "./api.js";
import { announce, complain, find, say, settle } from "./dom.js";
import * as exports from "./exports.js";
import * as files from "./files.js";
import * as form from "./form.js";
import * as log from "./log.js";
import { preferredLanguage, speak, text } from "./text.js";

const SECTIONS = [exports, files, log];
const EVERY_MS = 5000;
const MOST_MS = 60000;
let session;
let asking; // The timer of the next look.
let isLooking = false;
let isAskedAgain = false;
let trouble = ""; // What the last look met with.

function kept(key) {
  try { return localStorage.getItem(key) ?? undefined; } catch { return undefined; }
}

function keep(key, value) {
  try { localStorage.setItem(key, value); } catch { /* A browser that keeps nothing: the choice lasts as long as the page. */ }
}

function colour(choice) {
  find("colours").value = choice;
  if (choice === "auto") delete document.documentElement.dataset.colours;
  else document.documentElement.dataset.colours = choice;
}

function drawPerson() {
  const isIn = !session.needs_login;
  find("login").hidden = isIn;
  find("work").hidden = !isIn;
  find("sections").hidden = !isIn;
  find("user").hidden = find("logout").hidden = !session.user;
  say(find("user"), session.user ? text("logged_in", session.user) : "");
  const byUser = session.by_password;
  find("login-name").closest("p").hidden = !byUser;
  find("login-hint").hidden = !(byUser && session.by_token);
  find("login-name").required = byUser && !session.by_token;
  say(document.querySelector("label[for=login-password]"),
    text(byUser ? (session.by_token ? "password_or_token" : "password") : "token"));
}

async function enter() {
  session = await api.session();
  drawPerson();
  if (session.needs_login) return;
  form.begin(session);
  files.begin(session);
  await refresh();
}

// Told once, however often it is met with.
function meet(error) {
  if (error.message !== trouble) complain(error.message);
  trouble = error.message;
}

async function look() {
  try {
    const known = exports.load();
    await Promise.all([known, files.load(), log.load(known)]);
    if (trouble) {
      settle();
      announce(text("back"));
      form.begin(session); // The list may not have been checked.
    }
    trouble = "";
  } catch (error) {
    if (error.status !== 401) meet(error);
  }
  // What came after the logout is nobody's.
  if (session.needs_login) for (const section of SECTIONS) section.leave();
}

// All sections anew; again after a while, sooner if something was done. One look at a time: an older answer never comes last.
async function refresh() {
  clearTimeout(asking);
  isAskedAgain = isLooking;
  if (isLooking || session.needs_login) return;
  isLooking = true;
  const began = performance.now();
  do {
    isAskedAgain = false;
    await look();
  } while (isAskedAgain && !session.needs_login);
  isLooking = false;
  if (session.needs_login || document.hidden) return;
  // A long list over a slow line is not asked for all the time.
  const rest = trouble ? 0 : Math.min(20 * (performance.now() - began), MOST_MS);
  asking = setTimeout(refresh, Math.max(EVERY_MS, rest));
}

let isLoggingIn = false;
async function login(event) {
  event.preventDefault();
  if (isLoggingIn) return;
  isLoggingIn = true;
  const [username, password] = [find("login-name").value.trim(), find("login-password").value];
  say(find("login-problem"), "");
  try {
    await api.login(session.by_password && username ? { username, password } : { token: password });
    find("login-password").value = "";
    await enter();
    find("main").focus();
  } catch (error) {
    say(find("login-problem"), error.message);
    find("login-password").select();
  }
  isLoggingIn = false;
}

function leave(words) {
  if (!session || session.needs_login) return;
  session = { ...session, user: null, needs_login: true };
  clearTimeout(asking);
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const section of SECTIONS) section.leave();
  form.leave();
  drawPerson();
  find(session.by_password ? "login-name" : "login-password").focus();
  announce(words);
}

function drawAll() {
  speak(find("language").value);
  if (!session) return;
  drawPerson();
  form.draw();
  for (const section of SECTIONS) section.redraw();
}

find("language").value = preferredLanguage(kept("language"));
speak(find("language").value);
colour(kept("colours") ?? "auto");
find("language").addEventListener("change", (event) => {
  keep("language", event.target.value);
  drawAll();
});
find("colours").addEventListener("change", (event) => {
  keep("colours", event.target.value);
  colour(event.target.value);
});
find("login").addEventListener("submit", login);
find("logout").addEventListener("click", async () => {
  try {
    await api.logout();
    form.clear();
    leave(text("you_left"));
  } catch (error) {
    complain(error.message);
  }
});
api.whenLoggedOut(() => leave(text("logged_out")));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && session && !session.needs_login) refresh();
});
form.whenBegun((job) => {
  exports.begun(job);
  refresh();
});
exports.whenChanged(refresh);
files.whenChanged(refresh);

async function begin() {
  try {
    await enter();
  } catch (error) {
    meet(error);
    setTimeout(begin, EVERY_MS);
  }
}
begin();
