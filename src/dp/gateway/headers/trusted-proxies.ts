import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { splitHostPort } from "../../../model/hosts.ts";

/** Addresses that are asked for again and again: a proxy in front comes from few. */
const MAX_REMEMBERED = 1024;

/** The addresses whose word on where a request comes from is believed. */
export class TrustedProxies {
  readonly #ranges: readonly (readonly [ipaddr.IPv4 | ipaddr.IPv6, number])[];
  readonly #remembered = new Map<string, boolean>();

  /**
   * @param ranges Addresses, and ranges such as 10.0.0.0/8.
   * @throws TypeError when one is neither.
   */
  constructor(ranges: readonly string[]) {
    this.#ranges = ranges.map((text) => {
      const range = rangeOf(text);
      if (range === undefined)
        throw new TypeError(`"${text}" is neither an address nor a range`);
      return range;
    });
  }

  /** Whether an address is one of them. */
  has(address: string): boolean {
    let trusted = this.#remembered.get(address);
    if (trusted === undefined) {
      trusted = this.#covers(address);
      if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
      this.#remembered.set(address, trusted);
    }
    return trusted;
  }

  #covers(text: string): boolean {
    if (isIP(text) === 0) return false;
    const address = ipaddr.process(text);
    return this.#ranges.some(
      ([network, bits]) =>
        network.kind() === address.kind() && address.match(network, bits),
    );
  }
}

/** Whether a text is an address or a range of them. */
export function isAddressRange(text: string): boolean {
  return rangeOf(text) !== undefined;
}

function rangeOf(
  text: string,
): readonly [ipaddr.IPv4 | ipaddr.IPv6, number] | undefined {
  const [address = "", bits] = text.split("/");
  // ipaddr.js also reads octal and short forms, which mean different things to different people.
  if (isIP(address) === 0) return undefined;
  const network = ipaddr.parse(address);
  const most = network.kind() === "ipv4" ? 32 : 128;
  if (bits === undefined) return [network, most];
  return /^\d{1,3}$/.test(bits) && Number(bits) <= most
    ? [network, Number(bits)]
    : undefined;
}

/**
 * The client's address as a trusted proxy tells it; undefined when it tells none.
 *
 * @param values Of the header that has it: one address, or a list as in X-Forwarded-For. The last one counts, as the proxy
 * itself has written it; with `recursive`, the last one that is not trusted itself, else the first.
 */
export function toldAddress(
  values: readonly string[],
  trusted: TrustedProxies,
  recursive: boolean,
): string | undefined {
  const hops = values.flatMap((value) => value.split(","));
  let told: string | undefined;
  for (const hop of hops.reverse()) {
    const address = addressIn(hop.trim());
    if (address === undefined) return told;
    told = address;
    if (!recursive || !trusted.has(address)) return told;
  }
  return told;
}

/** "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80" */
function addressIn(text: string): string | undefined {
  if (isIP(text) !== 0) return text;
  const host = splitHostPort(text)?.host.replace(/^\[|\]$/g, "");
  return host !== undefined && isIP(host) !== 0 ? host : undefined;
}
