import { writeFile } from "node:fs/promises";
import { expect, test, vi } from "vitest";
import { runCli } from "../support/cli.ts";
import { CliControlPlane } from "../support/cli-control-plane.ts";
import { TempDir } from "../support/temp-dir.ts";

vi.setConfig({ testTimeout: 60_000 });

function validate(stdin: string) {
  return runCli(["validate", "-f", "-"], { stdin });
}

const HEAD = '_format_version: "3.0"\n';

test("a file without problems ends with 0 and says what is in it", async () => {
  expect(
    await validate(
      `${HEAD}services: [{name: a, host: a.example, routes: [{paths: [/]}]}]\n`,
    ),
  ).toEqual({ code: 0, stdout: "valid: 2 entities\n", stderr: "" });
});

test("every problem has its place in front, in the order of the files and lines", async () => {
  await using dir = await TempDir.make();
  const [one, two] = [dir.join("one.yml"), dir.join("two.yml")];
  await writeFile(
    one,
    `${HEAD}routes:\n- name: r\n  paths: [r]\n  service: pay\n- {paths: [/], nme: x}\n`,
  );
  await writeFile(two, `${HEAD}services:\n- name: buy\n`);
  expect(await runCli(["validate", "-f", two, "-f", one])).toEqual({
    code: 1,
    stdout: [
      `${two}:3:3: service "buy": host: is required`,
      `${one}:4:11: route "r": paths[0]: must start with "/" (a prefix) or "~/" (a regular expression), got "r"`,
      `${one}:5:12: route "r": service: no service "pay": create it first, or earlier in the same transaction`,
      `${one}:6:16: route #2: nme: unknown field; did you mean "name"?`,
      "",
    ].join("\n"),
    stderr: "holdfast validate: 4 problems\n",
  });
});

test("problems are those that apply reports", async () => {
  await using plane = await CliControlPlane.start();
  for (const [stdin, problem] of [
    [
      `${HEAD}routes: [{name: r, paths: [/], service: pay}]\n`,
      'no service "pay": create it first, or earlier in the same transaction',
    ],
    [`${HEAD}services: [{name: a}]\n`, "is required"],
    [`${HEAD}services: {`, "not valid YAML"],
  ] as const) {
    const here = await validate(stdin);
    const there = await plane.run(["apply", "-f", "-"], { stdin });
    expect([here.code, there.code]).toEqual([1, 1]);
    expect(here.stdout).toContain(problem);
    expect(there.stderr).toContain(problem);
  }
});

test("warnings go to standard error, are those of apply, and change nothing", async () => {
  await using plane = await CliControlPlane.start();
  const stdin = [
    '_format_version: "3.0"',
    "services:",
    "- name: a",
    "  host: a.example",
    "  retries: 1",
    "  retries: 2",
    "  routes:",
    "  - {name: r, paths: ['/a/(b|c)']}",
    "  plugins:",
    "  - name: who-knows",
  ].join("\n");
  const here = await validate(stdin);
  expect(here).toMatchObject({ code: 0, stdout: "valid: 3 entities\n" });
  const lines = here.stderr.trimEnd().split("\n");
  expect(lines).toHaveLength(3);
  expect(lines[0]).toMatch(
    /^warning: stdin:6:3: services\[0\]\.retries: the key is repeated/,
  );
  expect(lines[1]).toMatch(/^warning: stdin:8:5: route "r": paths\[0\]: /);
  expect(lines[2]).toMatch(
    /^warning: stdin:10:5: plugin "who-knows": name: .*not a plugin/,
  );
  const there = await plane.run(["apply", "-f", "-"], { stdin });
  expect(there.stderr.trimEnd().split("\n").sort()).toEqual(lines.sort());
});

test("a large file is checked in a thread, with the same places", async () => {
  const routes = Array.from(
    { length: 200 },
    (_, i) =>
      `- {name: r${i}, paths: [/r${i}], service: ${i === 150 ? "b" : "a"}}`,
  );
  const services = "services: [{name: a, host: a.example}]";
  const { code, stdout } = await validate(
    `${HEAD}${services}\nroutes:\n${routes.join("\n")}\n`,
  );
  expect(code).toBe(1);
  expect(stdout).toMatch(
    /^stdin:154:\d+: route "r150": service: no service "b": [^\n]+\n$/,
  );
});

test("a file that is not there ends with 1, no file at all with 2", async () => {
  expect((await runCli(["validate", "-f", "none.yml"])).code).toBe(1);
  expect((await runCli(["validate"])).code).toBe(2);
});
