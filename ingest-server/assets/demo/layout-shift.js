// Inserts the box that moves the page. The delay leaves time for the first paint, without which the
// browser has nothing that could shift.
addEventListener("load", () => {
  setTimeout(() => {
    const box = document.createElement("aside");
    box.className = "late-box";
    const text = document.createElement("p");
    text.textContent = "I came late, and pushed everything down.";
    box.append(text);
    document.body.prepend(box);
  }, 600);
});
