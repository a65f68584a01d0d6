// The token, and requests to the API.

const STORE = "fieldvitals-token";
let token = stored();

function stored() {
  try {
    return sessionStorage.getItem(STORE);
  } catch {
    return null;
  }
}

/** A request that failed, as the server describes it. */
export class ApiError extends Error {
  constructor(status, { code, message, hint }) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

export function hasToken() {
  return token !== null;
}

/** Keeps a token for this tab; returns false for a text that cannot be one. */
export function setToken(text) {
  const trimmed = text.trim();
  if (!/^[\x21-\x7e]{1,512}$/.test(trimmed)) return false;
  token = trimmed;
  try {
    sessionStorage.setItem(STORE, trimmed);
  } catch {
    // A browser without storage keeps the token until the page is reloaded.
  }
  return true;
}

export function forgetToken() {
  token = null;
  try {
    sessionStorage.removeItem(STORE);
  } catch {
    // Nothing was stored.
  }
}

/** Takes a token from the address's fragment and removes it from the address bar and the history. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return false;
  history.replaceState(history.state, "", location.pathname + location.search);
  return setToken(given);
}

/** Tries for a resource while the server's queue of questions is full. */
const TRIES = 5;

/** Reads one resource; `query` entries that are null are left out. Throws `ApiError`. */
export async function get(path, query, signal) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await getOnce(path, query, signal);
    } catch (error) {
      if (error.code !== "busy" || tried === TRIES) throw error;
      // A random part, so that the questions of one page do not come back at once.
      await new Promise((resolve) => setTimeout(resolve, 1_000 * tried * (0.5 + Math.random())));
      signal?.throwIfAborted();
    }
  }
}

async function getOnce(path, query, signal) {
  const params = new URLSearchParams(Object.entries(query ?? {}).filter(([, value]) => value !== null));
  const text = params.toString();
  const address = text === "" ? path : `${path}?${text}`;
  let response;
  try {
    response = await fetch(address, { signal, redirect: "error", headers: { Authorization: `Bearer ${token}` } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, {
      code: "unreachable",
      message: "The server does not answer.",
      hint: "Check that it is running and that this machine is online, then try again.",
    });
  }
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && body !== null) return body;
  const { code, message, hint } = body?.error ?? {};
  throw new ApiError(response.status, {
    code: code ?? `http_${response.status}`,
    message: message ?? `The server answered with status ${response.status}, without a description.`,
    hint: hint ?? "",
  });
}

/** The path of a site's resource. */
export function sitePath(site, resource) {
  return `/api/v1/sites/${encodeURIComponent(site)}/${resource}`;
}
