import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  describeChanges,
  describeRefusals,
} from "../../src/cli/describe-diff.ts";
import { paletteFor } from "../../src/cli/paint.ts";
import {
  ChangeSchema,
  WarningSchema,
} from "../../src/gen/holdfast/admin/v1/config_service_pb.js";

const plain = paletteFor({ write: () => true }, {});

test("many changes of a kind are shown in short", () => {
  const changes = Array.from({ length: 23 }, (_, i) =>
    create(ChangeSchema, {
      kind: "route",
      name: `r${i}`,
      id: `id${i}`,
      action: "delete",
    }),
  );
  const lines = describeChanges(changes, plain).split("\n");
  expect(lines[0]).toBe("- route  r0");
  expect(lines.slice(-3)).toEqual([
    "- route  … and 3 more",
    "23 to delete",
    "",
  ]);
});

test("of what is updated the fields are shown, in short", () => {
  const fields = [
    { path: "config.secret", secret: true },
    { path: "host", after: '"a.example"' },
    { path: "tags[0]", before: JSON.stringify("x".repeat(100)) },
    ...Array.from({ length: 7 }, (_, i) => ({ path: `hosts[${i}]` })),
  ];
  const change = create(ChangeSchema, {
    kind: "plugin",
    name: "jwt",
    action: "update",
    fields,
    fieldCount: 120,
  });
  const lines = describeChanges([change], plain).split("\n");
  expect(lines.slice(0, 4)).toEqual([
    "~ plugin  jwt",
    "    config.secret: (secret changed)",
    '    host: (unset) -> "a.example"',
    `    tags[0]: "${"x".repeat(59)}… (42 more characters) -> (unset)`,
  ]);
  expect(lines.slice(9)).toEqual([
    "    … and 112 more fields",
    "1 to update",
    "",
  ]);
});

test("nodes that would refuse are told once for all that they refuse it for", () => {
  const warning = (name: string, message: string, refusing: boolean) =>
    create(WarningSchema, {
      kind: name === "" ? "" : "plugin",
      name,
      message,
      refusing,
      nodes: ["n1"],
    });
  expect(
    describeRefusals(
      [
        ...["a", "b", "c", "d"].map((name) => warning(name, "needs x", true)),
        warning("e", "needs y", false),
        warning("", "what stays needs z", true),
        create(WarningSchema, { message: "about no node" }),
      ],
      plain,
    ).split("\n"),
  ).toEqual([
    '! refused: plugin "a", plugin "b", plugin "c" and 1 more: needs x',
    '! in part: plugin "e": needs y',
    "! refused: what stays needs z",
    "",
  ]);
});

test("colours are for terminals that can show them and people who want them", () => {
  const out = { write: () => true, isTTY: true };
  expect(paletteFor(out, {}).create("x")).toBe("\u001b[32mx\u001b[0m");
  for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }])
    expect(paletteFor(out, env).create("x")).toBe("x");
  expect(plain.delete("x")).toBe("x");
});
