import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A line to a local port, on which nothing moves while it is held. */
export interface Line {
  port: number;
  hold(): void;
  release(): void;
  stop(): Promise<void>;
}

export async function startLine(to: number): Promise<Line> {
  const ends = new Set<Socket>();
  let held = false;
  // An end that goes takes the other with it; an error says no more than that it went.
  const join = (from: Socket, onto: Socket) => {
    ends.add(from);
    if (held) from.pause();
    from.on("data", (bytes) => onto.write(bytes));
    from.on("error", () => onto.destroy());
    from.on("close", () => {
      ends.delete(from);
      onto.destroy();
    });
  };
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    join(near, far);
    join(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    hold() {
      held = true;
      ends.forEach((end) => end.pause());
    },
    release() {
      held = false;
      ends.forEach((end) => end.resume());
    },
    async stop() {
      ends.forEach((end) => end.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
