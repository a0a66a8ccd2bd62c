import type { MutableHeaders } from "../../plugins/plugin.ts";

interface Field {
  /** As it was written first. */
  readonly name: string;
  readonly values: readonly string[];
}

/** Headers of one message: repeated ones stay apart, names keep their case. */
export class HeaderBag implements MutableHeaders {
  readonly #fields = new Map<string, Field>();

  /** Headers as node reads them: names and values by turns, in Latin-1. */
  static ofRaw(
    raw: readonly string[],
    keep: (lowerName: string) => boolean,
  ): HeaderBag {
    const bag = new HeaderBag();
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = raw[i] ?? "";
      const lower = name.toLowerCase();
      if (!keep(lower)) continue;
      const field = bag.#fields.get(lower);
      const value = raw[i + 1] ?? "";
      bag.#fields.set(lower, {
        name: field?.name ?? name,
        values: field === undefined ? [value] : [...field.values, value],
      });
    }
    return bag;
  }

  names(): readonly string[] {
    return [...this.#fields.values()].map(({ name }) => name);
  }

  get(name: string): readonly string[] {
    return this.#fields.get(name.toLowerCase())?.values ?? [];
  }

  set(name: string, ...values: readonly string[]): void {
    this.#fields.set(name.toLowerCase(), { name, values: values.map(onWire) });
  }

  append(name: string, value: string): void {
    const field = this.#fields.get(name.toLowerCase());
    this.#fields.set(name.toLowerCase(), {
      name: field?.name ?? name,
      values: [...(field?.values ?? []), onWire(value)],
    });
  }

  delete(name: string): void {
    this.#fields.delete(name.toLowerCase());
  }

  /** Names and values by turns. */
  toRaw(): string[] {
    const raw: string[] = [];
    for (const { name, values } of this.#fields.values())
      for (const value of values) raw.push(name, value);
    return raw;
  }

  /** By name; several values as a list. */
  toObject(): Record<string, string | string[]> {
    return Object.fromEntries(
      [...this.#fields.values()].map(({ name, values }) => {
        const [first = "", ...more] = values;
        return [name, more.length === 0 ? first : [...values]];
      }),
    );
  }
}

/**
 * A header's value as node takes it, a character for a byte. A name in another script goes out in UTF-8; what would end
 * the header is left out.
 */
function onWire(value: string): string {
  // eslint-disable-next-line no-control-regex
  const clean = value.replace(/[\0-\x08\x0a-\x1f\x7f]/g, "");
  return /[^\0-\xff]/.test(clean)
    ? Buffer.from(clean, "utf8").toString("latin1")
    : clean;
}
