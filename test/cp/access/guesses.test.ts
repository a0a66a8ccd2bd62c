import type { JsonObject } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import {
  startGuardedServer,
  type GuardedServer,
} from "../../support/guarded-server.ts";

/** As long as each other: how long an answer is says nothing either. */
const SECRET = "s3cret-of-a-team";
const WRONG = "guess-of-a-thief";

const LOG = "11111111-1111-4111-8111-111111111111";
const LIMIT = "22222222-2222-4222-8222-222222222222";
const ENDPOINT = "http://logs.example/in";

let stack: CloseStack;
let configOf: GuardedServer["configOf"];
beforeAll(async () => {
  stack = new CloseStack();
  ({ configOf } = await startGuardedServer(stack));
  for (const { resource } of [
    plugin(LOG, "http-log", logConfig(SECRET)),
    plugin(LIMIT, "rate-limiting", {
      minute: 5,
      policy: "redis",
      redis: { host: "redis.example", password: SECRET },
    }),
  ])
    await configOf("writer").put({ resource });
});
afterAll(() => stack.close());

type Config = JsonObject;
type Caller = ReturnType<GuardedServer["configOf"]>;
type Way = (reader: Caller, guess: string) => Promise<unknown>;

const TRIAL = { dryRun: true, includeViolations: true } as const;

/** Puts of the http-log plugin that say it is another one, or nothing. */
const asAnother = Object.fromEntries(
  ["acl", "mine", ""].flatMap((name) => [
    [`a put as "${name}"`, putting(name)],
    [
      `a put of all that is masked as "${name}"`,
      putting(name, ["name", "config"]),
    ],
    ...["config", "config.headers", "config.headers.x-team"].map((path) => [
      `a put of ${path} as "${name}"`,
      putting(name, [path]),
    ]),
  ]),
) as Record<string, Way>;

const ways: Record<string, Way> = {
  ...asAnother,
  "a put in the other spelling": (reader, guess) =>
    reader.put({
      ...plugin(LIMIT, "rate-limiting", {
        minute: 5,
        policy: "redis",
        redisHost: "redis.example",
        redisPassword: guess,
      }),
      ...TRIAL,
    }),
  "a put of a field in the other spelling": (reader, guess) =>
    reader.put({
      ...plugin(LIMIT, "rate-limiting", { redisPassword: guess }),
      updateMask: { paths: ["config.redisPassword"] },
      ...TRIAL,
    }),
  "a deletion and a put": (reader, guess) =>
    reader.transact({
      operations: [deletion(LOG), put(plugin(LOG, "mine", logConfig(guess)))],
      ...TRIAL,
    }),
  "a put, a deletion and a put": (reader, guess) =>
    reader.transact({
      operations: [
        put(plugin(LOG, "acl", logConfig(guess))),
        deletion(LOG),
        put(plugin(LOG, "opentelemetry", { traces_endpoint: ENDPOINT })),
        put(plugin(LOG, "mine", logConfig(guess))),
      ],
      ...TRIAL,
    }),
  "a put and a masked one back to its name": (reader, guess) =>
    reader.transact({
      operations: [
        put(plugin(LOG, "mine", logConfig(guess))),
        put(plugin(LOG, "http-log", {}), ["name"]),
      ],
      ...TRIAL,
    }),
  "a deletion, a put without the secret and a masked one": (reader, guess) =>
    reader.transact({
      operations: [
        deletion(LOG),
        put(plugin(LOG, "http-log", { http_endpoint: ENDPOINT })),
        put(plugin(LOG, "mine", logConfig(guess)), ["config.headers"]),
      ],
      ...TRIAL,
    }),
  "a masked put of a transaction": (reader, guess) =>
    reader.transact({
      operations: [
        put(plugin(LOG.toUpperCase(), "acl", logConfig(guess)), [
          "config.headers",
        ]),
      ],
      ...TRIAL,
    }),
  "a file with another plugin": (reader, guess) =>
    reader.apply({ files: [file("acl", guess)], ...TRIAL }),
  "a file with a plugin that nobody knows": (reader, guess) =>
    reader.apply({ files: [file("mine", guess)], ...TRIAL }),
  "a file that is all there is": (reader, guess) =>
    reader.apply({ files: [file("mine", guess)], prune: true, ...TRIAL }),
  "a file with what is not transformed": (reader, guess) =>
    reader.apply({
      files: [file("mine", guess, "_transform: false\n")],
      ...TRIAL,
    }),
};

