import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { RedisUsage } from "../../../src/dp/plugins/limiting/redis-usage.ts";
import { SyncedUsage } from "../../../src/dp/plugins/limiting/synced-usage.ts";
import type { UsageStep } from "../../../src/dp/plugins/limiting/usage.ts";
import { RedisClient } from "../../../src/dp/plugins/redis/redis-client.ts";
import { RedisClients } from "../../../src/dp/plugins/redis/redis-clients.ts";
import { RedisConfigSchema } from "../../../src/gen/holdfast/plugin/v1/redis_pb.js";
import { systemClock } from "../../../src/runtime/clock.ts";
import { RSA_CERT, RSA_KEY } from "../../support/certificates.ts";
import { eventually } from "../../support/eventually.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { PluginGateway } from "../../support/plugin-gateway.ts";
import { RecordingLogger } from "../../support/recording-logger.ts";
import {
  hasRedis,
  redisNote,
  RedisServer,
} from "../../support/redis-server.ts";

const HOUR = 3_600_000;

function settings(port: number, more: object = {}) {
  return create(RedisConfigSchema, {
    host: "127.0.0.1",
    port,
    timeout: 2_000,
    ...more,
  });
}

function step(key: string, by: number, limit = Infinity): UsageStep {
  return { key, by, limit, expiresMs: Date.now() + HOUR };
}

describe.skipIf(!hasRedis)(`counting in Redis${redisNote}`, () => {
  test("is shared by all data planes, exact, and ends with the window", async () => {
    await using redis = await RedisServer.start();
    const config = {
      "rate-limiting": {
        hour: 10,
        policy: "redis",
        redis: { host: "127.0.0.1", port: redis.port },
      },
    };
    await using one = await PluginGateway.start(config);
    await using other = await PluginGateway.start(config);
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        (i % 2 === 0 ? one : other).ask("/api"),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    const [key = ""] = redis.cli("KEYS", "*").split("\n");
    expect(redis.cli("GET", key)).toBe("10");
    const left = Number(redis.cli("PTTL", key));
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(HOUR);
    // Scripts are gone after a restart of the server.
    redis.cli("SCRIPT", "FLUSH");
    expect((await one.ask("/api")).status).toBe(429);
  });

  test("uses the password and the database that are set", async () => {
    await using redis = await RedisServer.start("--requirepass", "secret");
    const logger = new RecordingLogger();
    await using plane = await PluginGateway.start(
      {
        "rate-limiting": {
          hour: 1,
          policy: "redis",
          redis_host: "127.0.0.1",
          redis_port: redis.port,
          redis_password: "secret",
          redis_database: 3,
        },
      },
      { gateway: { logger } },
    );
    expect((await plane.ask("/api")).status).toBe(200);
    expect((await plane.ask("/api")).status).toBe(429);
    expect(redis.cli("-a", "secret", "-n", "3", "DBSIZE")).toBe("1");
    expect(logger.events).not.toContain("redis.away");
  });

  test.each([
    [true, 200],
    [false, 500],
  ])(
    "with fault_tolerant %s requests get %d while the server is away, and are counted when it is back",
    async (faultTolerant, status) => {
      await using redis = await RedisServer.start();
      const logger = new RecordingLogger();
      await using plane = await PluginGateway.start(
        {
          "rate-limiting": {
            hour: 2,
            policy: "redis",
            fault_tolerant: faultTolerant,
            redis: { host: "127.0.0.1", port: redis.port },
          },
        },
        { gateway: { logger } },
      );
      expect((await plane.ask("/api")).status).toBe(200);
      redis.goAway();
      for (let i = 0; i < 5; i++) {
        const answer = await plane.ask("/api");
        expect(answer.status).toBe(status);
        expect(answer.headers).not.toHaveProperty("ratelimit-limit");
      }
      expect(logger.events.filter((e) => e === "redis.away")).toHaveLength(1);
      redis.comeBack();
      await eventually(
        () => logger.events.includes("redis.back") || undefined,
        "the connection to be made anew",
      );
      expect((await plane.ask("/api")).status).toBe(200);
      expect((await plane.ask("/api")).status).toBe(429);
    },
  );

  test("what a response uses is counted there too", async () => {
    await using redis = await RedisServer.start();
    await using plane = await PluginGateway.start(
      {
        "response-ratelimiting": {
          limits: { videos: { hour: 5 } },
          policy: "redis",
          redis: { host: "127.0.0.1", port: redis.port },
        },
      },
      {
        upstream: (_, response) => {
          response.setHeader("X-Kong-Limit", "videos=2").end();
        },
      },
    );
    await plane.ask("/api");
    await eventually(
      () => redis.cli("DBSIZE") === "1" || undefined,
      "the use to be counted",
    );
    expect(redis.cli("GET", redis.cli("KEYS", "*"))).toBe("2");
  });

  test("connects once for all plugins with the same settings, and not at all when none is left", async () => {
    await using redis = await RedisServer.start();
    const limited = (policy: string) => ({
      hour: 100,
      policy,
      redis: { host: "127.0.0.1", port: redis.port },
    });
    const plugins = (policy: string) => ({
      "rate-limiting": limited(policy),
      "response-ratelimiting": {
        limits: { v: { hour: 1 } },
        policy,
        redis: { host: "127.0.0.1", port: redis.port },
      },
    });
    await using plane = await PluginGateway.start(plugins("redis"));
    await Promise.all([1, 2, 3].map(() => plane.ask("/api")));
    expect(redis.connections).toBe(1);
    await plane.configure(plugins("local"));
    await plane.ask("/api");
    await eventually(
      () => redis.connections === 0 || undefined,
      "the connection to be closed",
    );
  });
});

