import { expect, test } from "vitest";
import { DirectForwarder } from "../../../../src/dp/gateway/proxy/direct/direct-forwarder.ts";
import { HeaderBag } from "../../../../src/dp/gateway/proxy/header-bag.ts";
import { UpstreamAgent } from "../../../../src/dp/gateway/proxy/upstream-agent.ts";
import { systemClock } from "../../../../src/runtime/clock.ts";
import { Upstream } from "../../../support/upstream.ts";

test("a request that cannot be sent is its maker's failure and not the upstream's, and leaves no connection", async () => {
  await using upstream = await Upstream.start();
  const agent = new UpstreamAgent(systemClock);
  const connecting = new DirectForwarder().connect(
    { protocol: "http", host: "127.0.0.1", port: upstream.port, agent },
    {
      method: "GET",
      path: "/a b",
      headers: new HeaderBag(),
      framing: undefined,
    },
    { upgrade: false, onRequest: () => undefined },
  );
  await expect(connecting).rejects.toThrow("cannot be sent");
  expect(agent.open).toBe(0);
});
