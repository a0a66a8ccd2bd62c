import { expect, test } from "vitest";
import type { LogEntry } from "../../../src/dp/gateway/log-entry.ts";
import type { Plugin, PluginHandlers } from "../../../src/dp/plugins/plugin.ts";
import { api } from "../../support/api.ts";
import { TestGateway } from "../../support/gateway.ts";
import { id, resource } from "../../support/resources.ts";
import { Upstream } from "../../support/upstream.ts";
import { eventually } from "../../support/eventually.ts";

/** A plugin for one test. */
function plugin(
  name: string,
  priority: number,
  create: (config: object) => PluginHandlers,
): Plugin {
  return { name, version: 1, priority, create };
}

const configured = (number: number, name: string, fields: object = {}) =>
  resource("plugin", { id: id(number), name, ...fields });

test("a request goes through the phases in order, plugins by priority", async () => {
  const ran: string[] = [];
  const note = (name: string): PluginHandlers => ({
    rewrite: ({ context }) => {
      ran.push(`rewrite ${name}`);
      context.shared.set(name, "was here");
      return undefined;
    },
    access: async ({ context }) => {
      await Promise.resolve();
      ran.push(`access ${name} ${String(context.shared.get(name))}`);
      return undefined;
    },
    response: () => {
      ran.push(`response ${name}`);
      return undefined;
    },
    headerFilter: () => {
      ran.push(`headerFilter ${name}`);
    },
    bodyFilter: () => {
      ran.push(`bodyFilter ${name}`);
      return (chunk, last) =>
        last ? Buffer.concat([chunk, Buffer.from(`-${name}`)]) : chunk;
    },
    log: () => {
      ran.push(`log ${name}`);
    },
  });
  await using upstream = await Upstream.start((_request, response) => {
    response.writeHead(200, { "content-length": "4" });
    response.end("body");
  });
  await using gateway = await TestGateway.start(
    [...api(upstream.port), configured(3, "b"), configured(4, "a")],
    {
      plugins: [
        plugin("a", 1, () => note("a")),
        plugin("b", 2, () => note("b")),
      ],
    },
  );
  const answer = await gateway.ask("/api");
  expect(answer.text).toBe("body-b-a");
  expect(answer.headers).not.toHaveProperty("content-length");
  await eventually(() => {
    expect(ran).toEqual([
      "rewrite b",
      "rewrite a",
      "access b was here",
      "access a was here",
      "response b",
      "response a",
      "headerFilter b",
      "headerFilter a",
      "bodyFilter b",
      "bodyFilter a",
      "log b",
      "log a",
    ]);
    return true;
  }, "what is expected");
});

test("rewrite is for plugins without a scope; its answer ends a request before it has a route, and is filtered and logged", async () => {
  const logged: LogEntry[] = [];
  const closing = plugin("closing", 5, () => ({
    rewrite: ({ request }) =>
      request.rawPath === "/closed"
        ? { status: 451, message: "closed" }
        : undefined,
    headerFilter: (_exchange, { headers }) => {
      headers.set("X-Filtered", "yes");
    },
    log: (_exchange, entry) => logged.push(entry),
  }));
  await using upstream = await Upstream.start();
  const scoped = plugin("scoped", 6, () => ({
    rewrite: () => ({ status: 500, message: "never" }),
  }));
  await using gateway = await TestGateway.start(
    [
      ...api(upstream.port),
      configured(3, "closing"),
      configured(4, "scoped", { route: { id: id(2) } }),
    ],
    { plugins: [closing, scoped] },
  );
  expect(await gateway.ask("/closed")).toMatchObject({
    status: 451,
    headers: { "x-filtered": "yes" },
  });
  expect((await gateway.ask("/api")).status).toBe(200);
  // No route: the plugins for all requests see the answer.
  expect(await gateway.ask("/elsewhere")).toMatchObject({
    status: 404,
    headers: { "x-filtered": "yes" },
  });
  await eventually(() => {
    expect(
      logged.map(({ response, route }) => [response.status, route?.name]),
    ).toEqual([
      [451, undefined],
      [200, "route"],
      [404, undefined],
    ]);
    return true;
  }, "what is expected");
});

test.each([
  ["rewrite", 500],
  ["access", 500],
  ["response", 200],
  ["headerFilter", 200],
  ["bodyFilter", 200],
  ["log", 200],
] as const)(
  "one that throws in %s makes it a %i and harms nothing else",
  async (phase, status) => {
    const fail = (): never => {
      throw new Error("broken");
    };
    await using upstream = await Upstream.start((_request, response) => {
      response.end("fine");
    });
    await using gateway = await TestGateway.start(
      [...api(upstream.port), configured(3, "broken")],
      { plugins: [plugin("broken", 1, () => ({ [phase]: fail }))] },
    );
    for (const path of ["/api/1", "/api/2"]) {
      const answer = await gateway.ask(path);
      expect(answer.status).toBe(status);
      if (status === 200) expect(answer.text).toBe("fine");
    }
  },
);

