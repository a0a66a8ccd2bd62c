import { setMaxListeners } from "node:events";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { HttpSender } from "../../../src/dp/plugins/http-sender.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { Upstream } from "../../support/upstream.ts";

function senderTo(port: number): HttpSender {
  return new HttpSender({
    url: `http://127.0.0.1:${port}/`,
    method: "POST",
    headers: {},
    timeoutMs: 10_000,
    keepAliveMs: 1_000,
    clock: systemClock,
  });
}

test("what is sent leaves nothing behind on the signal of its queue, which lasts as long as the plugin", async () => {
  await using upstream = await Upstream.start();
  const sender = senderTo(upstream.port);
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  // What node keeps of it is behind symbols.
  const show = (): string[] =>
    Object.getOwnPropertySymbols(signal).map((symbol) =>
      inspect(Reflect.get(signal, symbol), { depth: 4, showHidden: true }),
    );
  await sender.send("x", signal);
  const before = show();
  await Promise.all([sender.send("x", signal), sender.send("x", signal)]);
  expect(show()).toEqual(before);
  await sender.close();
});

test("what is being sent, or was to be, is given up when its queue is", async () => {
  await using upstream = await Upstream.start(() => undefined);
  const sender = senderTo(upstream.port);
  const queue = new AbortController();
  const sending = sender.send("x", queue.signal);
  const given = expect(sending).rejects.toThrow("the plugin is closed");
  queue.abort(new Error("the plugin is closed"));
  await given;
  await expect(sender.send("x", queue.signal)).rejects.toThrow(
    "the plugin is closed",
  );
  await sender.close();
});
