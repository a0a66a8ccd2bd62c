import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { flag, list, optional, required, toggle } from "../../src/cli/flags.ts";
import { UsageError } from "../../src/cli/io.ts";
import { parseFlags, type Env } from "../../src/cli/parse-flags.ts";
import {
  duration,
  hostPort,
  integer,
  keyValue,
  oneOf,
  text,
} from "../../src/cli/value-types.ts";

const flags = {
  adminListen: flag(hostPort, { summary: "a", default: "127.0.0.1:8001" }),
  dataDir: optional(text("DIR"), { summary: "b" }),
  count: flag(integer(1, 10), { summary: "c", default: "3" }),
  timeout: flag(duration("1h"), { summary: "d", default: "30s" }),
  file: list(text("FILE"), { summary: "e", short: "f" }),
  label: list(keyValue, { summary: "f" }),
  mode: flag(oneOf(["refuse", "fail-route"]), {
    summary: "g",
    default: "refuse",
  }),
  yes: toggle({ summary: "h" }),
};

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "holdfast-flags-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function config(content: string): string {
  const file = path.join(folder, "holdfast.yml");
  writeFileSync(file, content);
  return file;
}

function parse(argv: string[], env: Env = {}) {
  const parsed = parseFlags(flags, argv, env);
  if (parsed.help) throw new Error("asked for help");
  return parsed;
}

function problems(argv: string[], env: Env = {}): readonly string[] {
  try {
    parse(argv, env);
  } catch (error) {
    if (error instanceof UsageError) return error.problems;
    throw error;
  }
  return [];
}

describe("what a command line says", () => {
  test("nothing given: the defaults", () => {
    expect(parse([])).toEqual({
      help: false,
      args: [],
      values: {
        adminListen: { host: "127.0.0.1", port: 8001 },
        dataDir: undefined,
        count: 3,
        timeout: 30_000,
        file: [],
        label: [],
        mode: "refuse",
        yes: false,
      },
    });
  });

  test("flags and words may be mixed, a value may follow a space or an equals sign", () => {
    const { values, args } = parse([
      "route",
      "--count=5",
      "-f",
      "a.yml",
      "hello",
      "--file",
      "-",
      "--yes",
      "--label",
      "zone=eu=1",
    ]);
    expect(args).toEqual(["route", "hello"]);
    expect(values).toMatchObject({
      count: 5,
      file: ["a.yml", "-"],
      yes: true,
      label: [["zone", "eu=1"]],
    });
  });

  test("what comes after -- is a word, not a flag", () => {
    expect(parse(["--yes", "--", "--count"]).args).toEqual(["--count"]);
  });

  test("--help is seen before anything that is wrong", () => {
    expect(parseFlags(flags, ["--count", "x", "--help"], {})).toEqual({
      help: true,
    });
    expect(parseFlags(flags, ["-h"], {})).toEqual({ help: true });
  });

  test("the command line wins over the environment, that over the file, that over the default", () => {
    const file = config("count: 4\nmode: fail-route\ntimeout: 1m\n");
    const env = { HOLDFAST_COUNT: "5", HOLDFAST_TIMEOUT: "2m" };
    const { values } = parse(["--count", "6", "--config", file], env);
    expect(values).toMatchObject({
      count: 6,
      timeout: 120_000,
      mode: "fail-route",
      adminListen: { port: 8001 },
    });
  });

  test("whatever sources name a flag, the strongest of them decides", () => {
    const level = fc.option(fc.integer({ min: 1, max: 10 }), {
      nil: undefined,
    });
    fc.assert(
      fc.property(level, level, level, (onLine, inEnv, inFile) => {
        const { values } = parse(
          [
            ...(onLine === undefined ? [] : [`--count=${onLine}`]),
            `--config=${config(inFile === undefined ? "" : `count: ${inFile}`)}`,
          ],
          inEnv === undefined ? {} : { HOLDFAST_COUNT: String(inEnv) },
        );
        expect(values.count).toBe(onLine ?? inEnv ?? inFile ?? 3);
      }),
    );
  });

  test("lists come separated by commas from the environment, as lists or one value from the file", () => {
    expect(parse([], { HOLDFAST_FILE: "a.yml, b.yml" }).values.file).toEqual([
      "a.yml",
      "b.yml",
    ]);
    const lists = config(
      "file: [a.yml, b.yml]\nlabel:\n  zone: eu\n  rack: 07\n",
    );
    expect(parse([], { HOLDFAST_CONFIG: lists }).values).toMatchObject({
      file: ["a.yml", "b.yml"],
      label: [
        ["zone", "eu"],
        ["rack", "07"],
      ],
    });
    const one = config("file: a.yml\nyes: true\n");
    expect(parse(["--config", one]).values).toMatchObject({
      file: ["a.yml"],
      yes: true,
    });
  });

  test("a toggle can be taken back with =false, and an empty variable is none", () => {
    expect(parse(["--yes=false"], { HOLDFAST_YES: "true" }).values.yes).toBe(
      false,
    );
    expect(parse([], { HOLDFAST_YES: "1" }).values.yes).toBe(true);
    expect(parse([], { HOLDFAST_COUNT: "" }).values.count).toBe(3);
  });

  test("variables of other flags are ignored", () => {
    expect(problems([], { HOLDFAST_NO_SUCH_FLAG: "x" })).toEqual([]);
  });
});

