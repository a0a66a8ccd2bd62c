import { once } from "node:events";
import { credentials, Metadata, status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { api, type ApiFields } from "../../../support/api.ts";
import { eventually } from "../../../support/eventually.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { GrpcUpstream, Words } from "../../../support/grpc-upstream.ts";

/** A service of gRPC with a route of gRPC for all its calls. */
function words(port: number, { service = {}, route = {} }: ApiFields = {}) {
  return api(port, {
    service: { protocol: "grpc", ...service },
    route: {
      protocols: ["grpc", "grpcs"],
      paths: ["/test.Words/"],
      strip_path: false,
      ...route,
    },
  });
}

const clear = (gateway: TestGateway): Words =>
  new Words(`127.0.0.1:${gateway.port}`, credentials.createInsecure());

/** Over TLS, believing any certificate. */
const secure = (gateway: TestGateway): Words =>
  new Words(
    `127.0.0.1:${gateway.tlsPort}`,
    credentials.createSsl(null, null, null, { rejectUnauthorized: false }),
  );

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => status.OK,
    (error: unknown) =>
      error instanceof Error && "code" in error && "details" in error
        ? [error.code, error.details]
        : error,
  );

async function readAll(call: ReturnType<Words["count"]>): Promise<string[]> {
  const got: string[] = [];
  for await (const word of call) got.push(word as string);
  return got;
}

describe.each([
  ["in clear text", clear, () => GrpcUpstream.start(), {}],
  [
    "over TLS, on both sides",
    secure,
    () => GrpcUpstream.startSecure(),
    { service: { protocol: "grpcs" } },
  ],
] as const)("gRPC %s", (_how, connect, start, fields) => {
  test("passes calls of all four kinds, with what is told before and after them", async () => {
    await using upstream = await start();
    await using gateway = await TestGateway.startSecure(
      words(upstream.port, fields),
    );
    using client = connect(gateway);
    const metadata = new Metadata();
    metadata.set("x-told", "by the client");
    metadata.set("x-bytes-bin", Buffer.from([0, 255, 10]));
    const said = await client.say("hello", metadata);
    expect(said.word).toBe("said hello");
    expect(said.initial.get("x-initial")).toEqual(["told at once"]);
    expect(said.trailers.get("x-trailer")).toEqual(["told at the end"]);
    expect(upstream.metadata[0]?.get("x-told")).toEqual(["by the client"]);
    expect(upstream.metadata[0]?.get("x-bytes-bin")).toEqual([
      Buffer.from([0, 255, 10]),
    ]);
    expect(await readAll(client.count("one two three"))).toEqual([
      "one",
      "two",
      "three",
    ]);
    expect(await client.join(["a", "b", "c"])).toBe("a b c");
    const chat = client.chat();
    await once(chat, "metadata");
    for (const word of ["x", "y"]) {
      chat.write(word);
      expect(await once(chat, "data")).toEqual([word.toUpperCase()]);
    }
    chat.end();
    expect((await once(chat, "status"))[0]).toMatchObject({ code: status.OK });
  });

  test("passes a failure on as it is", async () => {
    await using upstream = await start();
    await using gateway = await TestGateway.startSecure(
      words(upstream.port, fields),
    );
    using client = connect(gateway);
    expect(await codeOf(client.say("fail"))).toEqual([
      status.FAILED_PRECONDITION,
      "not today, ü",
    ]);
  });

  test("carries deadlines and what clients give up to the upstream", async () => {
    await using upstream = await start();
    await using gateway = await TestGateway.startSecure(
      words(upstream.port, fields),
    );
    using client = connect(gateway);
    expect(
      await codeOf(
        client.say("never", new Metadata(), { deadline: Date.now() + 100 }),
      ),
    ).toEqual([status.DEADLINE_EXCEEDED, expect.any(String)]);
    const call = client.count("one forever");
    call.on("error", () => undefined);
    await once(call, "data");
    call.cancel();
    await eventually(
      () => (upstream.cancelled === 2 ? true : undefined),
      "both calls cancelled upstream",
    );
  });
});
