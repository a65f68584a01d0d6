// Bundles the scripts of pages with the packages that they import, and prints them as JSON. SCRIPTS is an object of names and
// scripts, in which SERVER and KEY are constants.
import { build } from "esbuild";

const { SCRIPTS, SERVER, KEY } = process.env;
const define = {
  SERVER: JSON.stringify(SERVER),
  KEY: JSON.stringify(KEY),
  // The client of Umami is written for Node, and asks for its version.
  "process.version": '"page"',
};
const bundled = {};
for (const [name, contents] of Object.entries(JSON.parse(SCRIPTS))) {
  const options = { bundle: true, write: false, format: "iife", logLevel: "error", define };
  const { outputFiles } = await build({ ...options, stdin: { contents, resolveDir: process.cwd() } });
  bundled[name] = outputFiles[0].text;
}
console.log(JSON.stringify(bundled));
