import fc from "fast-check";
import { expect, test } from "vitest";
import { printable, table } from "../../src/cli/table.ts";

const plain = { write: () => true };

test("columns are aligned and nothing is cut where nobody reads along", () => {
  const long = "x".repeat(300);
  expect(
    table(
      ["A", "LONGER"],
      [
        ["1", "2"],
        ["333", long],
      ],
      plain,
    ),
  ).toBe(`A    LONGER\n1    2\n333  ${long}\n`);
});

test("on a terminal the widest column is cut, and marked", () => {
  const out = { ...plain, isTTY: true, columns: 20 };
  expect(table(["A", "B"], [["1", "x".repeat(50)]], out)).toBe(
    `A  B\n1  ${"x".repeat(16)}…\n`,
  );
});

test("no line is wider than the terminal while columns can shrink", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string(), fc.string(), fc.string())),
      fc.integer({ min: 28, max: 200 }),
      (rows, columns) => {
        const text = table(["A", "B", "C"], rows, {
          ...plain,
          isTTY: true,
          columns,
        });
        for (const line of text.split("\n"))
          expect(Array.from(line).length).toBeLessThanOrEqual(columns);
        expect(text.split("\n")).toHaveLength(rows.length + 2);
      },
    ),
  );
});

test("what moves the cursor or breaks lines is not printed", () => {
  expect(printable("a\u001b[2Jb\r\nc\u202ed\u0085")).toBe(
    "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}",
  );
  expect(printable("naïve 日本 👩‍👩‍👧")).toBe("naïve 日本 👩‍👩‍👧");
});
