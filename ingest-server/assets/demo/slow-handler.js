const BLOCK_MS = 320;
const answer = document.getElementById("answer");
let presses = 0;

document.getElementById("slow").addEventListener("click", () => {
  const start = performance.now();
  while (performance.now() - start < BLOCK_MS) {
    // Busy on purpose: the main thread can do nothing else meanwhile.
  }
  presses += 1;
  answer.textContent = `Blocked for ${BLOCK_MS} ms; pressed ${presses === 1 ? "once" : `${presses} times`}.`;
});
