/** The value below which a share of the values lies; 0 of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1);
  return sorted[Math.max(0, at)] ?? 0;
}

/** The middle value. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Three digits that mean something, without an exponent. */
export function short(value: number): string {
  if (value === 0 || Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(
    Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3,
  );
}

/** p50 / p99 / max. */
export function spread(values: readonly number[]): string {
  return [quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1)]
    .map(short)
    .join(" / ");
}

/** Bytes as megabytes. */
export function megabytes(bytes: number): string {
  return short(bytes / (1 << 20));
}

/** A table in Markdown. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join(
    "\n",
  );
}
