import Link from "next/link";
import Fieldvitals from "./fieldvitals";

export default function Layout({ children, aside }) {
  return (
    <html lang="en">
      <body>
        <Fieldvitals />
        <nav>
          <Link id="home" href="/">Home</Link> <Link id="second" href="/blog/second">Second</Link>{" "}
          <Link id="query" href="?page=2">More</Link>
        </nav>
        {children}
        {aside}
      </body>
    </html>
  );
}
