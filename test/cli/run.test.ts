import { describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { dashed, envName } from "../../src/cli/flags.ts";
import { runCli } from "../support/cli.ts";

const commands = await Promise.all(COMMANDS.map((entry) => entry.load()));
const listed = commands.filter(({ hidden }) => !hidden);

describe("the program itself", () => {
  test.each([
    ["file:///x.hfs", '"file:" is not supported'],
    ["file:/x.hfs", '"file:" is not supported'],
    ["ftp://ann:s3cret@files.example/x.hfs", '"ftp:" is not supported'],
    ["http:/ann:s3cret@x", '"http:" is not supported'],
    ["https://ann:s3cret@:99999/x", "it is no URL"],
    ["https://ann:s3%cret@x/y", "write %25"],
  ])(
    "dp --fallback %s is a wrong command line, told without a password",
    async (source, reason) => {
      const { code, stderr } = await runCli(
        "dp --control-plane 127.0.0.1:1 --data-dir /nowhere --insecure-sync --fallback-key k --fallback"
          .split(" ")
          .concat(source),
      );
      expect(code).toBe(2);
      expect(stderr).toContain(reason);
      expect(stderr).not.toMatch(/s3/);
    },
  );

  test("a command is found by the name that it has itself", () => {
    expect(COMMANDS.map(({ name }) => name)).toEqual(
      commands.map(({ name }) => name),
    );
  });

  test("--version prints one line with the version", async () => {
    const { code, stdout } = await runCli(["--version"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^holdfast \d+\.\d+\.\d+\n$/);
  });

  test("--help names every command that is not hidden, and the exit codes", async () => {
    const { code, stdout } = await runCli(["--help"]);
    expect(code).toBe(0);
    for (const { name, summary } of listed) {
      expect(stdout).toContain(`  ${name} `);
      expect(stdout).toContain(summary);
    }
    expect(stdout).not.toContain("  echo ");
  });

  test("without a command it prints its help on standard error and ends with 2", async () => {
    const { code, stdout, stderr } = await runCli([]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("Usage: holdfast COMMAND");
  });

  test.each([
    ["aply", "Did you mean holdfast apply?"],
    ["node", "Did you mean holdfast nodes?"],
    ["rolback", "Did you mean holdfast rollback?"],
  ])("%s ends with 2 and suggests the nearest command", async (word, guess) => {
    const { code, stderr } = await runCli([word]);
    expect(code).toBe(2);
    expect(stderr).toContain(guess);
  });

  test.each(["frobnicate", "repair"])(
    "%s does not exist, and nothing is guessed that is far away",
    async (word) => {
      const { code, stderr } = await runCli([word]);
      expect(code).toBe(2);
      expect(stderr).toContain(`there is no command "${word}".\n`);
    },
  );

  test("flags before the command end with 2", async () => {
    const { code, stderr } = await runCli(["--admin", "x", "get"]);
    expect(code).toBe(2);
    expect(stderr).toContain("the command comes before its flags");
  });
});

describe.each(listed.map((command) => ({ name: command.name, command })))(
  "the help of $name",
  ({ name, command }) => {
    test("shows each flag with its variable and default, and examples of itself", async () => {
      const { code, stdout, stderr } = await runCli([name, "--help"]);
      expect(code).toBe(0);
      expect(stderr).toBe("");
      expect(stdout).toContain(`Usage: holdfast ${name}`);
      const unwrapped = stdout.replaceAll(/\s+/g, " ");
      for (const [key, flag] of Object.entries(command.flags)) {
        expect(stdout).toContain(`--${dashed(key)}`);
        expect(unwrapped).toContain(`env ${envName(key)}`);
        for (const value of flag.fallback) expect(unwrapped).toContain(value);
      }
      expect(command.examples.length).toBeGreaterThan(0);
      for (const [line] of command.examples) expect(stdout).toContain(line);
    });

    test("is as wide as the terminal, examples and names apart", async () => {
      const { stdout } = await runCli([name, "--help"], {
        terminal: true,
        columns: 60,
      });
      const prose = stdout
        .split("\n")
        .filter((line) => !/^ {2}(?:\S+ \| )?holdfast|^ {2}-|--/.test(line));
      for (const line of prose) expect(line.length).toBeLessThanOrEqual(60);
    });

    test("is the same as of help NAME", async () => {
      const [a, b] = [
        await runCli([name, "--help"]),
        await runCli(["help", name]),
      ];
      expect(b).toEqual(a);
    });

    test("its examples can be understood by the command line they show", () => {
      for (const [line] of command.examples) {
        const [, word] = /holdfast (\S+)/.exec(line) ?? [];
        expect(listed.map((one) => one.name)).toContain(word);
      }
    });
  },
);

describe("words that a command does not take", () => {
  test.each([
    [["wait"], "something is missing: holdfast wait REVISION"],
    [["wait", "x"], 'REVISION: "x" is not a revision'],
    [["wait", "1", "2"], '"2" is too much'],
    [["get"], "something is missing: holdfast get KIND [ID|NAME]"],
    [["get", "rutes"], 'there is no kind "rutes". Did you mean routes?'],
    [["delete", "route"], "something is missing: holdfast delete KIND ID|NAME"],
    [["nodes", "alow", "x"], "Did you mean nodes allow?"],
    [["nodes", "forget"], "which node? holdfast nodes forget NODE"],
    [
      ["restore", "--data-dir", "x"],
      "something is missing: holdfast restore FILE",
    ],
    [["nodes", "retry"], "which node?"],
    [["nodes", "retry", "x", "--watch"], "--watch does not go together"],
    [["apply"], "--file is required"],
    [["apply", "-f", "-", "-f", "-"], "standard input can be read once"],
    [["apply", "-f", "-", "--dry-run", "--wait", "1s"], "--wait and --dry-run"],
    [
      ["up", "--echo-listen", "127.0.0.1:0"],
      "--echo-listen: the quick start has 2 upstreams",
    ],
    [["cp", "--data-dir", "x"], "--cluster-cert and --cluster-key are needed"],
    [
      ["cp", "--data-dir", "x", "--cluster-cert", "a"],
      "--cluster-key is needed together with --cluster-cert",
    ],
    [
      ["cp", "--data-dir", "x", "--cluster-ca", "a", "--insecure-sync"],
      "--insecure-sync and --cluster-ca contradict each other",
    ],
    [
      [
        ...["cp", "--data-dir", "x", "--cluster-cert", "a"],
        ...["--cluster-key", "b", "--cluster-crl", "c"],
      ],
      "--cluster-crl needs --cluster-ca",
    ],
    [
      [
        ...["dp", "--data-dir", "x", "--control-plane", "127.0.0.1:1"],
        ...["--insecure-sync", "--cluster-proxy", "10.0.0.1:3128"],
      ],
      "--cluster-proxy: 10.0.0.1:3128 can be reached from other machines",
    ],
    [["cert"], "something is missing: holdfast cert init|issue"],
    [["cert", "isue"], "Did you mean cert issue?"],
    [["cert", "issue"], "give one of them"],
    [["cert", "issue", "--cp", "a", "--dp", "b"], "give one of them"],
    [["cert", "issue", "--dp", "../a"], "is not a name: 1 to 64 letters"],
    [
      ["cert", "issue", "--dp", "a", "--host", "b"],
      "--host goes together with --cp",
    ],
    [["cert", "init", "--dp", "a"], "--dp does not go together with init"],
    [["cert", "init", "x"], '"x" is too much for init'],
    [["cert", "show"], "which certificates? holdfast cert show FILE…"],
    [["cert", "revoke"], "which certificate? holdfast cert revoke FILE"],
    [
      ["dp", "--data-dir", "x", "--control-plane", "127.0.0.1:1"],
      "--cluster-cert and --cluster-key are needed",
    ],
    [
      [
        "cp",
        "--data-dir",
        "x",
        "--insecure-sync",
        "--sync-listen",
        "0.0.0.0:8005",
      ],
      "--sync-listen: 0.0.0.0:8005 can be reached from other machines",
    ],
    [
      [
        "cp",
        "--data-dir",
        "x",
        "--insecure-sync",
        "--alternative-address",
        "10.0.0.1:8005",
      ],
      "--alternative-address: 10.0.0.1:8005 can be reached from other machines",
    ],
    [
      [
        "cp",
        "--data-dir",
        "x",
        "--insecure-sync",
        ...Array.from({ length: 9 }, (_, i) => [
          "--alternative-address",
          `127.0.0.1:${i + 1}`,
        ]).flat(),
      ],
      "--alternative-address: 9 are given, and a data plane takes 8 at most",
    ],
    [
      [
        "dp",
        "--data-dir",
        "x",
        "--insecure-sync",
        "--control-plane",
        "10.0.0.1:8005",
      ],
      "--control-plane: 10.0.0.1:8005 can be reached from other machines",
    ],
    [["cp", "--insecure-sync"], "--data-dir is required"],
    [
      ["dp", "--insecure-sync", "--data-dir", "x"],
      "--control-plane is required",
    ],
    [
      [
        "dp",
        "--node-id",
        "a b",
        "--insecure-sync",
        "--data-dir",
        "x",
        "--control-plane",
        "127.0.0.1:1",
      ],
      '--node-id: "a b" is not an id',
    ],
  ])("%j ends with 2", async (argv, problem) => {
    const { code, stdout, stderr } = await runCli(argv);
    expect(stderr).toContain(problem);
    expect(stderr).toContain(`See "holdfast ${argv[0]!} --help".`);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });
});
