// What the type checker of the tests cannot know (`cargo xtask test collector`); browsers never load it.

/** An error of the API has more than others. */
interface Error {
  hint?: string;
  code?: string;
  status?: number;
}

/** The dashboard's own selectors say which kind of element they find. */
interface ParentNode {
  querySelector(selectors: string): any;
  querySelectorAll(selectors: string): NodeListOf<any>;
}
