import { expect, test } from "vitest";
import { ConnectProxy } from "../support/connect-proxy.ts";
import { eventually } from "../support/eventually.ts";
import {
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { TempDir } from "../support/temp-dir.ts";

async function ready(dp: HoldfastProcess): Promise<void> {
  await eventually(
    async () =>
      (await fetch(dp.url("status", "/status/ready"))).status === 200 ||
      undefined,
    "the data plane to be ready",
  );
}

function logged(dp: HoldfastProcess, text: string): Promise<true> {
  return eventually(
    () => dp.log.some((line) => line.includes(text)) || undefined,
    `a line with ${text}`,
  );
}

test("a data plane reaches its control plane through a proxy that asks for a password, in one tunnel, and again when that is cut", async () => {
  await using dir = await TempDir.make();
  await using cp = await startCp(dir.join("cp"));
  await using proxy = await ConnectProxy.start("me:p@ss");
  const sync = cp.address("sync");
  await using dp = await startDp(
    dir.join("dp"),
    sync,
    "--cluster-proxy",
    `http://me:p%40ss@${proxy.address}`,
  );
  await ready(dp);
  expect(proxy.asked).toEqual([`${sync} 200`]);
  proxy.cut();
  await eventually(() => proxy.asked[1], "another tunnel");
  expect(proxy.asked).toEqual([`${sync} 200`, `${sync} 200`]);
  expect(dp.log.join("\n")).not.toContain("p@ss");
});

test("a proxy that refuses is named in the log, with its answer; when it no longer does, the data plane is there", async () => {
  await using dir = await TempDir.make();
  await using cp = await startCp(dir.join("cp"));
  await using proxy = await ConnectProxy.start();
  proxy.refusal = "403 Not For You";
  const sync = cp.address("sync");
  await using dp = await startDp(
    dir.join("dp"),
    sync,
    "--cluster-proxy",
    proxy.address,
  );
  await logged(
    dp,
    `the proxy ${proxy.address} refused a tunnel to ${sync}: \\"HTTP/1.1 403 Not For You\\"`,
  );
  const status = await (await fetch(dp.url("status", "/status"))).json();
  expect(status).toMatchObject({
    control_plane: null,
    control_planes: [
      {
        address: sync,
        last_error: expect.stringContaining("403 Not For You") as string,
      },
    ],
  });
  proxy.refusal = undefined;
  await ready(dp);
});

test("without the password it asks for, and without the proxy, the log says so", async () => {
  await using dir = await TempDir.make();
  const gone = await ConnectProxy.start();
  await gone[Symbol.asyncDispose]();
  await using proxy = await ConnectProxy.start("me:secret");
  await using unknown = await startDp(
    dir.join("unknown"),
    "127.0.0.1:1",
    "--cluster-proxy",
    proxy.address,
  );
  await logged(unknown, "407 Proxy Authentication Required");
  await using alone = await startDp(
    dir.join("alone"),
    "127.0.0.1:1",
    "--cluster-proxy",
    gone.address,
  );
  await logged(alone, `connect ECONNREFUSED ${gone.address}`);
});