describe("what is wrong with a command line is said with the flag and what is allowed", () => {
  test.each([
    [["--count", "11"], '--count: "11" is not a whole number from 1 to 10'],
    [["--count", "1e1"], '--count: "1e1" is not a whole number from 1 to 10'],
    [
      ["--timeout", "5"],
      '--timeout: "5" is not a duration, such as 500ms, 30s or 1m30s',
    ],
    [["--timeout", "61m"], "--timeout: 61m is over 1h"],
    [["--mode", "pass"], '--mode: "pass" is not one of refuse, fail-route'],
    [
      ["--admin-listen", "8001"],
      '--admin-listen: "8001" is not HOST:PORT, such as 127.0.0.1:8001 or [::1]:8001',
    ],
    [
      ["--label", "zone"],
      '--label: "zone" is not KEY=VALUE, such as zone=eu-1',
    ],
    [["--yes=maybe"], '--yes: "maybe" is neither true nor false'],
    [
      ["--cuont", "1"],
      "--cuont is not a flag of this command. Did you mean --count?",
    ],
    [["-x"], "-x is not a flag of this command."],
    [["--count"], "--count needs a value: --count N"],
    [["--data-dir", "--yes"], "--data-dir needs a value: --data-dir DIR"],
    [
      ["--count=1", "--count=2"],
      "--count is given 2 times and can be given once",
    ],
  ])("%j", (argv, problem) => {
    expect(problems(argv)[0]).toBe(problem);
  });

  test("all of it at once", () => {
    expect(problems(["--count", "0"], { HOLDFAST_MODE: "pass" })).toEqual([
      '--count: "0" is not a whole number from 1 to 10',
      'HOLDFAST_MODE in the environment: "pass" is not one of refuse, fail-route',
    ]);
  });

  test("a required flag that is missing, with its variable", () => {
    const table = {
      dataDir: required(text("DIR"), { summary: "Where data is." }),
    };
    expect(() => parseFlags(table, [], {})).toThrow(
      "--data-dir is required (or HOLDFAST_DATA_DIR in the environment): Where data is.",
    );
  });

  test("in the file: unknown keys, wrong values, with the line", () => {
    const file = config("# mine\ncuont: 4\nmode: pass\ncount: [1, 2]\n");
    expect(problems(["--config", file])).toEqual([
      `${file}:2: cuont is not a flag of this command. Did you mean count?`,
      `${file}:4: count has 2 values and can have one`,
      `${file}:3: mode: "pass" is not one of refuse, fail-route`,
    ]);
  });

  test("a file that is no YAML, no map, or not there", () => {
    const broken = config("count: [1\n");
    expect(problems(["--config", broken])[0]).toMatch(/holdfast\.yml:\d: /);
    const words = config("count\n");
    expect(problems(["--config", words])).toEqual([
      `${words}: must be a map of flags to values`,
    ]);
    const [missing] = problems(["--config", path.join(folder, "none.yml")]);
    expect(missing).toMatch(/^--config: cannot read .*none\.yml: ENOENT/);
  });
});

test("no command line whatsoever makes reading it fail otherwise than with a UsageError", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "--",
      "-",
      "-f",
      "--yes",
      "--count",
      "--file=",
      "-h5",
      "--no-yes",
    ),
  );
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      try {
        parseFlags(
          flags,
          argv.filter((one) => !one.startsWith("--config")),
          {},
        );
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
      }
    }),
  );
});
