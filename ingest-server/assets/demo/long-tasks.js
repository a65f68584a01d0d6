const TASK_MS = 120;
const STARTS_MS = [500, 950, 1400];
const steps = document.getElementById("steps").children;

function work(index) {
  const start = performance.now();
  while (performance.now() - start < TASK_MS) {
    // Busy on purpose: this is the long task.
  }
  steps[index].dataset.done = "";
}

// The tasks wait for the first paint, so that FCP is earlier than the first of them even where the
// page is slow to arrive. The starts count from the navigation's beginning, and delays are rounded up:
// timers drop fractions of a millisecond, and no task may begin earlier than the page says.
let started = false;
function start() {
  if (started) return;
  started = true;
  const now = performance.now();
  const late = Math.max(0, now - STARTS_MS[0]);
  STARTS_MS.forEach((at, index) => setTimeout(work, Math.ceil(at + late - now), index));
}

const observer = new PerformanceObserver((list) => {
  if (list.getEntriesByName("first-contentful-paint").length > 0) {
    observer.disconnect();
    start();
  }
});
observer.observe({ type: "paint", buffered: true });
