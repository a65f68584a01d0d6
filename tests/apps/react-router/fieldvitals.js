function name({ matches, errors, navigation }) {
  // While a page loads, the matches are those of the page before.
  if (navigation.state !== "idle") return;
  const parts = matches.flatMap(({ route }) => (route.path ?? "").split("/"));
  const route = errors ? "" : "/" + parts.filter(Boolean).join("/");
  // For a v.js that has not run yet.
  const tag = document.querySelector("script[data-site]");
  if (tag) tag.dataset.route = route;
  window.fieldvitals?.route?.(route);
}

export function nameRoutes(router) {
  name(router.state);
  router.subscribe(name);
}
