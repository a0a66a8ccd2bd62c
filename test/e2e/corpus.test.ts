import { clone } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { PLUGINS } from "../../src/dp/plugins/registry.ts";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  ResourceSchema,
  type Resource,
} from "../../src/gen/holdfast/config/v1/resource_pb.js";
import type { Route } from "../../src/gen/holdfast/config/v1/route_pb.js";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import {
  adminClient,
  exported,
  putting,
  type AdminClient,
} from "../support/admin-client.ts";
import {
  corpusFile,
  corpusFiles,
  corpusNote,
  hasCorpus,
} from "../support/corpus.ts";
import { eventually } from "../support/eventually.ts";
import { ask, type Asked } from "../support/gateway.ts";
import {
  holdfast,
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import {
  NaiveGateway,
  pathExpression,
  type Asking,
  type Expected,
} from "../support/naive-gateway.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

/**
 * What becomes of each file: the first problem, or which requests are answered how when there is one for each path of
 * each route and one below it: as the file is, and with those plugins disabled that the data plane does not have.
 */
const VERDICTS: Readonly<
  Record<
    string,
    | { readonly refused: string }
    | { readonly asItIs: string; readonly withoutLacking: string }
  >
> = {
  "aelf-kong-service.yml": {
    asItIs: "42 without a plugin",
    withoutLacking: "42 served",
  },
  "aivo-virtual-brain.yml": {
    refused:
      'plugin "file-log": aivo-virtual-brain.yml:724:5: is declared twice: its combination of name, route, service, consumer is taken by that at aivo-virtual-brain.yml:696:5 (plugins[2])',
  },
  "api-erichsen-konnect.yml": {
    refused:
      "_konnect: api-erichsen-konnect.yml:2:1: this key of decK is not supported yet",
  },
  "dbless-oauth2.yml": {
    refused:
      "_workspace: dbless-oauth2.yml:2:1: this key of decK is not supported yet",
  },
  "deck-cicd-mtls.yml": {
    refused:
      "_workspace: deck-cicd-mtls.yml:2:1: this key of decK is not supported yet",
  },
  "deck-configuration-11.yml": {
    refused:
      'route "fleet-asset-details": paths[0]: deck-configuration-11.yml:49:7: in format 1.1 a regular expression has no "~" in front: take it away, or set _format_version to "3.0"',
  },
  "decktest-entities-with-options.yml": {
    refused:
      'consumer "harry": hmacauth_credentials: decktest-entities-with-options.yml:75:3: this kind of entity is not supported yet',
  },
  "digit-core-storm.yml": {
    asItIs: "36 without a plugin",
    withoutLacking: "36 served",
  },
  "docker-kong-tracing-tcp.yml": {
    asItIs: "2 without a plugin",
    withoutLacking: "2 by key-auth, 2 served",
  },
  "e-cite-ansible.yml": {
    asItIs: "12 without a plugin",
    withoutLacking: "12 served, 6 by key-auth",
  },
  "fhir-server-konnect-dump.yml": {
    refused:
      "_konnect: fhir-server-konnect-dump.yml:2:1: this key of decK is not supported yet",
  },
  "flowforge.yml": {
    asItIs: "58 without a plugin",
    withoutLacking: "16 by key-auth, 58 served",
  },
  "gsa-idva-ingress.yml": {
    refused:
      'service "sk-api": host: gsa-idva-ingress.yml:4:5: must be a host name (letters, digits, "-", "_", "."), an IP address or the name of an upstream, got "identity-idva-sk-api-${ENVIRONMENT_NAME}.apps.internal"',
  },
  "healthy-cameras.yml": {
    asItIs: "2 https only, 46 without a plugin",
    withoutLacking: "2 by key-auth, 2 https only, 44 served",
  },
  "hr-token-exchange-konnect.yml": {
    refused:
      "_info: hr-token-exchange-konnect.yml:2:1: this key of decK is not supported yet",
  },
  "kic-consumer-groups.yml": {
    refused:
      "consumer_group_consumers: kic-consumer-groups.yml:2:1: this kind of entity is not supported yet",
  },
  "kic-httproute-expressions.yml": { asItIs: "", withoutLacking: "" },
  "kic-udproute.yml": { asItIs: "", withoutLacking: "" },
  "kong-asic-demo-deck.yml": {
    refused:
      "_konnect: kong-asic-demo-deck.yml:2:1: this key of decK is not supported yet",
  },
  "kong-dbless-sample.json": { asItIs: "2 served", withoutLacking: "2 served" },
  "kong-proxy-docker-certs.yml": {
    asItIs: "4 https only",
    withoutLacking: "4 https only",
  },
  "kong-vault-proxy-deck.yml": {
    asItIs: "8 without a plugin",
    withoutLacking: "8 by key-auth, 8 served",
  },
  "munbon2.yml": {
    refused:
      "jwt_secret #1: key: munbon2.yml:433:5: is missing: in a file a credential must have it",
  },
  "node-kong-setup.yml": {
    asItIs: "2 without a plugin",
    withoutLacking: "2 served",
  },
  "reconciler-wildcard-host.yml": {
    refused:
      "consumer_groups: reconciler-wildcard-host.yml:2:1: this kind of entity is not supported yet",
  },
  "sahool-unified.yml": {
    asItIs: "148 without a plugin",
    withoutLacking: "12 served, 136 by request-termination",
  },
  "smart-clinic-env-urls.yml": {
    refused:
      'service "auth-service": url: smart-clinic-env-urls.yml:10:10: "$AUTH_SERVICE_URL" is not of the form "protocol://host:port/path"',
  },
  "supabase-docker.yml": {
    asItIs: "14 served, 18 without a plugin, 8 by request-termination",
    withoutLacking: "12 by key-auth, 32 served, 8 by request-termination",
  },
  "supos-db_export.yml": {
    asItIs: "104 served, 4 without a plugin, 6 by key-auth",
    withoutLacking: "108 served, 6 by key-auth",
  },
  "ticketremaster-template.yml": {
    asItIs: "1 by no route, 37 without a plugin",
    withoutLacking: "1 by no route, 23 by key-auth, 37 served",
  },
  "toll-hub.yml": {
    asItIs: "12 without a plugin",
    withoutLacking: "12 served",
  },
  "broken/acl-without-consumer-11.yml": {
    refused:
      'acl "anon": consumer: acl-without-consumer-11.yml:22:5: is required',
  },
  "broken/dangling-service-refs-11.yml": {
    refused:
      'route "fleet-asset-details": paths[0]: dangling-service-refs-11.yml:25:9: in format 1.1 a regular expression has no "~" in front: take it away, or set _format_version to "3.0"',
  },
  "broken/dup-nested-key-konnect.yml": {
    refused:
      "_konnect: dup-nested-key-konnect.yml:3:1: this key of decK is not supported yet",
  },
  "broken/dup-toplevel-keys-21.yml": {
    asItIs: "2 without a plugin",
    withoutLacking: "2 served",
  },
  "broken/duplicate-service-names-21.yml": {
    refused:
      'service "security-service": duplicate-service-names-21.yml:15:5: is declared twice: its name is taken by that at duplicate-service-names-21.yml:5:5 (services[0])',
  },
  "broken/empty-declarative.yml": { asItIs: "", withoutLacking: "" },
  "broken/format-0.1-konnect-legacy.yml": {
    refused:
      '_format_version: format-0.1-konnect-legacy.yml:1:18: expected one of "1.1", "2.1", "3.0", got "0.1"',
  },
  "broken/regex-path-without-tilde-30.yml": {
    asItIs: "10 without a plugin, 20 by no route",
    withoutLacking: "10 served, 20 by no route",
  },
  "broken/service-without-host-and-unknown-fields.yml": {
    refused:
      'service "route-communication-ws": host: service-without-host-and-unknown-fields.yml:26:5: is required',
  },
  "broken/unknown-plugin-field-21.yml": {
    refused:
      'plugin "request-termination": routes: unknown-plugin-field-21.yml:159:5: unknown field; did you mean "route"?',
  },
  "broken/unrendered-template.yml": {
    refused:
      "unrendered-template.yml:107:1: not valid YAML: implicit keys need to be on a single line; this looks like a template: render it first",
  },
  "broken/yaml-syntax-error.yml": {
    refused:
      "yaml-syntax-error.yml:317:1: not valid YAML: a block sequence may not be used as an implicit map key",
  },
};

/** Texts that the paths match which are expressions. */
const EXAMPLES: Readonly<Record<string, string>> = {
  "~/marketplace/[^/]+$": "/marketplace/ticket-1",
  "~/transfer/[^/]+/buyer-verify$": "/transfer/7/buyer-verify",
  "~/transfer/[^/]+/seller-verify$": "/transfer/7/seller-verify",
};

const HAS: ReadonlySet<string> = new Set(PLUGINS.keys());
const ASKED_AT_ONCE = 8;

describe.skipIf(!hasCorpus)(`files from the wild${corpusNote}`, () => {
  let stack: CloseStack;
  let client: AdminClient;
  let cp: HoldfastProcess;
  let dp: HoldfastProcess;
  let strict: HoldfastProcess;
  const upstreams: Upstream[] = [];

  beforeAll(async () => {
    stack = new CloseStack();
    const dir = stack.use(await TempDir.make());
    cp = stack.use(await startCp(dir.join("cp")));
    client = adminClient(cp.url("admin"));
    [dp, strict] = (await Promise.all(
      [["--on-unsupported", "fail-route"], []].map(async (more, i) =>
        stack.use(
          await startDp(dir.join(`dp${i}`), cp.address("sync"), ...more),
        ),
      ),
    )) as [HoldfastProcess, HoldfastProcess];
  });

  afterAll(async () => {
    await stack.close();
  });

  async function apply(file: string) {
    return client.config.apply({
      files: [corpusFile(file)],
      prune: true,
      allowMassDelete: true,
    });
  }

  /** Waits until the data plane serves a revision. */
  async function served(revision: bigint): Promise<void> {
    await eventually(
      async () => (await servedBy(dp)) === String(revision) || undefined,
      `revision ${revision} to be served`,
      30_000,
    );
  }

  async function put(resources: readonly Resource[]): Promise<void> {
    if (resources.length === 0) return;
    const { revision } = await client.config.transact({
      operations: resources.map(putting),
    });
    await served(revision);
  }

  /** Points every service at an upstream of its own. Which one answers is the service's place in the list. */
  async function redirected(resources: readonly Resource[]): Promise<{
    readonly resources: readonly Resource[];
    readonly changed: readonly Resource[];
    readonly upstreamOf: ReadonlyMap<string, number>;
  }> {
    const changed: Resource[] = [];
    const upstreamOf = new Map<string, number>();
    const all: Resource[] = [];
    for (const original of resources) {
      const resource = clone(ResourceSchema, original);
      all.push(resource);
      if (resource.kind.case !== "service") continue;
      const service = resource.kind.value;
      if (!["http", "https"].includes(service.protocol ?? "http")) continue;
      const index = upstreamOf.size;
      upstreamOf.set(service.id, index);
      const upstream =
        upstreams[index] ??
        stack.use(
          await Upstream.start((request, response) => {
            request.resume();
            response.end(JSON.stringify({ index, url: request.url }));
          }),
        );
      upstreams[index] = upstream;
      service.protocol = "http";
      service.host = "127.0.0.1";
      service.port = upstream.port;
      service.caCertificates = [];
      delete service.clientCertificate;
      delete service.tlsVerify;
      delete service.tlsVerifyDepth;
      changed.push(resource);
    }
    return { resources: all, changed, upstreamOf };
  }

  /** Asks for everything that the routes are for and compares each answer. Returns how many came how. */
  async function askAll(
    resources: readonly Resource[],
    upstreamOf: ReadonlyMap<string, number>,
  ): Promise<string> {
    const naive = new NaiveGateway(resources, HAS);
    const key = resources.flatMap(({ kind }) =>
      kind.case === "keyauthCredential" ? [kind.value] : [],
    )[0];
    const requests: Asking[] = [];
    for (const route of naive.routes)
      for (const request of requestsOf(route, dp.address("proxy"))) {
        requests.push(request);
        const answer = naive.answer(request);
        if (key === undefined || answer.type !== "plugin") continue;
        if (answer.plugin === "key-auth")
          requests.push({
            ...request,
            headers: { ...request.headers, apikey: key.key },
            consumer: key.consumer?.id ?? "",
          });
      }
    const counts = new Map<string, number>();
    const rest = [...requests];
    const one = async (): Promise<void> => {
      for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
        const expected = naive.answer(next);
        const what = await compare(next, expected, upstreamOf);
        counts.set(what, (counts.get(what) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, one));
    return [...counts]
      .map(([what, count]) => `${count} ${what}`)
      .sort()
      .join(", ");
  }

  async function compare(
    request: Asking,
    expected: Expected,
    upstreamOf: ReadonlyMap<string, number>,
  ): Promise<string> {
    const [, port = ""] = dp.address("proxy").split(":");
    const answer = await ask(Number(port), request.path, {
      method: request.method,
      headers: { ...request.headers, host: request.host },
    });
    const about = `${request.method} ${request.host}${request.path}`;
    const got = { about, status: answer.status };
    switch (expected.type) {
      case "served": {
        const { index, url } = answer.json<{ index: number; url: string }>();
        expect({ ...got, index, url }).toEqual({
          about,
          status: 200,
          index: upstreamOf.get(expected.service),
          url: expected.url,
        });
        return "served";
      }
      case "lacks": {
        const plugin = answer.json()["plugin"];
        expect(got).toEqual({ about, status: 503 });
        expect(expected.plugins).toContain(plugin);
        return "without a plugin";
      }
      case "plugin":
        expect(got).toEqual({ about, status: expected.status });
        if (expected.plugin === "key-auth")
          expect(answer.json()["message"]).toBe("No API key found in request");
        return `by ${expected.plugin}`;
      case "https":
        expect(got).toEqual({ about, status: expected.status });
        return "https only";
      case "no route":
        expect({ ...got, text: message(answer) }).toEqual({
          about,
          status: 404,
          text: "no Route matched with those values",
        });
        return "by no route";
      case "no service":
        expect({ ...got, text: message(answer) }).toEqual({
          about,
          status: 503,
          text: "no Service found with those values",
        });
        return "without a service";
      default:
        return expected satisfies never;
    }
  }

  test("every file has its verdict", () => {
    expect(Object.keys(VERDICTS).sort()).toEqual([...corpusFiles()].sort());
  });

  for (const [file, verdict] of Object.entries(VERDICTS))
    if ("refused" in verdict)
      test(`${file} is refused, and nothing of it is there`, async () => {
        const before = await cursorOf(client);
        const error = await apply(file).then(
          () => undefined,
          (e: unknown) => ConnectError.from(e),
        );
        const { refused } = verdict;
        expect(error?.rawMessage.slice(0, refused.length)).toBe(refused);
        expect(await cursorOf(client)).toEqual(before);
      });
    else
      test(`${file} is applied, once, and each of its routes is answered as it should be`, async () => {
        const { revision } = await apply(file);
        expect(await apply(file)).toMatchObject({ revision, changes: [] });
        const original = await exported(client);
        const { resources, changed, upstreamOf } = await redirected(original);
        await served(revision);
        await put(changed);
        const asItIs = await askAll(resources, upstreamOf);
        const disabled: Resource[] = [];
        for (const resource of resources) {
          const { kind } = resource;
          if (kind.case !== "plugin" || HAS.has(kind.value.name)) continue;
          if (kind.value.enabled === false) continue;
          kind.value.enabled = false;
          disabled.push(resource);
        }
        await put(disabled);
        const withoutLacking = await askAll(resources, upstreamOf);
        expect({ asItIs, withoutLacking }).toEqual(verdict);
      });

  test("what dump writes, applied to an empty control plane, has the same root", async () => {
    await using dir = await TempDir.make();
    await using empty = await startCp(dir.join("cp"));
    for (const file of ["supabase-docker.yml", "kong-proxy-docker-certs.yml"]) {
      await apply(file);
      const out = dir.join(file);
      expect(
        await holdfast("dump", "-o", out, "--admin", cp.url("admin")),
      ).toMatchObject({ code: 0 });
      expect(
        await holdfast(
          ...["apply", "-f", out, "--prune", "--yes"],
          ...["--admin", empty.url("admin")],
        ),
      ).toMatchObject({ code: 0 });
      const root = (await cursorOf(client))?.root;
      expect((await cursorOf(adminClient(empty.url("admin"))))?.root).toBe(
        root,
      );
    }
  });

  test("a data plane that refuses what it lacks a plugin for keeps what it has, and the answer and its node say what it lacks", async () => {
    const { revision } = await apply("kong-dbless-sample.json");
    await eventually(
      async () => (await servedBy(strict)) === String(revision) || undefined,
      `revision ${revision} to be served`,
    );
    const { warnings, revision: next } = await apply("flowforge.yml");
    await served(next);
    const node = await eventually(async () => {
      const { nodes } = await client.nodes.listNodes({});
      return nodes.find(({ inSync }) => !inSync);
    }, "the node to be behind");
    expect(node).toMatchObject({
      connected: true,
      serving: { revision },
      wanted: { revision: next },
    });
    const lacks = node.missingFeatures.map(
      (text) => /plugin\/([a-z-]+)/.exec(text)?.[1],
    );
    expect(lacks).toEqual([
      "file-log",
      "prometheus",
      "rate-limiting",
      "request-size-limiting",
      "response-transformer",
    ]);
    const named = warnings.filter(({ nodes }) => nodes.includes(node.id));
    expect(new Set(named.map(({ name }) => name))).toEqual(new Set(lacks));
    expect(await servedBy(strict)).toBe(String(revision));
  });
});

test(
  "a file of 50,000 lines with 511 routes and 738 plugins is applied and served",
  { timeout: 120_000 },
  async () => {
    await using dir = await TempDir.make();
    await using upstream = await Upstream.start();
    const content = largeFile(upstream.port);
    expect(content.split("\n").length).toBeGreaterThan(50_000);
    await using cp = await startCp(dir.join("cp"));
    await using dp = await startDp(
      dir.join("dp"),
      cp.address("sync"),
      "--on-unsupported",
      "fail-route",
    );
    const { changes, revision } = await adminClient(
      cp.url("admin"),
    ).config.apply({ files: [{ name: "large.yml", content }] });
    const created = (kind: string): number =>
      changes.filter((c) => c.kind === kind && c.action === "create").length;
    expect([created("route"), created("plugin")]).toEqual([
      ROUTES,
      PLUGIN_COUNT,
    ]);
    await eventually(
      async () => (await servedBy(dp)) === String(revision) || undefined,
      "the large file to be served",
      30_000,
    );
    const statuses = await Promise.all(
      ["/route-0/x", "/route-1/x", `/route-${ROUTES - 1}/x`, "/none"].map(
        async (path) => (await fetch(dp.url("proxy", path))).status,
      ),
    );
    expect(statuses).toEqual([200, 503, 200, 404]);
  },
);

const ROUTES = 511;
const PLUGIN_COUNT = 738;

/** As large as the largest file that was found in the wild. Services of odd numbers have a plugin that is nowhere. */
function largeFile(port: number): string {
  const services = Array.from({ length: PLUGIN_COUNT - ROUTES }, (_, i) => ({
    name: `service-${i}`,
    url: `http://127.0.0.1:${port}/base-${i}`,
    routes: [] as object[],
    plugins: [
      {
        name: "home-grown",
        enabled: i % 2 === 1,
        config: Object.fromEntries(
          Array.from({ length: 50 }, (__, j) => [`setting_${j}`, `value ${j}`]),
        ),
      },
    ],
  }));
  for (let i = 0; i < ROUTES; i++)
    services[i % services.length]?.routes.push({
      name: `route-${i}`,
      paths: [`/route-${i}/`],
      methods: ["GET", "POST"],
      tags: ["generated", `number-${i}`],
      plugins: [
        {
          name: "cors",
          config: {
            origins: Array.from(
              { length: 60 },
              (_, j) => `https://app-${i}-${j}.example.com`,
            ),
          },
        },
      ],
    });
  return stringify({ _format_version: "3.0", services });
}

/** The revision that a data plane serves. */
async function servedBy(dp: HoldfastProcess): Promise<string | undefined> {
  const config = await (await fetch(dp.url("status", "/status/config"))).json();
  const { cursor } = config as { cursor: { revision: string } | null };
  return cursor?.revision;
}

/** The newest revision's; undefined before the first. */
async function cursorOf({ config }: AdminClient): Promise<Cursor | undefined> {
  const { revisions } = await config.listRevisions({ pageSize: 1 });
  return revisions[0]?.cursor;
}

function message(answer: Asked): unknown {
  return answer.json()["message"];
}

/** Requests that meet a route's conditions: for each of its paths one, and one below it. */
function requestsOf(route: Route, proxy: string): readonly Asking[] {
  const [host = proxy] = route.hosts;
  const paths = route.paths.length === 0 ? ["/"] : route.paths;
  const headers = Object.fromEntries(
    Object.entries(route.headers).map(([name, { values }]) => [
      name.toLowerCase(),
      values[0] ?? "",
    ]),
  );
  return paths.flatMap((pattern) => {
    const expression = pathExpression(pattern);
    const example =
      expression === undefined ? pattern : (EXAMPLES[pattern] ?? "");
    // What comes after a question mark in a request is no path any more.
    const [path = ""] = example.split(/[?#]/);
    expect(expression?.test(path) ?? true, `an example of ${pattern}`).toBe(
      true,
    );
    const below = path.endsWith("/") ? `${path}below` : `${path}/below`;
    return [path, below].map((each) => ({
      method: route.methods[0] ?? "GET",
      host: host.replace("*", "any"),
      path: each,
      headers,
    }));
  });
}
