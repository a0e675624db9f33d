export type Fault =
  /** Answered in place of the queue. */
  | "503"
  | "500"
  | "502 html"
  | "silence"
  /** The call takes effect, and its answer does not arrive. */
  | "502 html after"
  | "200 html after"
  | "cut off after";

/** What becomes of every third call of a function, in turn, until the list ends. */
export const FAULTS: Record<string, readonly Fault[]> = {
  get_queue_batch_v2: [
    "503",
    "502 html",
    "502 html after",
    "500",
    "503",
    "200 html after",
    "502 html",
    "silence",
  ],
  settle_queue_batch_v2: [
    "503",
    "502 html after",
    "500",
    "cut off after",
    "silence",
    "200 html after",
    "502 html",
  ],
  heartbeat_processor_run_v2: ["503"],
  finish_processor_run_v2: ["502 html after"],
};

const HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>";

export interface FaultyGateway {
  url: string;
  /** With the number of jobs that a settle completes. */
  injected: { name: string; fault: Fault; completed: number }[];
  stop(): Promise<void>;
}

/** Forwards to the API of a project and does what `FAULTS` says to some of the calls. */
export function startFaultyGateway(apiUrl: string): FaultyGateway {
  const injected: FaultyGateway["injected"] = [];
  const calls = new Map<string, number>();
  const stopping = new AbortController();
  const silence = new Promise<Response>((resolve) =>
    stopping.signal.addEventListener("abort", () => resolve(new Response()))
  );

  function nextFault(name: string): Fault | undefined {
    const call = calls.get(name) ?? 0;
    calls.set(name, call + 1);
    const faults = FAULTS[name] ?? [];
    return call % 3 === 0 ? faults[call / 3] : undefined;
  }

  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    signal: stopping.signal,
  }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const name = pathname.split("/").at(-1)!;
    const body = await request.text();
    const fault = nextFault(name);
    if (fault !== undefined) {
      const results: { outcome: string }[] = JSON.parse(body).p_results ?? [];
      const completed = results.filter(({ outcome }) => outcome === "completed").length;
      injected.push({ name, fault, completed });
    }
    if (fault === "silence") return await silence;
    if (fault === "503") return Response.json({ message: "no server" }, { status: 503 });
    if (fault === "500") return Response.json({ message: "out of order" }, { status: 500 });
    const html = (status: number) =>
      new Response(HTML, { status, headers: { "content-type": "text/html" } });
    if (fault === "502 html") return html(502);
    const headers = new Headers(request.headers);
    headers.delete("host");
    const answer = await fetch(`${apiUrl}${pathname}${search}`, {
      method: request.method,
      headers,
      body,
    });
    const text = await answer.text();
    if (fault === "502 html after") return html(502);
    if (fault === "200 html after") return html(200);
    return new Response(fault === "cut off after" ? text.slice(0, text.length / 2) : text, {
      status: answer.status,
      headers: { "content-type": answer.headers.get("content-type") ?? "application/json" },
    });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    injected,
    async stop() {
      stopping.abort();
      await server.finished;
    },
  };
}
