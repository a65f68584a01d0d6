export default defineNuxtPlugin(() => {
  const router = useRouter();
  // Nuxt writes `/blog/:slug()`.
  const pattern = ({ matched }) => matched.at(-1)?.path.replaceAll("()", "") ?? "";
  const route = pattern(router.currentRoute.value);
  useHead({ script: [{ src: "https://HOST/v.js", async: true, "data-site": "KEY", "data-route": route }] });
  if (import.meta.client) router.afterEach((to, from, failure) => failure || window.fieldvitals?.route?.(pattern(to)));
});
