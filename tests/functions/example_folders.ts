/** Where example answers of the vendor are; the first folder is not in every checkout. */
export const FOLDERS: readonly { what: string; url: URL }[] = [
  {
    what: "the vendor's documentation",
    url: new URL("../../../shared/fmp/examples/", import.meta.url),
  },
  { what: "the project's fixtures", url: new URL("../fixtures/fmp/", import.meta.url) },
];