test.each(Object.keys(ways))(
  "%s tells a reader the same whether the secret is right or not",
  async (name) => {
    const way = ways[name];
    const told = async (guess: string): Promise<string> => {
      const answer = await way?.(configOf("reader"), guess).catch(
        (error: unknown) => ConnectError.from(error).message,
      );
      return JSON.stringify(answer, bigint).replaceAll(guess, "GUESS");
    };
    const wrong = await told(WRONG);
    expect(await told(SECRET)).toBe(wrong);
    expect(wrong).not.toContain(SECRET);
  },
);

test("what is put under a mask is judged by the plugin that it is put into", async () => {
  const trial = putting("acl", ["config.headers"])(configOf("reader"), WRONG);
  await expect(trial).rejects.toThrow(
    /permission_denied.*config\.headers\.x-team of .*http-log.*a secret.*needs write/,
  );
});

test("going back to before a plugin had its name tells nothing of its configuration", async () => {
  const writer = configOf("writer");
  const renamed = await writer.apply({ files: [file("mine", SECRET)] });
  const back = { revision: renamed.revision - 1n };
  const { changes } = await configOf("reader").rollback({
    ...back,
    dryRun: true,
  });
  await writer.rollback(back);
  expect(
    changes[0]?.fields.map(({ path, secret }) => ({ path, secret })),
  ).toEqual([
    { path: "name", secret: false },
    { path: "config", secret: true },
  ]);
});

test("a reader may try other fields of a plugin that has secrets", async () => {
  const { changes } = await configOf("reader").put({
    ...plugin(LOG, "", { timeout: 5000 }),
    updateMask: { paths: ["config.timeout"] },
    dryRun: true,
  });
  expect(changes[0]?.fields.map(({ path }) => path)).toEqual([
    "config.timeout",
  ]);
});

test("whoever may see secrets may try them under a mask", async () => {
  const { changes } = await configOf("writer").put({
    ...plugin(LOG, "", logConfig(SECRET)),
    updateMask: { paths: ["config.headers"] },
    dryRun: true,
  });
  expect(changes).toEqual([]);
});

function putting(name: string, paths?: string[]): Way {
  return (reader, guess) =>
    reader.put({
      ...plugin(LOG, name, logConfig(guess)),
      ...(paths === undefined ? {} : { updateMask: { paths } }),
      ...TRIAL,
    });
}

function logConfig(team: string): Config {
  return { http_endpoint: ENDPOINT, headers: { "x-team": team } };
}

function plugin(id: string, name: string, config: Config) {
  const value = { id, name, config };
  return { resource: { kind: { case: "plugin", value } } } as const;
}

function put({ resource }: ReturnType<typeof plugin>, paths?: string[]) {
  return {
    operation: { case: "put", value: resource },
    ...(paths === undefined ? {} : { updateMask: { paths } }),
  } as const;
}

function deletion(id: string) {
  const value = { kind: "plugin", by: { case: "id", value: id } } as const;
  return { operation: { case: "delete", value } } as const;
}

function file(name: string, guess: string, head = "") {
  const config = JSON.stringify(logConfig(guess));
  return {
    name: "kong.yml",
    content: `_format_version: "3.0"\n${head}plugins: [{id: ${LOG}, name: ${name}, config: ${config}}]`,
  };
}

function bigint(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
