"use client";
import { useParams, usePathname } from "next/navigation";
import { useEffect } from "react";

function pattern(path, params) {
  let route = path.replace(/\/?$/, "/");
  // From the end, because a value may equal a folder before it.
  for (const [name, value] of Object.entries(params).reverse()) {
    const values = `/${[value].flat().join("/")}/`;
    const at = route.lastIndexOf(values);
    const folder = `/[${Array.isArray(value) ? "..." : ""}${name}]/`;
    if (at >= 0) route = route.slice(0, at) + folder + route.slice(at + values.length);
  }
  return route.slice(0, -1) || "/";
}

export default function Fieldvitals() {
  const path = usePathname();
  const route = pattern(path, useParams());
  useEffect(() => {
    window.fieldvitals?.route?.(route);
  }, [path, route]);
  return <script async src="https://HOST/v.js" data-site="KEY" data-route={route} />;
}
