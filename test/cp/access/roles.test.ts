import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { accessTo, isWrite } from "../../../src/cp/access/method-access.ts";
import { suffices, type Role } from "../../../src/cp/access/roles.ts";
import { newToken } from "../../../src/cp/access/token.ts";
import { ADMIN_SERVICES } from "../../../src/cp/admin/services.ts";
import { Health } from "../../../src/gen/grpc/health/v1/health_pb.js";
import { ServerReflection } from "../../../src/gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "../../../src/gen/grpc/reflection/v1alpha/reflection_pb.js";
import { WorkspaceService } from "../../../src/gen/holdfast/admin/v1/workspace_service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { bearing, outcomeOf, TokenFile } from "../../support/admin-callers.ts";
import {
  PROTOCOLS,
  startAdminServer,
  transportTo,
  type AdminServer,
} from "../../support/admin-server.ts";
import { TempDir } from "../../support/temp-dir.ts";

/** Their answers leave out what is not the caller's; each has a test of its own for that. */
const FILTERED = ["ListWorkspaces"];
const ALL_METHODS: readonly DescMethod[] = ADMIN_SERVICES.flatMap(
  (service) => service.methods,
);
const METHODS = ALL_METHODS.filter(({ name }) => !FILTERED.includes(name));
const ROLES: readonly Role[] = ["read", "write", "admin"];
const REFUSED = ["Unauthenticated", "PermissionDenied"];

let stack: CloseStack;
let server: AdminServer;
let tokens: TokenFile;
beforeAll(async () => {
  stack = new CloseStack();
  const dir = stack.use(await TempDir.make());
  tokens = await TokenFile.make(dir.join("tokens.yml"), {
    read: { roles: { default: "read" } },
    write: { roles: { default: "write" } },
    admin: { roles: { default: "admin" } },
    other: { roles: { other: "admin" } },
    all: { roles: { "*": "admin" } },
    gone: { roles: { "*": "admin" }, expires: "2020-01-01T00:00:00Z" },
  });
  server = await startAdminServer(stack, { tokenFile: tokens.file });
  // So that those who watch nodes are told something.
  server.nodes.serve("n1", 0n);
});
afterAll(() => stack.close());

const call = (
  method: DescMethod,
  caller: string | undefined,
  {
    protocol = "connect-1.1",
    workspace = "",
  }: { protocol?: (typeof PROTOCOLS)[number]; workspace?: string } = {},
) =>
  outcomeOf(method, {
    url: server.url,
    protocol,
    token:
      caller === undefined
        ? undefined
        : caller.startsWith("hf_")
          ? caller
          : tokens.tokenOf(caller),
    workspace,
  });

describe("the table of roles", () => {
  test("has a row for each method, and what changes something never needs less than write", () => {
    for (const method of METHODS) {
      const { needs } = accessTo(method);
      expect(
        isWrite(method) ? ["write", "admin"] : ROLES,
        method.name,
      ).toContain(needs);
    }
  });

  test("knows the workspace of each method: of those whose messages name none, it comes in parts", () => {
    for (const method of METHODS) {
      const { workspace, dryRun } = accessTo(method);
      const has = (field: string) =>
        method.input.fields.some(({ name }) => name === field);
      if (workspace === "request") {
        expect(has("workspace"), method.name).toBe(true);
        if (dryRun === true) expect(has("dry_run"), method.name).toBe(true);
      } else expect(workspace, method.name).toBe("parts");
    }
  });
});

describe.each(METHODS.map((method) => ({ name: method.name, method })))(
  "$name",
  ({ method }) => {
    test("is refused to whom nobody knows", async () => {
      for (const caller of [undefined, newToken(), "gone"])
        expect(await call(method, caller)).toBe("Unauthenticated");
    });

    test("is refused with a role of another workspace, also when that is not there", async () => {
      expect(await call(method, "other")).toBe("PermissionDenied");
      expect(await call(method, "admin", { workspace: "other" })).toBe(
        "PermissionDenied",
      );
      expect(
        await call(method, "other", { workspace: "default", protocol: "grpc" }),
      ).toBe("PermissionDenied");
    });

    test("is made with a role that suffices, and with no other", async () => {
      const { needs } = accessTo(method);
      for (const role of ROLES) {
        const outcome = await call(method, role);
        if (suffices(role, needs as Role))
          expect(REFUSED, role).not.toContain(outcome);
        else expect(outcome, role).toBe("PermissionDenied");
        expect(outcome, role).not.toBe("Internal");
      }
      expect(REFUSED).not.toContain(await call(method, "all"));
    });
  },
);

describe.each(PROTOCOLS)("by %s", (protocol) => {
  const sample = ["Put", "Get", "Watch", "TransactStream", "ListAuditRecords"];

  test("the same holds", async () => {
    for (const method of METHODS.filter(({ name }) => sample.includes(name))) {
      // Browsers' protocol has no streams of requests.
      if (protocol.startsWith("grpc-web") && method.name === "TransactStream")
        continue;
      const by = (caller?: string) => call(method, caller, { protocol });
      expect(await by(), method.name).toBe("Unauthenticated");
      expect(await by(newToken()), method.name).toBe("Unauthenticated");
      expect(await by("other"), method.name).toBe("PermissionDenied");
      expect(REFUSED, method.name).not.toContain(await by("admin"));
    }
  });
});

test("workspaces are listed for those who may read them", async () => {
  const listed = async (caller: string | undefined) => {
    const transport = transportTo(
      server.url,
      "grpc",
      bearing(caller && tokens.tokenOf(caller)),
    );
    const answer = await createClient(WorkspaceService, transport)
      .listWorkspaces({})
      .catch((error: unknown) => ConnectError.from(error));
    return answer instanceof ConnectError
      ? Code[answer.code]
      : answer.workspaces.map(({ name }) => name);
  };
  expect(await listed(undefined)).toBe("Unauthenticated");
  expect(await listed("other")).toEqual([]);
  expect(await listed("read")).toEqual(["default"]);
  expect(await listed("all")).toEqual(["default"]);
});

test("a copy needs a role in both of its workspaces", async () => {
  const copy = async (caller: string, workspace: string, to: string) => {
    const transport = transportTo(
      server.url,
      "grpc",
      bearing(tokens.tokenOf(caller)),
    );
    return createClient(WorkspaceService, transport)
      .copyWorkspace({ workspace, to })
      .then(
        () => "Ok",
        (error: unknown) => Code[ConnectError.from(error).code],
      );
  };
  expect(await copy("admin", "default", "other")).toBe("PermissionDenied");
  expect(await copy("other", "default", "other")).toBe("PermissionDenied");
  expect(await copy("other", "", "other")).toBe("PermissionDenied");
});

test("health is for anybody; reflection for whoever has a token", async () => {
  for (const method of Health.methods)
    expect(REFUSED).not.toContain(await call(method, undefined));
  for (const { methods } of [ServerReflection, ServerReflectionAlpha])
    for (const method of methods) {
      const by = (caller?: string) =>
        call(method, caller, { protocol: "grpc" });
      expect(await by()).toBe("Unauthenticated");
      expect(await by("other")).toBe("Ok");
    }
});