test("functions for a body that throw leave it as it is, unless it must not pass so", async () => {
  const fail = (): never => {
    throw new Error("broken");
  };
  const handlers: Record<string, PluginHandlers> = {
    filter: { bodyFilter: () => fail },
    watch: { response: () => ({ watch: fail }) },
    pass: {
      response: () => ({ limitBytes: 100, whole: fail, tooLarge: "pass" }),
    },
    refuse: {
      response: () => ({ limitBytes: 100, whole: fail, tooLarge: "refuse" }),
    },
  };
  await using upstream = await Upstream.start((_request, response) => {
    response.end("fine");
  });
  const plugins = Object.entries(handlers).map(([name, one]) =>
    plugin(name, 1, () => one),
  );
  for (const name of Object.keys(handlers)) {
    await using gateway = await TestGateway.start(
      [...api(upstream.port), configured(3, name)],
      { plugins },
    );
    const { status, text } = await gateway.ask("/api");
    expect([name, status, text === "fine"]).toEqual(
      name === "refuse" ? [name, 502, false] : [name, 200, true],
    );
  }
});

test("an answer is held back for a plugin up to its limit; a larger one passes or is refused, whole", async () => {
  const large = "x".repeat(200_000);
  await using upstream = await Upstream.start(({ url }, response) => {
    response.write("begin-");
    setImmediate(() => response.end(url === "/large" ? large : "end"));
  });
  const holding = (tooLarge: "pass" | "refuse") =>
    plugin(`hold-${tooLarge}`, 1, () => ({
      response: () => ({
        limitBytes: 1000,
        tooLarge,
        whole: async (response) => {
          await Promise.resolve();
          response.status = 201;
          response.headers.set("X-Whole", String(response.body.length));
          response.body = Buffer.from(`<${response.body.toString()}>`);
        },
      }),
    }));
  const plugins = [holding("pass"), holding("refuse")];
  for (const how of ["pass", "refuse"]) {
    await using gateway = await TestGateway.start(
      [...api(upstream.port), configured(3, `hold-${how}`)],
      { plugins },
    );
    expect(await gateway.ask("/api/small")).toMatchObject({
      status: 201,
      text: "<begin-end>",
      headers: { "x-whole": "9", "content-length": "11" },
    });
    const answer = await gateway.ask("/api/large");
    expect([how, answer.status, answer.text === `begin-${large}`]).toEqual(
      how === "pass" ? [how, 200, true] : [how, 502, false],
    );
  }
});

test("a plugin is kept while its configuration stays, and closed when its last request is over", async () => {
  const made: string[] = [];
  const closed: string[] = [];
  const counted = plugin("counted", 1, (config) => {
    const name = (config as { name: string }).name;
    made.push(name);
    return {
      access: () => undefined,
      close: () => {
        closed.push(name);
      },
    };
  });
  const waiting: (() => void)[] = [];
  await using upstream = await Upstream.start((_request, response) => {
    waiting.push(() => response.end());
  });
  const state = (name: string, port: number) => [
    ...api(port),
    configured(3, "counted", { config: { name } }),
  ];
  await using gateway = await TestGateway.start(state("one", upstream.port), {
    plugins: [counted],
  });
  const pending = gateway.ask("/api");
  await eventually(() => {
    expect(waiting).toHaveLength(1);
    return true;
  }, "what is expected");
  // Another revision with the same plugin, tagged.
  await gateway.serve([
    ...api(upstream.port),
    configured(3, "counted", { config: { name: "one" }, tags: ["x"] }),
  ]);
  expect(made).toEqual(["one"]);
  await gateway.serve(state("two", upstream.port));
  expect(made).toEqual(["one", "two"]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed).toEqual([]);
  waiting[0]?.();
  await pending;
  await eventually(() => {
    expect(closed).toEqual(["one"]);
    return true;
  }, "what is expected");
  await gateway.serve(api(upstream.port));
  await eventually(() => {
    expect(closed).toEqual(["one", "two"]);
    return true;
  }, "what is expected");
  await gateway.serve(state("three", upstream.port));
  await gateway.gateway.close();
  expect(closed).toEqual(["one", "two", "three"]);
});

test("a state that is never served leaves nothing of its plugins behind", async () => {
  const closed: string[] = [];
  const counted = plugin("counted", 1, (config) => ({
    close: () => {
      closed.push((config as { name: string }).name);
    },
  }));
  await using upstream = await Upstream.start();
  await using gateway = await TestGateway.start(api(upstream.port), {
    plugins: [counted],
  });
  await expect(
    gateway.serve([
      ...api(upstream.port),
      configured(3, "counted", { config: { name: "never" } }),
      configured(4, "cors", { route: { id: id(99) } }),
    ]),
  ).rejects.toThrow("does not exist");
  await eventually(() => {
    expect(closed).toEqual(["never"]);
    return true;
  }, "what is expected");
});

test("a state that another is prepared in place of takes none of that one's plugins with it", async () => {
  const made: string[] = [];
  const closed: string[] = [];
  const counted = plugin("counted", 1, (config) => {
    const { name } = config as { name: string };
    made.push(name);
    return {
      access: () => undefined,
      close: () => {
        closed.push(name);
      },
    };
  });
  await using upstream = await Upstream.start((_request, response) => {
    response.end("served");
  });
  await using gateway = await TestGateway.start([], { plugins: [counted] });
  const state = (name: string) => [
    ...api(upstream.port),
    configured(3, "counted", { config: { name } }),
    // More than is compiled without a pause.
    ...Array.from({ length: 500 }, (_, i) =>
      resource("consumer", { id: id(1_000 + i), username: `user-${i}` }),
    ),
  ];
  const first = gateway.serve(state("first"));
  const refused = expect(first).rejects.toThrow("a later state is prepared");
  await gateway.serve(state("second"));
  await refused;
  expect((await gateway.ask("/api")).text).toBe("served");
  expect(made).toContain("second");
  expect(closed).not.toContain("second");
});
