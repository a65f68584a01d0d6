// What the pages of conditions are built of. It takes what it needs before a condition can change it, and says what
// happens by images, which need nothing of what conditions break.
(function () {
  var pictures = [];
  var Picture = Image;
  var encode = encodeURIComponent;
  var clock = performance.now.bind(performance);
  var later = setTimeout.bind(window);
  var frame = requestAnimationFrame.bind(window);
  var say = function (name, value) {
    var picture = new Picture();
    // An image that nobody holds may go before it was asked for.
    pictures[pictures.length] = picture;
    picture.src = "__SITE____BASE__/told?name=" + encode(name) + "&value=" + encode(value === undefined ? 1 : value);
  };
  window.lab = {
    told: say,
    later: later,
    busy: function (ms) {
      var end = clock() + ms;
      while (clock() < end);
    },
    painted: function (run) {
      frame(function () {
        frame(run);
      });
    },
  };
  addEventListener("error", function (event) {
    if (event.message) say("thrown", event.message + " at " + event.filename);
  });
  addEventListener("unhandledrejection", function (event) {
    say("thrown", "unhandled: " + ((event.reason && event.reason.stack) || event.reason));
  });
  addEventListener("pageshow", function (event) {
    if (event.persisted) say("restored");
  });
  ["error", "warn"].forEach(function (level) {
    var original = console[level];
    console[level] = function (first) {
      say("console", (first && first.stack) || first);
      return original.apply(console, arguments);
    };
  });
})();
