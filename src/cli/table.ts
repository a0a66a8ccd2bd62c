import type { Output } from "./io.ts";

const GAP = "  ";
const MIN_COLUMN = 8;

/**
 * Rows under titles in aligned columns. On a terminal no line is wider than it: the widest columns are cut, marked with `…`.
 * Elsewhere nothing is cut.
 */
export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  out: Output,
): string {
  const cells = [titles, ...rows].map((row) =>
    titles.map((_, column) => printable(row[column] ?? "")),
  );
  const widths = titles.map((_, column) =>
    Math.max(...cells.map((row) => lengthOf(row[column] ?? ""))),
  );
  if (out.isTTY === true && out.columns !== undefined)
    shrink(widths, out.columns);
  return cells
    .map((row) => {
      const padded = row.map((cell, column) => fit(cell, widths[column] ?? 0));
      return `${padded.join(GAP).trimEnd()}\n`;
    })
    .join("");
}

/** Text without characters that move the cursor, break the line or change colours: names come from anybody. */
export function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    "\u{fffd}",
  );
}

/** Takes from the widest column, one character at a time, until all fit. */
function shrink(widths: number[], available: number): void {
  const total = () =>
    widths.reduce((sum, width) => sum + width, 0) +
    GAP.length * (widths.length - 1);
  while (total() > available) {
    const widest = widths.indexOf(Math.max(...widths));
    const width = widths[widest] ?? 0;
    if (width <= MIN_COLUMN) return;
    widths[widest] = width - 1;
  }
}

function fit(cell: string, width: number): string {
  const length = lengthOf(cell);
  return length <= width
    ? cell + " ".repeat(width - length)
    : `${Array.from(cell)
        .slice(0, width - 1)
        .join("")}…`;
}

/** In characters, not in the halves of UTF-16. */
function lengthOf(text: string): number {
  return Array.from(text).length;
}
