import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { BadRequestSchema } from "../../../src/gen/google/rpc/error_details_pb.js";
import {
  ApplyRequestSchema,
  DryRunPlanSchema,
  TransactRequestSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { ConfigError } from "../../../src/model/violation.ts";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  take,
  type AdminServer,
} from "../../support/admin-server.ts";

vi.setConfig({ testTimeout: 60_000 });

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterEach(() => stack.close());

async function* parts(bytes: Uint8Array, size = 1 << 18) {
  for (let at = 0; at < bytes.length; at += size)
    yield { data: bytes.subarray(at, at + size) };
}

/** Puts services of about 100 KiB each, as one revision. */
async function putLarge(count: number): Promise<void> {
  const operations = Array.from({ length: count }, (_, i) => ({
    operation: {
      case: "put" as const,
      value: {
        kind: {
          case: "service" as const,
          value: {
            name: `large-${i}`,
            host: "h.internal",
            tags: Array.from({ length: 100 }, () =>
              randomBytes(500).toString("hex"),
            ),
          },
        },
      },
    },
  }));
  const request = create(TransactRequestSchema, { operations });
  await server.config.transactStream(
    parts(toBinary(TransactRequestSchema, request)),
  );
}

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  return ConnectError.from(
    await call.then(
      () => new Error("it did not fail"),
      (error: unknown) => error,
    ),
  );
}

describe("large answers", () => {
  test.each(["grpc", "connect-json"] as const)(
    "by %s come in pages, parts or cut, none over 4 MiB, and nothing is lost",
    async (protocol) => {
      await putLarge(100);
      const { config } = server.clients(protocol);

      const ids = new Set<string>();
      let pageToken = "";
      let pages = 0;
      do {
        const page = await config.list({
          kind: "service",
          pageSize: 1000,
          pageToken,
        });
        for (const { kind } of page.resources) ids.add(kind.value!.id);
        pageToken = page.nextPageToken;
        pages++;
      } while (pageToken !== "");
      expect(ids.size).toBe(100);
      expect(pages).toBeGreaterThan(2);

      const exported = new Set<string>();
      for await (const part of config.export({}))
        for (const { kind } of part.resources) exported.add(kind.value!.id);
      expect(exported).toEqual(ids);

      const revision = await config.getRevision({ revision: 1n });
      expect(revision.revision?.changeCount).toBe(100);
      expect(revision.changes.length).toBeGreaterThan(10);
      expect(revision.changes.length).toBeLessThan(100);
      const diff = await config.diff({ fromRevision: 0n });
      expect(diff.changeCount).toBe(100);
      expect(diff.changes.length).toBe(revision.changes.length);
    },
  );

  test("of writes are cut with a warning, for the write is done", async () => {
    const name = "n".repeat(120);
    const operations = Array.from({ length: 12_000 }, (_, i) => ({
      operation: {
        case: "put" as const,
        value: {
          kind: {
            case: "consumer" as const,
            value: { username: `${name}-${i}` },
          },
        },
      },
    }));
    const request = create(TransactRequestSchema, { operations, dryRun: true });
    const answer = await server.config.transactStream(
      parts(toBinary(TransactRequestSchema, request)),
    );
    expect(answer.changes.length).toBeLessThan(12_000);
    expect(answer.warnings.at(-1)?.message).toBe(
      `only ${answer.changes.length} of 12000 changes are listed here; GetRevision and Watch have them with their content`,
    );
  });
});

describe("large requests", () => {
  test.each(["grpc", "connect-1.1", "grpc-web-2"] as const)(
    "in one message by %s are refused",
    async (protocol) => {
      const error = await failure(
        server.clients(protocol).config.apply({
          files: [{ name: "kong.yml", content: "#".repeat(5 << 20) }],
        }),
      );
      expect(error.code).toBe(Code.ResourceExhausted);
    },
  );

  test.each(["connect-json", "connect-1.1", "grpc-web-2"] as const)(
    "of too many operations by %s are refused",
    async (protocol) => {
      const error = await failure(
        server.clients(protocol).config.transact({
          operations: Array.from({ length: 20_001 }, () => ({})),
        }),
      );
      expect(error.code).toBe(Code.ResourceExhausted);
      expect(error.rawMessage).toMatch(
        "a request may have 20000 operations, and this one has 20001: make several",
      );
    },
  );

  test("that unfold to more when inflated are refused", async () => {
    const response = await fetch(
      `${server.url}/holdfast.admin.v1.ConfigService/Get`,
      {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "content-encoding": "gzip",
        },
        body: gzipSync(Buffer.alloc(64 << 20, " ")),
      },
    );
    expect(await response.json()).toMatchObject({ code: "resource_exhausted" });
  });

  test("in parts are applied, in a thread that leaves ours alone", async () => {
    const services = Array.from(
      { length: 300 },
      (_, i) => `  - name: s${i}\n    host: h${i}.internal\n    port: 8080\n`,
    );
    const content = `_format_version: "3.0"\nservices:\n${services.join("")}`;
    const request = create(ApplyRequestSchema, {
      files: [{ name: "kong.yml", content }],
      author: "me",
    });
    const answer = await server.config.applyStream(
      parts(toBinary(ApplyRequestSchema, request), 1000),
    );
    expect(answer.revision).toBe(1n);
    expect(server.catalog.head.snapshot.entryCount).toBe(300);
    const broken = await failure(
      server.config.apply({
        files: [{ name: "kong.yml", content: `${content}    prot: 1\n` }],
      }),
    );
    expect(broken.code).toBe(Code.InvalidArgument);
    expect(broken.rawMessage).toMatch(/kong\.yml:903:5/);
  });

  test("in parts that are no request are refused", async () => {
    for (const data of [
      Buffer.from("not protobuf at all"),
      Buffer.from([0x12, 0xff, 0xff, 0xff, 0x7f]),
      Buffer.from([0x12, 0x02, 0x0a, 0x7f]),
    ])
      for (const call of [
        server.config.transactStream(parts(data)),
        server.config.applyStream(parts(data)),
      ]) {
        const error = await failure(call);
        expect(error.code).toBe(Code.InvalidArgument);
        expect(error.rawMessage).toMatch(
          /not an encoded request|is empty: give at least one/,
        );
      }
    expect(server.errors).toEqual([]);
  });
});

