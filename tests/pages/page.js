// The life of a condition's page: something moves after the load, buttons are slow or fast, one of them navigates
// inside the document. Each tells a moment after its press, when its interaction has been told to observers.
(function () {
  var lab = window.lab;
  var views = 0;
  var on = function (name, run) {
    document.getElementById(name).addEventListener("click", function () {
      run();
      lab.later(function () {
        lab.told(name);
      }, 300);
    });
  };
  on("slow", function () {
    lab.busy(120);
  });
  on("fast", function () {});
  on("next", function () {
    lab.busy(views ? 600 : 120);
    views++;
    try {
      window.history.pushState(null, "", "__BASE__/view" + views + ".html");
    } catch (error) {
      lab.told("not pushed", error);
    }
  });
  on("alert", function () {
    alert("a question");
  });
  addEventListener("keydown", function (event) {
    var ms = { x: 300, y: 440 }[event.key];
    if (!ms) return;
    lab.busy(ms);
    lab.later(function () {
      lab.told(event.key);
    }, 100);
  });
  addEventListener("load", function () {
    lab.later(function () {
      document.getElementById("pad").style.height = "120px";
      lab.painted(function () {
        lab.told("ready");
      });
    }, 100);
  });
})();
