import { createRoot } from "react-dom/client";
import { createBrowserRouter, Link, Outlet, useParams } from "react-router";
import { RouterProvider } from "react-router/dom";
import { nameRoutes } from "./fieldvitals.js";

function Layout() {
  return (
    <>
      <nav>
        <Link id="home" to="/">Home</Link> <Link id="second" to="/blog/second">Second</Link>{" "}
        <Link id="query" to="?page=2">More</Link>
      </nav>
      <Outlet />
    </>
  );
}

function Post() {
  return <h1>Post {useParams().slug}</h1>;
}

const router = createBrowserRouter([
  {
    path: "/",
    element: <Layout />,
    children: [
      { index: true, element: <h1>Home</h1> },
      { path: "blog", children: [{ path: ":slug", element: <Post /> }] },
    ],
  },
]);
nameRoutes(router);

createRoot(document.getElementById("root")).render(<RouterProvider router={router} />);
