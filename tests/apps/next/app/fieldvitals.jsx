"use client";
import { LayoutRouterContext } from "next/dist/shared/lib/app-router-context.shared-runtime";
import { usePathname } from "next/navigation";
import { useContext, useEffect } from "react";

// The folders of the page, without slots (`@modal`), which keep the folders of earlier pages.
function pattern(path, tree) {
  const folders = [];
  let end = "";
  for (let node = tree; node; node = node[1]?.children) {
    const [name, value = name, kind] = [node[0]].flat();
    // The root, groups and the page itself are not in the path.
    if (!value || value.startsWith("__PAGE__") || /^\(.*\)$/.test(value)) continue;
    folders.push(kind ? `[${kind.includes("c") ? "..." : ""}${name}]` : name.replace("/", ""));
    end = value.split("/").pop();
  }
  // Another end means that a slot shows the page of this path, over the page of the tree.
  const last = path.replace(/\/$/, "").split("/").pop();
  const isPage = end === "_not-found" || decodeURIComponent(last) === decodeURIComponent(end);
  return isPage ? `/${folders.join("/")}` : "";
}

export default function Fieldvitals() {
  const path = usePathname();
  const route = pattern(path, useContext(LayoutRouterContext)?.parentTree);
  useEffect(() => {
    window.fieldvitals?.route?.(route);
  }, [path, route]);
  return <script async src="https://HOST/v.js" data-site="KEY" data-route={route} />;
}
