export const generateStaticParams = () => ["first", "second"].map((slug) => ({ all: ["blog", slug] }));

export default async function Aside({ params }) {
  return <aside>{(await params).all.join(" / ")}</aside>;
}
