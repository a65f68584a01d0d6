// Requests to the API, by addresses relative to the page: a proxy may show it under a path. A session is a cookie that scripts cannot read.

/** The header that requests of a session need if they change something. */
const OWN_PAGE = { "Fieldvitals-Dashboard": "1" };

/** The key under which an answer holds the version of the data that it is of. */
export const VERSION = Symbol("version");

/** A request that failed, as the server describes it. */
export class ApiError extends Error {
  constructor(status, { code, message, hint }) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** Tries for a resource while the server's queue of questions is full. */
const TRIES = 5;

/** Reads one resource; `query` entries that are null are left out. Throws `ApiError`. */
export async function get(path, query, signal) {
  const params = new URLSearchParams(Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined));
  const text = params.toString();
  const address = text === "" ? path : `${path}?${text}`;
  for (let tried = 1; ; tried += 1) {
    try {
      return await send(address, { signal });
    } catch (error) {
      if (error.code !== "busy" || tried === TRIES) throw error;
      // A random part, so that the questions of one page do not come back at once.
      await new Promise((resolve) => setTimeout(resolve, 1_000 * tried * (0.5 + Math.random())));
      signal?.throwIfAborted();
    }
  }
}

/** As `get`, but returns an error of the resource instead of throwing it, unless the whole page is concerned. */
export function softly(promise) {
  return promise.catch((error) => {
    if (!(error instanceof ApiError) || error.status === 401) throw error;
    return error;
  });
}

/** Sends a change. */
export function post(path, body) {
  return send(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...OWN_PAGE } });
}

/** Changes settings: `method` is `PATCH`, `PUT` or `DELETE`; an object goes as JSON, a text as TOML. */
export function change(method, path, body = null) {
  const [type, text] = typeof body === "string" ? ["application/toml", body] : ["application/json", body === null ? undefined : JSON.stringify(body)];
  return send(path, { method, body: text, headers: { ...(text === undefined ? {} : { "Content-Type": type }), ...OWN_PAGE } });
}

/** Asks a question whose text is too long for an address. */
export function ask(path, text) {
  return send(path, { method: "POST", body: text, headers: { "Content-Type": "application/toml", ...OWN_PAGE } });
}

/** Ends the session. */
export function signOut() {
  return change("DELETE", "api/v1/session");
}

async function send(address, options) {
  let response;
  try {
    response = await fetch(address, { redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, {
      code: "unreachable",
      message: "The server does not answer.",
      hint: "Check that it is running and that this machine is online, then try again.",
    });
  }
  if (response.status === 204) return null;
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && body !== null) {
    body[VERSION] = response.headers.get("Data-Version");
    return body;
  }
  const { code, message, hint } = body?.error ?? {};
  throw new ApiError(response.status, {
    code: code ?? `http_${response.status}`,
    message: message ?? `The server answered with status ${response.status}, without a description.`,
    hint: hint ?? "",
  });
}

/** The path of a site's resource. */
export function sitePath(site, resource) {
  return `api/v1/sites/${encodeURIComponent(site)}/${resource}`;
}
