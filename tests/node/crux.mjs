// Reads records of the server at SERVER with the npm package crux-api, and prints them as JSON. QUERIES is a list of
// {"api": "record" | "history", "query"}.
import { createQueryHistoryRecord, createQueryRecord } from "crux-api";

const { SERVER, KEY, QUERIES } = process.env;
// The package has one fixed host; only its `fetch` can be replaced.
const atServer = (url, options) => fetch(url.replace("https://chromeuxreport.googleapis.com", SERVER), options);
const apis = {
  record: createQueryRecord({ key: KEY, fetch: atServer }),
  history: createQueryHistoryRecord({ key: KEY, fetch: atServer }),
};
const answers = [];
for (const { api, query } of JSON.parse(QUERIES)) {
  try {
    answers.push({ answer: await apis[api](query) });
  } catch (error) {
    answers.push({ error: error.message });
  }
}
console.log(JSON.stringify(answers));
