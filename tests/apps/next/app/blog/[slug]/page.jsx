export const generateStaticParams = () => ["first", "second"].map((slug) => ({ slug }));

export default async function Post({ params }) {
  return <h1>Post {(await params).slug}</h1>;
}
