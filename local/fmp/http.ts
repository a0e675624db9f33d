import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Reply } from "./replies.ts";

/** An HTTP server on 127.0.0.1. */
export interface HttpServer {
  port: number;
  /** Closes every connection, answered or not, and waits until the port is free. */
  close(): Promise<void>;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/**
 * Starts listening on 127.0.0.1. `port` 0 takes a free one. A handler that throws answers 500 with
 * its message; the vendor never does that, so it stands out in a test.
 */
export function listen(port: number, handler: Handler): Promise<HttpServer> {
  const server = createServer((request, response) => {
    handler(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
      response.end(`Cannot answer: ${error instanceof Error ? error.message : String(error)}`);
    });
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      reject(new Error(`Cannot start the FMP simulator on port ${port}: ${error.message}`));
    });
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") {
        reject(new Error("Cannot start the FMP simulator: the server has no port"));
        return;
      }
      resolve({
        port: address.port,
        close: () =>
          new Promise((closed, failed) => {
            server.close((error) => error ? failed(error) : closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}

/** Reads a request body as text; null when it has more than `maxBytes`. */
export async function readBody(
  request: IncomingMessage,
  maxBytes = 1_000_000,
): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    // The rest is read and dropped, so that the client gets to read the answer.
    if (bytes <= maxBytes) text += decoder.decode(chunk, { stream: true });
  }
  return bytes > maxBytes ? null : text + decoder.decode();
}

/** What went over the wire. */
export interface Sent {
  /** null when no status line was sent. */
  status: number | null;
  bytes: number;
}

/** Sends an answer the way its `delivery` says and resolves when the exchange is over. */
export async function deliver(reply: Reply, response: ServerResponse): Promise<Sent> {
  const socket = response.socket;
  const body = new TextEncoder().encode(reply.body);
  const headers = { ...reply.headers, "content-length": String(body.length) };
  const over = new Promise<void>((resolve) => {
    response.once("close", () => resolve());
    response.once("finish", () => resolve());
  });
  switch (reply.delivery.how) {
    case "whole":
      response.writeHead(reply.status, headers);
      response.end(body);
      await over;
      return { status: reply.status, bytes: body.length };
    case "never":
      await over;
      return { status: null, bytes: 0 };
    case "reset":
      socket?.resetAndDestroy();
      return { status: null, bytes: 0 };
    case "cut":
    case "stall": {
      const part = body.subarray(0, reply.delivery.bytes);
      response.writeHead(reply.status, headers);
      await new Promise<void>((resolve) => response.write(part, () => resolve()));
      if (reply.delivery.how === "cut") socket?.destroy();
      else await over;
      return { status: reply.status, bytes: part.length };
    }
  }
}
