import {
  createClient,
  type Client,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Registry } from "prom-client";
import { startAdmin, type AdminOptions } from "../../src/cp/admin/admin.ts";
import { AccessControl } from "../../src/cp/access/access-control.ts";
import { AuditTrail } from "../../src/cp/audit/audit-trail.ts";
import type { Catalog } from "../../src/cp/catalog/catalog.ts";
import { LevelStore } from "../../src/cp/store/level-store.ts";
import { ConfigService } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { NodeService } from "../../src/gen/holdfast/admin/v1/node_service_pb.js";
import { WorkspaceService } from "../../src/gen/holdfast/admin/v1/workspace_service_pb.js";
import { systemClock } from "../../src/runtime/clock.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import { formatHostPort, type HostPort } from "../../src/runtime/host-port.ts";
import {
  silentLogger,
  type LogFields,
  type Logger,
} from "../../src/runtime/logger.ts";
import { fakeNodeWorkspaces } from "./fake-node-workspaces.ts";
import { FakeNodes } from "./fake-nodes.ts";

/** The ways to call the same methods. */
export const PROTOCOLS = [
  "connect-1.1",
  "connect-2",
  "connect-json",
  "grpc",
  "grpc-web-1.1",
  "grpc-web-2",
] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Admin RPCs over a real catalog and store in a temporary directory, with nodes that the test makes up. */
export interface AdminServer {
  readonly address: HostPort;
  /** `http://127.0.0.1:…` */
  readonly url: string;
  readonly catalog: Catalog;
  readonly store: LevelStore;
  readonly nodes: FakeNodes;
  readonly metrics: Registry;
  readonly access: AccessControl;
  readonly trail: AuditTrail;
  /** Lines logged as errors. */
  readonly errors: { event: string; fields: LogFields }[];
  readonly config: Client<typeof ConfigService>;
  readonly node: Client<typeof NodeService>;
  readonly workspace: Client<typeof WorkspaceService>;
  clients(protocol: Protocol): {
    config: Client<typeof ConfigService>;
    nodes: Client<typeof NodeService>;
    workspaces: Client<typeof WorkspaceService>;
  };
  /** Refuses changes from now on, and waits for those under way. */
  drain(): Promise<void>;
  /** Stops the Admin RPCs alone. */
  stop(): Promise<void>;
}

export interface TokenOptions {
  /** Callers that are let in. Absent: anybody. */
  readonly tokenFile?: string;
}

/** Starts the Admin RPCs; the stack ends them and removes the directory. */
export async function startAdminServer(
  stack: CloseStack,
  { tokenFile, ...options }: Partial<AdminOptions> & TokenOptions = {},
): Promise<AdminServer> {
  const clock = options.clock ?? systemClock;
  const directory = await mkdtemp(path.join(tmpdir(), "holdfast-admin-"));
  stack.defer(() => rm(directory, { recursive: true }));
  const store = stack.use(
    await LevelStore.open({ directory: path.join(directory, "store") }),
  );
  const nodes = new FakeNodes();
  const { workspaces, catalog } = await fakeNodeWorkspaces(stack, {
    store,
    clock,
    nodes,
  });
  const metrics = new Registry();
  const errors: AdminServer["errors"] = [];
  const logger: Logger = options.logger ?? {
    ...silentLogger,
    error: (event, fields = {}) => {
      errors.push({ event, fields });
    },
  };
  const trail =
    options.trail ??
    stack.use(
      await AuditTrail.open({
        directory: path.join(directory, "audit"),
        clock,
        logger,
      }),
    );
  const access =
    options.access ??
    stack.use(
      await AccessControl.open({
        tokenFile,
        clientCertificates: options.tls?.wantsClientCertificates ?? false,
        trail,
        clock,
        logger,
        metrics,
      }),
    );
  const admin = await startAdmin({
    listen: { host: "127.0.0.1", port: 0 },
    workspaces,
    clock,
    logger,
    metrics,
    access,
    trail,
    status: {
      status: () => ({ role: "cp" }),
      notReady: () => undefined,
      config: () => ({ entries: catalog.head.snapshot.entryCount }),
    },
    ...options,
  });
  stack.use(admin);
  const url = `${options.tls === undefined ? "http" : "https"}://${formatHostPort(admin.address)}`;
  const clients: AdminServer["clients"] = (protocol) => {
    const transport = transportTo(url, protocol);
    return {
      config: createClient(ConfigService, transport),
      nodes: createClient(NodeService, transport),
      workspaces: createClient(WorkspaceService, transport),
    };
  };
  const { config, nodes: node, workspaces: workspace } = clients("connect-1.1");
  return {
    address: admin.address,
    url,
    catalog,
    store,
    nodes,
    metrics,
    access,
    trail,
    errors,
    config,
    node,
    workspace,
    clients,
    drain: () => admin.drain(),
    stop: () => Promise.resolve(admin[Symbol.asyncDispose]()),
  };
}

/** Calls a server in one of the ways to call it. */
export function transportTo(
  baseUrl: string,
  protocol: Protocol,
  interceptors: Interceptor[] = [],
): Transport {
  switch (protocol) {
    case "connect-1.1":
      return createConnectTransport({
        baseUrl,
        httpVersion: "1.1",
        interceptors,
      });
    case "connect-2":
      return createConnectTransport({
        baseUrl,
        httpVersion: "2",
        interceptors,
      });
    case "connect-json":
      return createConnectTransport({
        baseUrl,
        httpVersion: "1.1",
        useBinaryFormat: false,
        interceptors,
      });
    case "grpc":
      return createGrpcTransport({ baseUrl, interceptors });
    case "grpc-web-1.1":
      return createGrpcWebTransport({
        baseUrl,
        httpVersion: "1.1",
        interceptors,
      });
    case "grpc-web-2":
      return createGrpcWebTransport({
        baseUrl,
        httpVersion: "2",
        interceptors,
      });
    default:
      return protocol satisfies never;
  }
}

/** The first `count` messages of a stream, which is then cancelled: leaving a loop alone does not tell the server. */
export async function take<T>(
  open: (options: { signal: AbortSignal }) => AsyncIterable<T>,
  count: number,
): Promise<T[]> {
  const taken: T[] = [];
  await each(open, (message) => taken.push(message) === count);
  return taken;
}

/** Hands over the messages of a stream until `see` returns true; the stream is then cancelled. */
export async function each<T>(
  open: (options: { signal: AbortSignal }) => AsyncIterable<T>,
  see: (message: T) => boolean | Promise<boolean>,
): Promise<void> {
  const leave = new AbortController();
  try {
    for await (const message of open({ signal: leave.signal }))
      if (await see(message)) break;
  } finally {
    leave.abort();
  }
}
