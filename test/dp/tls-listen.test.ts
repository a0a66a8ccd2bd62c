import { expect, test } from "vitest";
import { startDataPlane } from "../../src/dp/data-plane.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { Http2Client } from "../support/tls-gateway.ts";

const ANY = { host: "127.0.0.1", port: 0 };

test("a data plane listens with TLS when it is told where, and says so", async () => {
  const dataDir = await temporaryDirectory();
  await using dataPlane = await startDataPlane(
    {
      controlPlanes: [{ host: "127.0.0.1", port: 9 }],
      proxyListen: ANY,
      proxyTlsListen: ANY,
      statusListen: ANY,
      dataDir,
      labels: {},
      workspace: "default",
      gateway: { onUnsupported: "refuse" },
      insecureSync: true,
      build: "test",
    },
    { clock: systemClock, logger: silentLogger },
  );
  const port = Number(dataPlane.addresses.proxy_tls?.split(":").at(-1));
  await using client = await Http2Client.secure(port);
  expect((await client.ask("/")).status).toBe(503);
});
