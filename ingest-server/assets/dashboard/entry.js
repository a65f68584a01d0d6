// Signing in: by the server's password or a token; and what stands where nothing can be shown.
import { ApiError, get, post } from "./api.js";
import { h } from "./dom.js";
import { snippetBox } from "./snippet.js";

/** Signs in by what the address's fragment has, and removes it from the address bar and the history. */
export async function enterByAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const [way, secret] = ["token", "link"].map((name) => [name, given.get(name)]).find(([, text]) => text !== null) ?? [];
  if (way === undefined) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  if (way === "link" && (await isSignedIn())) return;
  await post("/api/v1/session", { [way]: secret.trim() });
}

/** Whether there is a session: a link must not replace one that may do more. */
async function isSignedIn() {
  try {
    return (await get("/api/v1/sites", null)).link === false;
  } catch {
    return false;
  }
}

/** The form that asks for the password or a token; `onEntered` reads the page that was asked for. */
export async function signIn(message, onEntered) {
  const { password } = await get("/api/v1/session", null).catch(() => ({ password: false }));
  const error = h("p", { class: "error", id: "sign-in-error", role: "alert" }, message ?? "");
  const ways = password ? ["password", "token"] : ["token"];
  const fields = ways.map((way) => secretField(way, ways.length === 1));
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const given = ways.map((way) => [way, String(form.get(way)).trim()]).find(([, text]) => text !== "");
    if (given === undefined) {
      error.textContent = password ? "Enter the password or a token." : "Enter a token.";
      return;
    }
    try {
      await post("/api/v1/session", Object.fromEntries([given]));
      onEntered();
    } catch (failed) {
      if (!(failed instanceof ApiError)) throw failed;
      error.textContent = `${failed.message} ${failed.hint}`;
    }
  };
  return h("section", { class: "sign-in panel" },
    h("h1", {}, "Sign in"),
    h("p", { class: "soft" }, password ? "With the password of this server, or with an API token." : "The dashboard reads this server's API, and the API asks for a token."),
    error,
    h("form", { onsubmit: submit }, fields, h("button", { class: "primary", type: "submit" }, "Open the dashboard")),
    h("div", { class: "soft", id: "token-help" },
      h("p", {}, "The first start of the server prints a token. To make another, run this where the server's data is:"),
      snippetBox("fieldvitals token add NAME --scope read"),
      password ? null : [h("p", {}, "Or set one password for people:"), snippetBox("fieldvitals password set")],
      h("p", {}, "The session lasts 30 days, in a cookie that no script can read.")));
}

function secretField(way, isOnly) {
  const texts = { password: "Password", token: isOnly ? "API token" : "Or an API token" };
  return [
    h("label", { for: way }, texts[way]),
    h("input", {
      id: way, name: way, type: "password", autocomplete: way === "password" ? "current-password" : "off", autocapitalize: "none",
      spellcheck: "false", placeholder: way === "token" ? "fvt_…" : null, "aria-describedby": "token-help sign-in-error",
    }),
  ];
}

/** A request failed: what, and what to do. */
export function failure(error, onRetry) {
  return h("section", { class: "panel failure", role: "alert" },
    h("h1", {}, error.message),
    error.hint ? h("p", {}, error.hint) : null,
    h("p", { class: "soft" }, "Error ", h("code", {}, error.code), error.status > 0 ? `, status ${error.status}` : ""),
    h("button", { class: "primary", type: "button", onclick: onRetry }, "Try again"));
}

/** No site exists, or none that the session may read. */
export function noSites() {
  return h("section", { class: "panel" },
    h("h1", {}, "No site yet"),
    h("p", {}, "A site has a key that its pages carry, and the origins that may send beacons with it. Add one where the server's data is:"),
    snippetBox("fieldvitals site add NAME --origin https://www.example.com"),
    h("p", { class: "soft" }, "Then reload this page."));
}
