import { Counter, Gauge, Registry } from "prom-client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { formatHostPort } from "../../src/runtime/host-port.ts";
import { HttpListener } from "../../src/runtime/http-listener.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { createProcessRegistry } from "../../src/runtime/metrics.ts";
import { statusHandler, statusOnly } from "../../src/runtime/status.ts";

let stack: CloseStack;
let url: string;
let registry: Registry;
let reason: string | undefined;
beforeEach(async () => {
  stack = new CloseStack();
  registry = new Registry();
  reason = undefined;
  const listener = await HttpListener.listen(
    { host: "127.0.0.1", port: 0 },
    statusOnly(
      statusHandler(
        {
          status: () => ({ role: "dp" }),
          notReady: () => reason,
          config: () => ({ revision: "3" }),
        },
        registry,
      ),
    ),
    { clock: systemClock, logger: silentLogger },
  );
  stack.use(listener);
  url = `http://${formatHostPort(listener.address)}`;
});
afterEach(() => stack.close());

test("ready is 503 with the reason while there is one, and live all the same", async () => {
  reason = "there is no configuration yet";
  const ready = await fetch(`${url}/status/ready`);
  expect(ready.status).toBe(503);
  expect(await ready.json()).toEqual({ ready: false, reason });
  expect((await fetch(`${url}/status/live`)).status).toBe(200);
  reason = undefined;
  expect((await fetch(`${url}/status/ready`)).status).toBe(200);
});

test("metrics are in Prometheus' text form", async () => {
  new Counter({
    name: "holdfast_things_total",
    help: "Things.",
    registers: [registry],
  }).inc(3);
  const response = await fetch(`${url}/metrics`);
  expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
  expect(await response.text()).toMatch(/^holdfast_things_total 3$/m);
});

test("a metric that cannot be read is an error, and the server goes on", async () => {
  new Gauge({
    name: "holdfast_broken",
    help: "Broken.",
    registers: [registry],
    collect: () => {
      throw new Error("no disk");
    },
  });
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(500);
  expect(await response.json()).toEqual({ message: "no disk" });
  expect((await fetch(`${url}/status`)).status).toBe(200);
});

test("other paths are not found, and the ones there are are named", async () => {
  const response = await fetch(`${url}/`);
  expect(response.status).toBe(404);
  expect(await response.text()).toMatch(/there are \/status, /);
});

test("a process's registry says which build runs", async () => {
  const text = await createProcessRegistry("1.2.3", "cp").metrics();
  expect(text).toMatch(/^holdfast_build_info\{build="1\.2\.3",role="cp"\} 1$/m);
  expect(text).toMatch(/^process_cpu_seconds_total /m);
});
