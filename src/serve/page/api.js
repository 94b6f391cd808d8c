// The server's API. Addresses are relative to the page, so it works below any path.
import { refusal, text } from "./text.js";

// Where the page is, without a name and password that its address may have: requests must not have them.
const HERE = location.origin + location.pathname;

export class Refusal extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

// By how much this machine's clock is behind the server's.
let behindMs = 0;

// What time the server has.
export function now() {
  return Date.now() + behindMs;
}

// Called when a session has ended.
let onLogout = () => {};
export function whenLoggedOut(call) {
  onLogout = call;
}

async function request(method, path, body, signal) {
  const options = { method, signal, headers: { Accept: "application/json" }, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response, said;
  try {
    response = await fetch(new URL(path, HERE), options);
    const isJson = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
    said = isJson ? await response.json() : await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, text("unreachable"));
  }
  const date = Date.parse(response.headers.get("Date"));
  if (date) behindMs = date - Date.now();
  if (response.ok) return said;
  if (response.status === 401 && path !== "api/session") onLogout();
  throw new Refusal(response.status, said?.error ? refusal(said) : text("refused", response.status));
}

const part = encodeURIComponent;
// What the server answers at once is not waited for longer.
const PATIENCE_MS = 20000;
const look = (path) => request("GET", path, undefined, AbortSignal.timeout(PATIENCE_MS));

export const session = () => look("api/session");
export const login = (who) => request("POST", "api/session", who);
export const logout = () => request("DELETE", "api/session");
export const checkList = (list, signal) => request("POST", "api/lists", { text: list }, signal);
export const beginExport = (body) => request("POST", "api/exports", body);
export const exportsList = () => look("api/exports");
export const exportById = (id) => look(`api/exports/${part(id)}`);
export const cancelExport = (id) => request("POST", `api/exports/${part(id)}/cancel`);
export const retryExport = (id, body) => request("POST", `api/exports/${part(id)}/retry`, body);
export const forgetExport = (id) => request("DELETE", `api/exports/${part(id)}`);
export const events = () => new EventSource(new URL("api/events", HERE));
export const files = () => look("api/files");
export const sum = (name) => request("GET", `api/files/${part(name)}/sha256`);
export const script = (address) => request("GET", address);
export const deleteFile = (name) => request("DELETE", `api/files/${part(name)}`);
export const cleanup = (rules) => request("POST", "api/files/cleanup", rules);
export const log = (limit) => look(`api/log?limit=${limit}`);
