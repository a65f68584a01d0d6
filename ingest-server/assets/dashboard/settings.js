// The settings of a site and of the server, in parts, each of which is an address.
import { ApiError, get, sitePath, softly } from "./api.js";
import { auditPanels } from "./audit.js";
import { channelPanels } from "./channels.js";
import { h, quoted } from "./dom.js";
import { routePanels } from "./rules.js";
import { segmented } from "./controls.js";
import { sitePanels } from "./site.js";
import { tokenPanels } from "./tokens.js";

const SETTINGS = {
  site: { text: "Site", says: "Script tag, keys, origins, time zone", draw: sitePanels,
    read: (of) => softly(of("rejections")) },
  routes: { text: "Routes", says: "Rules and groups that name pages", draw: routePanels,
    read: (of) => softly(of("routes/suggestions")) },
  tokens: { text: "Tokens", says: "Who may read and change what", draw: tokenPanels,
    read: (of, signal) => softly(get("api/v1/tokens", null, signal)) },
  channels: { text: "Channels", says: "Where alerts are sent", draw: channelPanels,
    read: (of, signal) => softly(get("api/v1/channels", null, signal)) },
  log: { text: "Log", says: "Who changed what", draw: auditPanels,
    read: (of, signal) => softly(get("api/v1/audit", { limit: 100 }, signal)) },
};

export const settingsView = {
  still: true,

  async read(state, site, { signal }) {
    const of = (resource) => get(sitePath(site.name, resource), null, signal);
    // The list of the header may be older than a change by somebody else.
    const [known, part] = await Promise.all([get("api/v1/sites", null, signal), SETTINGS[state.part].read(of, signal)]);
    const fresh = known.sites.find(({ id }) => id === site.id);
    if (fresh === undefined) throw new ApiError(0, { code: "unknown_site", message: `The site “${site.name}” is gone.`, hint: "Choose another one." });
    return { fresh, sites: known.sites, part };
  },

  title: (state) => `Settings: ${SETTINGS[state.part].text}`,

  draw(state, answers, link, actions) {
    const mayWrite = answers.scope !== "read";
    return [
      h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, "Settings of ", quoted(state.site)),
        h("p", { class: "subtitle" }, SETTINGS[state.part].says)),
      h("div", { class: "controls" }, segmented("part", "Part of the settings", Object.entries(SETTINGS).map(([part, { text }]) => [part, text]), state, link)),
      mayWrite ? null : h("p", { class: "panel notice" }, `Your session has the scope ${answers.scope}: it shows settings, and changes none. A token of the scope write changes this site, one of the scope admin the server.`),
      SETTINGS[state.part].draw(answers, { mayWrite, isAdmin: answers.scope === "admin" }, actions),
    ];
  },
};
