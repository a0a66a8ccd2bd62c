import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { TRAFFIC_HOST } from "../support/configuration.ts";
import type { Calls } from "../support/child.ts";

/** Requests under way at a time, and how long each of them pauses after its answer. */
const CLIENTS = 8;
const PAUSE_MS = 20;
const REQUEST_MS = 10_000;
/** Traffic that nobody stops ends by itself. */
const TRAFFIC_MS = 5 * 60_000;

/** What became of the requests; milliseconds. */
export interface TrafficResult {
  readonly latencies: readonly number[];
  readonly failures: readonly string[];
}

export interface Traffic {
  /** Starts the upstream and returns its port. */
  readonly upstream: () => Promise<number>;
  /** Sends requests through a gateway until `stop`. */
  readonly start: (gatewayPort: number) => void;
  readonly stop: () => Promise<TrafficResult>;
}

/** A client that keeps sending requests through the gateway, and what they reach. */
export function traffic(): Traffic & Calls {
  let stop = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  let latencies: number[] = [];
  let failures: string[] = [];

  async function client(port: number, signal: AbortSignal): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const untilMs = performance.now() + TRAFFIC_MS;
    while (!signal.aborted && performance.now() < untilMs) {
      const startedMs = performance.now();
      const failure = await get(port, agent);
      latencies.push(performance.now() - startedMs);
      if (failure !== undefined) failures.push(failure);
      await sleep(PAUSE_MS);
    }
    agent.destroy();
  }

  return {
    upstream: async () => {
      const server = createServer((incoming, response) => {
        incoming.resume();
        response.end("ok");
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    start: (gatewayPort) => {
      stop = new AbortController();
      latencies = [];
      failures = [];
      running = Promise.all(
        Array.from({ length: CLIENTS }, () => client(gatewayPort, stop.signal)),
      );
    },
    stop: async () => {
      stop.abort();
      await running;
      return { latencies, failures };
    },
  };
}

/** Sends one request; what is wrong with the answer, or nothing. */
function get(port: number, agent: Agent): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        path: "/some/thing?of=it",
        headers: { host: TRAFFIC_HOST },
        agent,
        timeout: REQUEST_MS,
      },
      (response) => {
        response.resume();
        response.once("end", () => {
          resolve(
            response.statusCode === 200
              ? undefined
              : `status ${response.statusCode}`,
          );
        });
        response.once("error", (error) => {
          resolve(error.message);
        });
      },
    );
    sent.once("timeout", () => sent.destroy(new Error("no answer")));
    sent.once("error", (error) => {
      resolve(error.message);
    });
    sent.end();
  });
}