describe("errors", () => {
  test("by gRPC keep within what clients take as trailers, by JSON they have all", async () => {
    const paths = Array.from({ length: 300 }, (_, i) => `no-slash-${i}`);
    const call = {
      resource: {
        kind: { case: "route" as const, value: { name: "x", paths } },
      },
    };
    const grpc = await failure(server.clients("grpc").config.put(call));
    expect(grpc.code).toBe(Code.InvalidArgument);
    const [few] = grpc.findDetails(BadRequestSchema);
    expect(few!.fieldViolations.length).toBeGreaterThan(10);
    expect(few!.fieldViolations.at(-1)?.description).toMatch(/^and \d+ more; /);
    expect(toBinary(BadRequestSchema, few!).length).toBeLessThanOrEqual(4096);
    const json = await failure(server.clients("connect-json").config.put(call));
    const [all] = json.findDetails(BadRequestSchema);
    expect(all!.fieldViolations).toHaveLength(300);
  });

  test("of a dry run have room for a part of the plan by gRPC", async () => {
    const put = (name: string, paths: string[]) => ({
      operation: {
        case: "put" as const,
        value: { kind: { case: "route" as const, value: { name, paths } } },
      },
    });
    const request = {
      operations: Array.from({ length: 300 }, (_, i) =>
        put(`r${i}`, i < 200 ? ["no-slash"] : ["/"]),
      ),
      dryRun: true,
    };
    const grpc = await failure(server.clients("grpc").config.transact(request));
    const [wrong] = grpc.findDetails(BadRequestSchema);
    const [plan] = grpc.findDetails(DryRunPlanSchema);
    expect(wrong!.fieldViolations.length).toBeGreaterThan(5);
    expect(plan!.changes.length).toBeGreaterThan(5);
    expect(plan!.changeCount).toBe(300);
    expect(
      toBinary(BadRequestSchema, wrong!).length +
        toBinary(DryRunPlanSchema, plan!).length,
    ).toBeLessThanOrEqual(4096);
    const answer = await server
      .clients("grpc")
      .config.transact({ ...request, includeViolations: true });
    expect(answer.changes).toHaveLength(300);
    expect(answer.violations).toHaveLength(200);
  });

  test("nobody expected are logged with their stack and tell nothing", async () => {
    Object.assign(server.catalog, {
      get: () => Promise.reject(new Error("the password is hunter2")),
      export: () => ({
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.reject(new Error("nor this")),
        }),
      }),
    });
    for (const protocol of ["grpc", "connect-json"] as const) {
      const { config } = server.clients(protocol);
      const unary = await failure(
        config.get({ kind: "service", by: { case: "name", value: "x" } }),
      );
      const stream = await failure(take(() => config.export({}), 1));
      for (const error of [unary, stream]) {
        expect(error.code).toBe(Code.Internal);
        expect(error.rawMessage).toBe(
          "internal error; the control plane's log says more",
        );
      }
    }
    expect(server.errors).toHaveLength(4);
    expect(server.errors[0]).toMatchObject({
      event: "rpc.failed",
      fields: {
        rpc: "holdfast.admin.v1.ConfigService/Get",
        err: { message: "the password is hunter2" },
      },
    });
  });

  test.each([
    ["unavailable", Code.Unavailable, 0],
    ["resource_exhausted", Code.ResourceExhausted, 0],
    ["aborted", Code.Aborted, 1],
    ["failed_precondition", Code.FailedPrecondition, 1],
    ["already_exists", Code.AlreadyExists, 1],
    ["out_of_range", Code.OutOfRange, 1],
  ] as const)(
    "of the catalog keep their code: %s",
    async (code, expected, violations) => {
      Object.assign(server.catalog, {
        get: () => Promise.reject(new ConfigError(code, "said the catalog")),
      });
      for (const protocol of ["grpc", "connect-json"] as const) {
        const error = await failure(
          server
            .clients(protocol)
            .config.get({ kind: "service", by: { case: "name", value: "x" } }),
        );
        expect(error.code).toBe(expected);
        expect(error.rawMessage).toBe("said the catalog");
        expect(
          error.findDetails(BadRequestSchema).flatMap((d) => d.fieldViolations),
        ).toHaveLength(violations);
      }
      expect(server.errors).toEqual([]);
    },
  );

  test("with text beyond ASCII arrive whole", async () => {
    Object.assign(server.catalog, {
      get: () =>
        Promise.reject(new ConfigError("aborted", `“ü€\n${"😀".repeat(400)}`)),
    });
    const error = await failure(
      server
        .clients("grpc")
        .config.get({ kind: "service", by: { case: "name", value: "x" } }),
    );
    expect(error.code).toBe(Code.Aborted);
    expect(error.rawMessage).toMatch(/^“ü€\n(?:😀){200,}…$/u);
  });
});
