import ipaddr from "ipaddr.js";

type Address = ReturnType<typeof ipaddr.process>;

/** A set of addresses and networks. */
export interface Networks {
  /** Whether an address is one of them or in one of them. An IPv4 address in IPv6's form counts as itself. */
  has(address: Address): boolean;
}

/** A set of addresses and networks. Single addresses, of which there may be thousands, cost one look-up. */
export function networksOf(texts: readonly string[]): Networks {
  const addresses = new Set<string>();
  const networks: (readonly [Address, number])[] = [];
  for (const text of texts) {
    const [base, bits] = parseNetwork(text);
    if (bits === base.toByteArray().length * 8) addresses.add(keyOf(base));
    else networks.push([base, bits]);
  }
  return {
    has: (address) =>
      addresses.has(keyOf(address)) ||
      networks.some(
        ([base, bits]) =>
          base.kind() === address.kind() && address.match(base, bits),
      ),
  };
}

/** An address, IPv4 where it is that in IPv6's form; undefined when it is none. */
export function parseAddress(text: string): Address | undefined {
  return ipaddr.isValid(text) ? ipaddr.process(text) : undefined;
}

function parseNetwork(text: string): readonly [Address, number] {
  const [address = "", bits] = text.split("/");
  const raw = ipaddr.parse(address);
  const base = ipaddr.process(address);
  const longest = raw.toByteArray().length * 8;
  const own = base.toByteArray().length * 8;
  // "::ffff:10.0.0.0/104" is 10.0.0.0/8; a shorter prefix of that form is all of IPv4.
  const length = bits === undefined ? longest : Number(bits);
  return [base, Math.max(0, length - (longest - own))];
}

function keyOf(address: Address): string {
  return address.toByteArray().join(".");
}
