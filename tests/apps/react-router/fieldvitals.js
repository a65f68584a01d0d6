function name({ matches }) {
  const parts = matches.flatMap(({ route }) => (route.path ?? "").split("/"));
  const route = "/" + parts.filter(Boolean).join("/");
  // For a v.js that has not run yet.
  document.querySelector("script[data-site]").dataset.route = route;
  window.fieldvitals?.route(route);
}

export function nameRoutes(router) {
  name(router.state);
  router.subscribe(name);
}
