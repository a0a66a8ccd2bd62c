import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { CliControlPlane } from "../support/cli-control-plane.ts";
import { HOLDFAST } from "../support/holdfast-process.ts";

const EXAMPLE = fileURLToPath(
  new URL("../../examples/gitops", import.meta.url),
);

test("the pipeline of examples/gitops checks, applies, and finds what was changed by hand", async () => {
  await using plane = await CliControlPlane.start();
  // As it is called where it is installed.
  const command = plane.dir.join("holdfast");
  await writeFile(
    command,
    `#!/bin/sh\nexec "${process.execPath}" "${HOLDFAST}" "$@"\n`,
  );
  await chmod(command, 0o755);
  const pipeline = async (step: string, host: string) => {
    const child = spawn("/bin/sh", ["./pipeline.sh", step], {
      cwd: EXAMPLE,
      env: {
        PATH: process.env["PATH"],
        HOLDFAST: command,
        HOLDFAST_ADMIN: plane.admin,
        DECK_ORDERS_HOST: host,
        DECK_SHOP_KEY: "key-of-the-shop",
        HOLDFAST_AUTHOR: "ci",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let told = "";
    const hear = (part: Buffer) => (told += part.toString());
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    const [code] = (await once(child, "close")) as [number];
    return { code, told };
  };

  await plane.apply('_format_version: "3.0"\nconsumers: [{username: theirs}]');
  const first = await pipeline("check", "orders.internal");
  expect(first.told).toMatch(/valid: 6 entities\n/);
  expect(first.told).toMatch(/\n6 to create\n$/);
  expect(first.code).toBe(0);
  const applied = await pipeline("apply", "orders.internal");
  expect(applied.told).toMatch(/revision 2: 6 created\n/);
  expect(applied.code).toBe(0);
  expect(await plane.json("get", "service", "orders")).toMatchObject({
    service: {
      host: "orders.internal",
      port: 8080,
      retries: 2,
      tags: ["gitops"],
    },
  });
  // Another value of the environment, and a route that somebody made by hand with the pipeline's tag.
  await plane.apply(
    '_format_version: "3.0"\nroutes: [{name: by-hand, paths: [/x], tags: [gitops]}]',
  );
  const second = await pipeline("check", "other.internal");
  expect(second.told).toMatch(
    /~ service {2}orders\n {4}host: "orders\.internal" -> "other\.internal"\n- route {4}by-hand\n1 to update, 1 to delete\n$/,
  );
  expect(second.told).not.toContain("key-of-the-shop");
}, 60_000);
