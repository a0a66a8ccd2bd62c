import { expect, test } from "vitest";
import { CliControlPlane } from "../support/cli-control-plane.ts";

test("workspaces are created, copied, listed, used and deleted from the command line", async () => {
  await using plane = await CliControlPlane.start();
  const ok = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await plane.run(argv);
    expect([argv.join(" "), code, code === 0 ? "" : stderr]).toEqual([
      argv.join(" "),
      0,
      "",
    ]);
    return stdout;
  };
  const refused = async (...argv: string[]): Promise<string> => {
    const { code, stderr } = await plane.run(argv);
    expect([argv.join(" "), code]).not.toEqual([argv.join(" "), 0]);
    return stderr;
  };
  await plane.apply("_format_version: '3.0'\nservices: [{name: a, host: h}]\n");
  expect(await ok("workspace", "create", "empty")).toBe(
    "workspace empty was created\n",
  );
  expect(await ok("workspace", "copy", "default", "staging")).toBe(
    "workspace staging was created with the 1 resource of default\n",
  );
  expect(
    await ok("delete", "service", "a", "--yes", "--workspace", "staging"),
  ).toContain("revision 2");
  expect(await ok("get", "service", "a")).toContain("name: a\n");
  const listed = JSON.parse(await ok("workspace", "list", "-o", "json")) as {
    workspaces: { name: string; entry_count?: string }[];
  };
  expect(
    listed.workspaces.map((one) => [one.name, one.entry_count ?? "0"]),
  ).toEqual([
    ["default", "1"],
    ["empty", "0"],
    ["staging", "0"],
  ]);
  expect(await ok("workspace", "list")).toMatch(
    /^WORKSPACE +REVISION +RESOURCES.*\ndefault +1 +1 +0 of 0/,
  );

  expect(await refused("history", "--workspace", "nowhere")).toContain(
    'there is no workspace "nowhere": see "holdfast workspace list"',
  );
  expect(await refused("workspace", "delete", "staging")).toContain("--yes");
  expect(await refused("workspace", "delete", "default", "--yes")).toContain(
    '"default" cannot be deleted',
  );
  expect(await refused("workspace", "create", "No Good")).toContain(
    'a workspace\'s name is 1 to 63 of a-z, 0-9 and "-"',
  );
  expect(await refused("workspace", "copy", "default")).toContain("two names");
  expect(await refused("workspace", "drop", "x")).toContain("list, create");
  await ok("workspace", "copy", "default", "full");
  expect(await refused("workspace", "delete", "full", "--yes")).toContain(
    '"full" has 1 resource',
  );
  await ok("workspace", "delete", "full", "--yes", "--force");
  await ok("workspace", "delete", "staging", "--yes");
  expect(await ok("workspace", "list")).not.toContain("staging");
});
