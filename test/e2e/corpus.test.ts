import { clone } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
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
import {
  EXAMPLES,
  NEVER_MATCHED,
  VERDICTS,
} from "../support/corpus-verdicts.ts";
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
import { servedBy } from "../support/served-revision.ts";
import { TempDir } from "../support/temp-dir.ts";
import { Upstream } from "../support/upstream.ts";

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

  /** What a file prunes is what has its select tags. */
  async function clear(): Promise<void> {
    const content = '_format_version: "3.0"\n';
    const files = [{ name: "empty.yml", content }];
    await client.config.apply({ files, prune: true, allowMassDelete: true });
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
      if (isLimited(resource)) changed.push(withoutLimits(resource));
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
          url: expected.url ?? url,
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
        await clear();
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
    const { warnings, revision: next } = await apply(
      "kong-vault-proxy-deck.yml",
    );
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
    expect(lacks).toEqual(["kong-vault-proxy"]);
    const named = warnings.filter(({ nodes }) => nodes.includes(node.id));
    expect(new Set(named.map(({ name }) => name))).toEqual(new Set(lacks));
    expect(await servedBy(strict)).toBe(String(revision));
  });
});

/** The newest revision's; undefined before the first. */
async function cursorOf({ config }: AdminClient): Promise<Cursor | undefined> {
  const { revisions } = await config.listRevisions({ pageSize: 1 });
  return revisions[0]?.cursor;
}

function message(answer: Asked): unknown {
  return answer.json()["message"];
}

/** Whether it counts requests: how many are sent here says nothing. */
function isLimited({ kind }: Resource): boolean {
  return kind.case === "plugin" && kind.value.name === "rate-limiting";
}

/** As it is, but nobody comes to its limits, and nobody waits for a server that is not here. */
function withoutLimits(resource: Resource): Resource {
  if (resource.kind.case === "plugin")
    resource.kind.value.config = { year: 1_000_000_000, policy: "local" };
  return resource;
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
    if (NEVER_MATCHED.has(pattern)) return [];
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
