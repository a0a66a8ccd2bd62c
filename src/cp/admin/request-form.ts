import type { HandlerContext } from "@connectrpc/connect";
import { KINDS, kindOf, type Kind } from "../../model/kinds.ts";
import { ConfigError, type Violation } from "../../model/violation.ts";
import { callerOf } from "./caller.ts";

const MAX_PAGE_SIZE = 1000;
const DEFAULT_PAGE_SIZE = 100;

/** Gathers what is wrong with the form of a request: its own fields, not the resources in it. */
export class RequestForm {
  readonly #violations: Violation[] = [];

  /** The kind that a word names. When there is none, any kind is returned and `check` will throw. */
  kind(word: string, field = "kind"): Kind {
    const kind = kindOf(word);
    if (kind !== undefined) return kind;
    this.refuse(
      field,
      `${word === "" ? "is missing" : `${JSON.stringify(word)} is no kind`}; kinds are ${KINDS.join(", ")}`,
    );
    return "service";
  }

  /** What a resource is found by. */
  by(
    by: {
      readonly case: string | undefined;
      readonly value?: string | undefined;
    },
    field = "",
  ): { readonly id: string } | { readonly name: string } {
    const value = by.value ?? "";
    if (value === "")
      this.refuse(
        [field, by.case ?? "id"].filter((part) => part !== "").join("."),
        "is missing: say which resource, by id or by name",
      );
    return by.case === "name" ? { name: value } : { id: value };
  }

  /** How many things a page may have. */
  pageSize(size: number): number {
    if (size < 0 || size > MAX_PAGE_SIZE)
      this.refuse(
        "page_size",
        `must be from 0 (meaning ${DEFAULT_PAGE_SIZE}) to ${MAX_PAGE_SIZE}, got ${size}`,
      );
    return size === 0 ? DEFAULT_PAGE_SIZE : size;
  }

  /** A text that is not too long, by characters. */
  text(field: string, text: string, max: number): string {
    if (text.length > max && Array.from(text).length > max)
      this.refuse(field, `must have at most ${max} characters`);
    return text;
  }

  /** Tags, of which none is empty. */
  tags(field: string, tags: readonly string[]): readonly string[] {
    for (const [i, tag] of tags.entries())
      if (tag === "") this.refuse(`${field}[${i}]`, "is empty");
    return tags;
  }

  /** What is kept in the history of a change. Whoever makes it is its author when none is named. */
  note(
    request: { readonly author: string; readonly message: string },
    call: HandlerContext,
  ): {
    readonly author: string;
    readonly message: string;
  } {
    return {
      author: this.text("author", request.author, 256) || callerOf(call),
      message: this.text("message", request.message, 4096),
    };
  }

  /** Says that something is wrong. */
  refuse(field: string, reason: string): void {
    this.#violations.push(fieldViolation(field, reason));
  }

  /** @throws ConfigError with everything that is wrong, if anything is. */
  check(): void {
    if (this.#violations.length > 0)
      throw ConfigError.of("invalid_argument", this.#violations);
  }
}

function fieldViolation(field: string, reason: string): Violation {
  return { kind: "", name: "", field, reason };
}
