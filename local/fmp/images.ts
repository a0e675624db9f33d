import type { ServerResponse } from "node:http";
import type { Universe } from "./universe.ts";

/** Where the vendor's image host is stood in for: `<images>/symbol/AAPL.png`, without a key. */
export const imagesPath = "/_images";

/** A PNG of one pixel. */
const PIXEL = Uint8Array.from(
  atob(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  ),
  (character) => character.charCodeAt(0),
);

/** Sends the logo of a listing, 404 for any other path. */
export function sendImage(path: string, universe: Universe, response: ServerResponse): void {
  const symbol = /^\/symbol\/(.+)\.png$/.exec(decodeURIComponent(path))?.[1];
  if (symbol === undefined || !universe.bySymbol.has(symbol)) {
    response.writeHead(404, { "content-type": "text/plain" }).end("Not Found");
    return;
  }
  response.writeHead(200, { "content-type": "image/png", "content-length": PIXEL.length })
    .end(PIXEL);
}
