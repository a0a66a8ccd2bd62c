/** The four bytes of an IPv4 address in dotted form; undefined when it is not one. */
export function parseIpv4(text: string): readonly number[] | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const bytes = text.split(".");
  // A leading zero would be octal to some readers and decimal to others.
  return bytes.every((byte) => String(Number(byte)) === byte && +byte <= 255)
    ? bytes.map(Number)
    : undefined;
}

/** The eight groups of an IPv6 address without brackets and zone; undefined when it is not one. */
export function parseIpv6(text: string): readonly number[] | undefined {
  if (!/^[0-9a-fA-F:.]{2,45}$/.test(text)) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) =>
    groupsOf(half, i === halves.length - 1),
  );
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 8 ? head : undefined;
  if (tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (missing < 1) return undefined;
  return [...head, ...Array<number>(missing).fill(0), ...tail];
}

/** The groups between colons; the last may be an IPv4 address when it ends the whole. */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    const v4 = last && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (v4 !== undefined) {
      const [a = 0, b = 0, c = 0, d = 0] = v4;
      groups.push(a * 256 + b, c * 256 + d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

/** The one form of an IPv6 address: lower case, no leading zeros, the first longest run of zeros as "::". */
export function formatIpv6(groups: readonly number[]): string {
  let start = -1;
  let length = 1;
  for (let i = 0; i < groups.length; i++) {
    let end = i;
    while (groups[end] === 0) end++;
    if (end - i > length) {
      start = i;
      length = end - i;
    }
  }
  const hex = groups.map((group) => group.toString(16));
  if (start < 0) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** Whether a text is an address or a CIDR block of either family. */
export function isCidr(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const width =
    parseIpv4(address) !== undefined
      ? 32
      : parseIpv6(address) !== undefined
        ? 128
        : undefined;
  if (width === undefined || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && +bits <= width);
}
