import { create, toBinary } from "@bufbuild/protobuf";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ADMIN_SERVICES } from "../../../src/cp/admin/services.ts";
import {
  ApplyRequestSchema,
  TransactRequestSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { findGrpcurl } from "../../support/grpcurl.ts";

const run = promisify(execFile);
const grpcurl = findGrpcurl();

let stack: CloseStack;
let server: AdminServer;
beforeAll(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
  server.nodes.set({ id: "edge" });
});
afterAll(() => stack.close());

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Calls a method with nothing but its name and JSON. Streams that do not end are left after a moment. */
async function call(method: string, request: unknown): Promise<Ended> {
  const address = server.url.replace("http://", "");
  const argv = ["-plaintext", "-max-time=1", "-d", JSON.stringify(request)];
  try {
    const options = { timeout: 20_000 };
    const ended = await run(grpcurl!, [...argv, address, method], options);
    return { code: 0, ...ended };
  } catch (error) {
    return error as Ended;
  }
}

/** What an encoded request is in JSON. */
const pieces = (data: Uint8Array): string =>
  Buffer.from(data).toString("base64");

const service = (name: string) => ({ name, host: "h.test" });
const kong = (name: string) =>
  `{"_format_version":"3.0","services":[{"name":"${name}","host":"h.test"}]}`;

/** In this order: what to say to a method, and something that the answer has; or the code of the error it ends with. */
const calls: readonly (readonly [string, unknown, string])[] = [
  ["ConfigService/Put", { resource: { service: service("a") } }, '"create"'],
  ["ConfigService/Get", { kind: "service", name: "a" }, '"h.test"'],
  ["ConfigService/List", { kind: "services" }, '"h.test"'],
  [
    "ConfigService/Transact",
    { operations: [{ put: { service: service("b") } }] },
    '"revision": "2"',
  ],
  [
    "ConfigService/TransactStream",
    {
      data: pieces(
        toBinary(
          TransactRequestSchema,
          create(TransactRequestSchema, {
            operations: [
              {
                operation: {
                  case: "put",
                  value: { kind: { case: "service", value: service("c") } },
                },
              },
            ],
          }),
        ),
      ),
    },
    '"revision": "3"',
  ],
  [
    "ConfigService/Apply",
    { files: [{ name: "kong.json", content: kong("d") }] },
    '"revision": "4"',
  ],
  [
    "ConfigService/ApplyStream",
    {
      data: pieces(
        toBinary(
          ApplyRequestSchema,
          create(ApplyRequestSchema, {
            files: [{ name: "kong.json", content: kong("e") }],
          }),
        ),
      ),
    },
    '"revision": "5"',
  ],
  ["ConfigService/Delete", { kind: "service", name: "a" }, '"delete"'],
  ["ConfigService/Export", {}, '"cursor"'],
  ["ConfigService/ListRevisions", { page_size: 2 }, '"nextPageToken"'],
  ["ConfigService/GetRevision", { revision: 6 }, '"before"'],
  ["ConfigService/Diff", { from_revision: 1, to_revision: 2 }, '"after"'],
  ["ConfigService/Rollback", { revision: 1 }, '"revision": "7"'],
  ["ConfigService/WaitForRevision", { timeout: "0.1s" }, '"timedOut": true'],
  ["ConfigService/Watch", { after_revision: 6 }, '"more"|"changes"'],
  ["ConfigService/Adopt", {}, '"predecessors"'],
  ["NodeService/ListNodes", {}, '"edge"'],
  ["NodeService/GetNode", { id: "edge" }, '"edge"'],
  ["NodeService/WatchNodes", {}, '"edge"'],
  ["NodeService/Retry", { id: "edge" }, "{"],
  ["NodeService/Allow", { id: "edge" }, "{"],
  ["NodeService/Forget", { id: "edge" }, "Code: FailedPrecondition"],
  ["NodeService/ListUpstreamHealth", {}, "{"],
  ["WorkspaceService/CreateWorkspace", { workspace: "x" }, '"epoch"'],
  ["WorkspaceService/CopyWorkspace", { to: "y" }, '"entryCount": "1"'],
  ["WorkspaceService/ListWorkspaces", {}, '"default"[^]*"x"[^]*"y"'],
  ["WorkspaceService/GetWorkspace", { workspace: "x" }, '"head"'],
  [
    "WorkspaceService/DeleteWorkspace",
    { workspace: "y" },
    "Code: FailedPrecondition",
  ],
  ["AuditService/ListAuditRecords", {}, '"ConfigService/Put"|Put'],
];

test.skipIf(grpcurl === undefined)(
  "every method of every service is called with grpcurl and JSON, and answers",
  async () => {
    for (const [method, request, expected] of calls) {
      const ended = await call(`holdfast.admin.v1.${method}`, request);
      expect(`${method}: ${ended.stdout}${ended.stderr}`).toMatch(
        new RegExp(expected),
      );
    }
  },
);

const written = new Set(calls.map(([method]) => `holdfast.admin.v1.${method}`));
const others = ADMIN_SERVICES.flatMap(({ typeName, methods }) =>
  methods.map(({ name }) => `${typeName}/${name}`),
).filter((method) => !written.has(method));

test.skipIf(grpcurl === undefined)(
  "and the others take an empty request, or say what is wrong with it",
  async () => {
    for (const method of others) {
      const { stderr } = await call(method, {});
      expect(`${method}: ${stderr}`).not.toMatch(
        /Code: (Unimplemented|Internal|Unknown)/,
      );
    }
  },
);

test.skipIf(grpcurl === undefined).each([
  ["ConfigService/Get", { kind: "service", name: "nowhere" }, "NotFound"],
  ["ConfigService/Get", { kind: "teapot", name: "a" }, "InvalidArgument"],
  ["ConfigService/List", { kind: "route", page_size: -1 }, "InvalidArgument"],
  ["ConfigService/GetRevision", { revision: 999 }, "NotFound"],
  ["ConfigService/Rollback", { revision: 999 }, "NotFound"],
  [
    "ConfigService/Transact",
    { operations: [], expected_revision: "999" },
    "Aborted",
  ],
  ["ConfigService/Watch", { after_revision: 1, epoch: "of old" }, "OutOfRange"],
  ["ConfigService/List", { kind: "route", workspace: "none" }, "NotFound"],
  ["NodeService/GetNode", { id: "nowhere" }, "NotFound"],
])("%s of %j is told why not, readably", async (method, request, code) => {
  const { stderr } = await call(`holdfast.admin.v1.${method}`, request);
  expect(stderr).toContain(`Code: ${code}\n`);
  expect(stderr).toMatch(/Message: \S+ .*\S/);
  expect(stderr).toMatch(
    /"@type": "type.googleapis.com\/google.rpc.BadRequest"/,
  );
  expect(stderr).toMatch(/"description": "\S+/);
});

test.skipIf(grpcurl === undefined)(
  "a field that is not known is named before anything is sent",
  async () => {
    const { code, stderr } = await call(
      "holdfast.admin.v1.ConfigService/List",
      { knid: "route" },
    );
    expect(code).not.toBe(0);
    expect(stderr).toContain("knid");
  },
);
