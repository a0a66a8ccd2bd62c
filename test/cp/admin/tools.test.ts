import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { ADMIN_SERVICES } from "../../../src/cp/admin/services.ts";
import { findGrpcurl } from "../../support/grpcurl.ts";

const run = promisify(execFile);
const CONFIG = "holdfast.admin.v1.ConfigService";
const SERVICES = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  ...ADMIN_SERVICES.map((service) => service.typeName),
].sort();
const grpcurl = findGrpcurl();

let stack: CloseStack;
let server: AdminServer;
/** A folder with a .proto file of methods that are not served. */
let protos: string;
beforeAll(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
  protos = await mkdtemp(path.join(tmpdir(), "holdfast-protos-"));
  stack.defer(() => rm(protos, { recursive: true }));
  await writeFile(
    path.join(protos, "future.proto"),
    `syntax = "proto3";
package holdfast.admin.v1;
message Nothing {}
service ConfigService { rpc Future(Nothing) returns (Nothing); rpc Futures(Nothing) returns (stream Nothing); }
`,
  );
});
afterAll(() => stack.close());

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function call(program: string, ...args: string[]): Promise<Ended> {
  try {
    return { code: 0, ...(await run(program, args, { timeout: 20_000 })) };
  } catch (error) {
    return error as Ended;
  }
}

describe("buf curl, which needs no proto files,", () => {
  const buf = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
  const curl = (...args: string[]): Promise<Ended> =>
    call(process.execPath, buf, "curl", ...args);

  test.each(["grpc-v1", "grpc-v1alpha"])(
    "lists services by %s",
    async (version) => {
      const { stdout, stderr } = await curl(
        "--http2-prior-knowledge",
        "--protocol=grpc",
        `--reflect-protocol=${version}`,
        "--list-services",
        server.url,
      );
      expect(stderr).not.toMatch(/Failure/);
      expect(stdout.trim().split("\n").sort()).toEqual(SERVICES);
    },
    30_000,
  );

  test.each([
    ["grpc", "--http2-prior-knowledge"],
    ["grpcweb", "--http2-prior-knowledge"],
    ["connect", "--http2-prior-knowledge"],
  ])(
    "writes and reads a resource by %s",
    async (protocol, http) => {
      const name = `buf-${protocol}`;
      const put = await curl(
        http,
        `--protocol=${protocol}`,
        `-d={"resource":{"service":{"name":"${name}","host":"h.internal"}}}`,
        `${server.url}/${CONFIG}/Put`,
      );
      expect(JSON.parse(put.stdout)).toMatchObject({
        resource: { service: { name, host: "h.internal", port: 80 } },
      });
      const missing = await curl(
        http,
        `--protocol=${protocol}`,
        '-d={"kind":"service","name":"nowhere"}',
        `${server.url}/${CONFIG}/Get`,
      );
      expect(missing.code).not.toBe(0);
      expect(missing.stderr).toMatch(/not_found/);
      expect(missing.stderr).toMatch(/google.rpc.BadRequest/);
    },
    30_000,
  );
});

describe("grpcurl, which needs no proto files,", () => {
  const curl = (...args: string[]): Promise<Ended> =>
    call(grpcurl ?? "", "-plaintext", ...args);
  const address = (): string => server.url.replace("http://", "");

  test.skipIf(grpcurl === undefined)(
    "lists services and describes types, those of error details and plugins too",
    async () => {
      const { stdout } = await curl(address(), "list");
      expect(stdout.trim().split("\n").sort()).toEqual(SERVICES);
      for (const [symbol, field] of [
        ["google.rpc.BadRequest", "field_violations"],
        ["holdfast.config.v1.Route", "strip_path"],
        ["holdfast.admin.v1.ConfigService.Put", "rpc Put"],
        ["holdfast.plugin.v1.CorsConfig", "origins"],
        ["grpc.health.v1.HealthListResponse", "statuses"],
      ])
        expect((await curl(address(), "describe", symbol!)).stdout).toContain(
          field,
        );
    },
  );

  test.skipIf(grpcurl === undefined)(
    "writes, reads and sees every violation",
    async () => {
      const put = await curl(
        "-d",
        '{"resource":{"service":{"name":"grpcurl","host":"h.internal"}}}',
        address(),
        `${CONFIG}/Put`,
      );
      expect(JSON.parse(put.stdout)).toMatchObject({
        changes: [{ kind: "service", name: "grpcurl", action: "create" }],
      });
      const wrong = await curl(
        "-d",
        '{"resource":{"route":{"name":"x","paths":["a","b"]}},"dry_run":true}',
        address(),
        `${CONFIG}/Put`,
      );
      expect(wrong.code).not.toBe(0);
      expect(wrong.stderr).toMatch(/Code: InvalidArgument/);
      expect(wrong.stderr).toMatch(/"field": "route \\"x\\": paths\[0\]"/);
      expect(wrong.stderr).toMatch(/"field": "route \\"x\\": paths\[1\]"/);
      expect(wrong.stderr).toMatch(/DryRunPlan"[^]*"action": "create"/);
    },
  );

  test.skipIf(grpcurl === undefined)(
    "asks for health and watches",
    async () => {
      const check = await curl(address(), "grpc.health.v1.Health/Check");
      expect(JSON.parse(check.stdout)).toEqual({ status: "SERVING" });
      const watch = await curl(
        "-max-time=1",
        "-d",
        '{"after_revision":"0"}',
        address(),
        `${CONFIG}/Watch`,
      );
      expect(watch.stderr).toMatch(/DeadlineExceeded/);
      expect(watch.stdout).toMatch(/"heartbeat"[^]*"revision"/);
    },
  );

  test.skipIf(grpcurl === undefined)(
    "is told that a method does not exist, whether it streams or not",
    async () => {
      for (const method of ["Future", "Futures"]) {
        const ended = await curl(
          `-import-path=${protos}`,
          "-proto=future.proto",
          address(),
          `${CONFIG}/${method}`,
        );
        expect(ended.stderr).toMatch(/Code: Unimplemented/);
        expect(ended.stderr).toContain(
          `service ${CONFIG} has no method ${method}`,
        );
      }
    },
  );
});