describe.skipIf(!hasRedis)(`a Redis client${redisNote}`, () => {
  const run = (client: RedisClient): Promise<unknown> =>
    client.run("return 'here'", [], []);

  test("gives up on a server that does not answer in time, and does not wait for it again", async () => {
    await using redis = await RedisServer.start();
    const logger = new RecordingLogger();
    const client = new RedisClient(settings(redis.port, { timeout: 150 }), {
      clock: systemClock,
      logger,
    });
    expect(await run(client)).toBe("here");
    redis.goSilent();
    await expect(run(client)).rejects.toThrow(/no answer in 150 ms/);
    const before = performance.now();
    await expect(run(client)).rejects.toThrow(/Redis at 127\.0\.0\.1/);
    expect(performance.now() - before).toBeLessThan(100);
    redis.comeBack();
    await eventually(() => run(client), "it to answer again");
    expect(logger.events).toEqual(["redis.away", "redis.back"]);
    await client.close();
    await expect(run(client)).rejects.toThrow(/closed/);
  });

  test("speaks TLS, and verifies the server and names it as it is told to", async () => {
    await using redis = await RedisServer.startTls({
      cert: RSA_CERT,
      key: RSA_KEY,
    });
    const clientWith = (more: object): RedisClient =>
      new RedisClient(settings(redis.port, { ssl: true, ...more }), {
        clock: systemClock,
        logger: new RecordingLogger(),
      });
    const trusting = clientWith({ serverName: "redis.example" });
    expect(await run(trusting)).toBe("here");
    expect(redis.serverNames).toEqual(["redis.example"]);
    await trusting.close();
    const verifying = clientWith({ sslVerify: true });
    await expect(run(verifying)).rejects.toThrow(/cannot be reached/);
    await verifying.close();
    const plain = new RedisClient(settings(redis.port), {
      clock: systemClock,
      logger: new RecordingLogger(),
    });
    await expect(run(plain)).rejects.toThrow(/cannot be reached/);
    await plain.close();
  });

  test("waits longer from attempt to attempt", async () => {
    await using redis = await RedisServer.start();
    redis.goAway();
    const clock = new ManualClock();
    const client = new RedisClient(settings(redis.port), {
      clock,
      logger: new RecordingLogger(),
    });
    await expect(run(client)).rejects.toThrow(/cannot be reached/);
    redis.comeBack();
    clock.advance(99);
    await expect(run(client)).rejects.toThrow(/Redis at/);
    clock.advance(1);
    expect(await eventually(() => run(client), "it to be back")).toBe("here");
    await client.close();
  });

  test("is shared while it is used", async () => {
    await using redis = await RedisServer.start();
    const clients = new RedisClients({
      clock: systemClock,
      logger: new RecordingLogger(),
    });
    const [a, b, c] = [0, 0, 1].map((database) =>
      clients.lease(settings(redis.port, { database })),
    );
    expect(a?.client).toBe(b?.client);
    expect(c?.client).not.toBe(a?.client);
    await a?.release();
    await a?.release();
    expect(clients.size).toBe(2);
    await b?.release();
    await c?.release();
    expect(clients.size).toBe(0);
  });
});

describe.skipIf(!hasRedis)(
  `counts that are exchanged now and then${redisNote}`,
  () => {
    test("begin with what others have counted, and are told in one go", async () => {
      await using redis = await RedisServer.start();
      const client = new RedisClient(settings(redis.port), {
        clock: systemClock,
        logger: new RecordingLogger(),
      });
      const remote = new RedisUsage(client);
      await remote.take([step("k", 5)]);
      const clock = new ManualClock(Date.now());
      const synced = new SyncedUsage(remote, { clock, everyMs: 1_000 });
      expect(await synced.take([step("k", 1, 7)])).toEqual({
        taken: true,
        before: [5],
      });
      expect(await synced.take([step("k", 1, 7)])).toEqual({
        taken: true,
        before: [6],
      });
      expect((await synced.take([step("k", 1, 7)])).taken).toBe(false);
      expect(redis.cli("GET", "k")).toBe("5");
      clock.advance(1_000);
      await eventually(
        () => redis.cli("GET", "k") === "7" || undefined,
        "the counts to be told",
      );
      await synced.take([step("other", 3)]);
      await synced.close();
      expect(redis.cli("GET", "other")).toBe("3");
      await client.close();
    });

    test("hold for those too who find no room to be counted here", async () => {
      await using redis = await RedisServer.start();
      const client = new RedisClient(settings(redis.port), {
        clock: systemClock,
        logger: new RecordingLogger(),
      });
      const synced = new SyncedUsage(new RedisUsage(client), {
        clock: new ManualClock(Date.now()),
        everyMs: 1_000,
        maxCounters: 1,
      });
      expect((await synced.take([step("first", 1, 1)])).taken).toBe(true);
      expect((await synced.take([step("second", 1, 1)])).taken).toBe(true);
      expect((await synced.take([step("first", 1, 1)])).taken).toBe(false);
      expect((await synced.take([step("second", 1, 1)])).taken).toBe(false);
      await synced.close();
      await client.close();
    });
  },
);
