import type { MutableHeaders } from "../../plugins/plugin.ts";

const NOTHING: readonly string[] = [];

/**
 * Headers of one message: repeated ones stay apart, names keep their case. Lists side by side and no map: a message has
 * so few headers that looking through them is quicker than making one.
 */
export class HeaderBag implements MutableHeaders {
  /** Names in lower case; the other lists go with it. */
  readonly #lower: string[] = [];
  /** As they were written first. */
  readonly #names: string[] = [];
  /** The first value of each. */
  readonly #values: string[] = [];
  /** What follows the first value, of those few that are repeated. */
  #more: Map<string, string[]> | undefined;

  /** Headers as node reads them: names and values by turns, in Latin-1. */
  static ofRaw(
    raw: readonly string[],
    keep: (lowerName: string) => boolean,
  ): HeaderBag {
    const bag = new HeaderBag();
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = raw[i] ?? "";
      const lower = name.toLowerCase();
      if (keep(lower)) bag.#add(lower, name, raw[i + 1] ?? "");
    }
    return bag;
  }

  names(): readonly string[] {
    return [...this.#names];
  }

  get(name: string): readonly string[] {
    const at = this.#lower.indexOf(name.toLowerCase());
    const value = this.#values[at];
    if (value === undefined) return NOTHING;
    const more = this.#more?.get(this.#lower[at] ?? "");
    return more === undefined ? [value] : [value, ...more];
  }

  set(name: string, ...values: readonly string[]): void {
    const lower = name.toLowerCase();
    const [first, ...more] = values;
    if (first === undefined) {
      this.delete(name);
      return;
    }
    const at = this.#lower.indexOf(lower);
    if (at < 0) this.#add(lower, sendable(name), onWire(first));
    else {
      this.#names[at] = name;
      this.#values[at] = onWire(first);
      this.#more?.delete(lower);
    }
    for (const value of more) this.append(name, value);
  }

  append(name: string, value: string): void {
    this.#add(name.toLowerCase(), sendable(name), onWire(value));
  }

  delete(name: string): void {
    const lower = name.toLowerCase();
    const at = this.#lower.indexOf(lower);
    if (at < 0) return;
    this.#lower.splice(at, 1);
    this.#names.splice(at, 1);
    this.#values.splice(at, 1);
    this.#more?.delete(lower);
  }

  /** As lines of a message. */
  toText(): string {
    let text = "";
    for (let i = 0; i < this.#names.length; i++) {
      const name = this.#names[i] ?? "";
      text += `${name}: ${this.#values[i] ?? ""}\r\n`;
      if (this.#more === undefined) continue;
      for (const value of this.#more.get(this.#lower[i] ?? "") ?? NOTHING)
        text += `${name}: ${value}\r\n`;
    }
    return text;
  }

  /** Names and values by turns. */
  toRaw(): string[] {
    const raw: string[] = [];
    for (let i = 0; i < this.#names.length; i++) {
      const name = this.#names[i] ?? "";
      raw.push(name, this.#values[i] ?? "");
      if (this.#more === undefined) continue;
      for (const value of this.#more.get(this.#lower[i] ?? "") ?? NOTHING)
        raw.push(name, value);
    }
    return raw;
  }

  /** By name; several values as a list. */
  toObject(): Record<string, string | string[]> {
    return Object.fromEntries(
      this.#names.map((name, i) => {
        const value = this.#values[i] ?? "";
        const more = this.#more?.get(this.#lower[i] ?? "");
        return [name, more === undefined ? value : [value, ...more]];
      }),
    );
  }

  #add(lower: string, name: string, value: string): void {
    if (this.#lower.includes(lower)) {
      this.#more ??= new Map();
      const more = this.#more.get(lower);
      if (more === undefined) this.#more.set(lower, [value]);
      else more.push(value);
      return;
    }
    this.#lower.push(lower);
    this.#names.push(name);
    this.#values.push(value);
  }
}

/** Names as RFC 9110 has them: any other one would end the header, or begin another. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

function sendable(name: string): string {
  if (!TOKEN.test(name))
    throw new TypeError(
      `the name of a header, ${JSON.stringify(name)}, has characters that cannot be sent`,
    );
  return name;
}

const ODD = /[^\t\x20-\x7e\x80-\xff]/;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/g;

/**
 * A header's value as node takes it, a character for a byte. A name in another script goes out in UTF-8; what would end
 * the header is left out.
 */
function onWire(value: string): string {
  if (!ODD.test(value)) return value;
  const clean = value.replace(CONTROL, "");
  return /[^\0-\xff]/.test(clean)
    ? Buffer.from(clean, "utf8").toString("latin1")
    : clean;
}
