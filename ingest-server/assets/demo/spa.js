// A small shop in one document. Every view has its own address, so the server answers all of them with
// this page, and the script shows the view that the address names.
const STORE = "fieldvitals-demo-cart";
const GOODS = [
  { id: "lantern", name: "Storm lantern", note: "Brass, burns for nine hours", cents: 4800 },
  { id: "kettle", name: "Field kettle", note: "Steel, one litre", cents: 3250 },
  { id: "blanket", name: "Wool blanket", note: "Undyed, 130 by 180 cm", cents: 7900 },
];
// A proxy may show the demo under a path.
const [CATALOGUE, CART, CHECKOUT] = ["spa.html", "spa/cart", "spa/checkout"].map(
  (name) => new URL(name, document.currentScript.src).pathname,
);
const VIEWS = {
  [CATALOGUE]: { title: "Catalogue", fill: fillCatalogue },
  [CART]: { title: "Cart", fill: fillCart },
  [CHECKOUT]: { title: "Checkout", fill: fillCheckout },
};
const root = document.getElementById("view");
const tabs = [...document.querySelectorAll(".tabs a")];

function readCart() {
  try {
    const ids = JSON.parse(sessionStorage.getItem(STORE) ?? "[]");
    return Array.isArray(ids) ? ids.filter((id) => GOODS.some((item) => item.id === id)) : [];
  } catch {
    return [];
  }
}

function writeCart(ids) {
  try {
    sessionStorage.setItem(STORE, JSON.stringify(ids));
  } catch {
    // A browser without storage forgets the cart with the view; the navigation works all the same.
  }
}

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function price(cents) {
  return `€ ${(cents / 100).toFixed(2)}`;
}

function link(path, text) {
  const node = element("a", "", text);
  node.href = path;
  node.dataset.view = "";
  return node;
}

function row(item, ...end) {
  const name = element("span", "name", item.name, element("small", "", item.note));
  return element("li", "", name, element("span", "price", price(item.cents)), ...end);
}

function total(ids) {
  return ids.reduce((sum, id) => sum + (GOODS.find((item) => item.id === id)?.cents ?? 0), 0);
}

function fillCatalogue() {
  const list = element("ul", "rows");
  const said = element("p", "");
  said.setAttribute("role", "status");
  for (const item of GOODS) {
    const add = element("button", "quiet", "Add");
    add.type = "button";
    add.setAttribute("aria-label", `Add ${item.name} to the cart`);
    add.addEventListener("click", () => {
      writeCart([...readCart(), item.id]);
      said.replaceChildren(`${item.name} is in the cart. `, link(CART, "Go to the cart"));
    });
    list.append(row(item, add));
  }
  said.append(link(CART, "Go to the cart"));
  return [list, said];
}

function fillCart() {
  const ids = readCart();
  if (ids.length === 0) {
    return [
      element("p", "", "The cart is empty. ", link(CATALOGUE, "Choose something"), " or go on."),
      element("p", "", link(CHECKOUT, "Go to the checkout")),
    ];
  }
  const list = element("ul", "rows");
  ids.forEach((id, place) => {
    const item = GOODS.find((candidate) => candidate.id === id);
    const remove = element("button", "quiet", "Remove");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${item.name} from the cart`);
    remove.addEventListener("click", () => {
      writeCart(readCart().filter((_, index) => index !== place));
      show();
    });
    list.append(row(item, remove));
  });
  const sum = element("li", "total", element("span", "name", "Total"), element("span", "price", price(total(ids))));
  list.append(sum);
  return [list, element("p", "", link(CHECKOUT, "Go to the checkout"))];
}

function fillCheckout() {
  const name = element("input", "");
  name.autocomplete = "off";
  const label = element("label", "field", "Name on the parcel", name);
  const send = element("button", "button", "Order nothing");
  send.type = "button";
  const said = element("p", "");
  said.setAttribute("role", "status");
  send.addEventListener("click", () => {
    writeCart([]);
    said.textContent = "Done. Nothing was ordered, nothing was sent, and the cart is empty.";
  });
  const sum = element("p", "", `To pay: ${price(total(readCart()))}. This is a demo: what you type stays in this page.`);
  return [sum, label, element("p", "", send), said];
}

function show() {
  const path = location.pathname in VIEWS ? location.pathname : CATALOGUE;
  const view = VIEWS[path];
  for (const tab of tabs) {
    if (tab.pathname === path) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  const heading = element("h2", "", view.title);
  heading.tabIndex = -1;
  root.replaceChildren(heading, ...view.fill());
  document.title = `${view.title} · fieldvitals demo`;
  return heading;
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target.closest("a[data-view]") : null;
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!target || !plain) return;
  event.preventDefault();
  if (target.pathname === location.pathname) return;
  history.pushState(null, "", target.pathname);
  show().focus({ preventScroll: true });
});
addEventListener("popstate", show);
show();
