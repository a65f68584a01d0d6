export default defineNuxtConfig({
  compatibilityDate: "2026-12-01",
  nitro: { prerender: { routes: ["/", "/blog/first", "/blog/second"], crawlLinks: false } },
});
