import { readFile, stat } from "node:fs/promises";
import { Document, isMap, isSeq, parseDocument } from "yaml";
import { readTokenFile } from "../../cp/access/token-file.ts";
import type { Role } from "../../cp/access/roles.ts";
import { writeFileDurably } from "../../runtime/durable-file.ts";
import { locked } from "../certificates/lock.ts";
import { Failure } from "../io.ts";

/** A caller to add. */
export interface NewCaller {
  readonly name: string;
  /** SHA-256 of the token, hexadecimal. */
  readonly sha256: string;
  readonly roles: Readonly<Record<string, Role>>;
  readonly expires: string | undefined;
}

/** Adds a caller to a token file, which is made when there is none. What else is in it stays, comments too. */
export async function addCaller(
  file: string,
  { name, sha256, roles, expires }: NewCaller,
  signal: AbortSignal,
): Promise<void> {
  await edited(file, signal, (document, names) => {
    if (names.includes(name))
      throw new Failure(
        `${file} has a caller "${name}" already: "holdfast token revoke ${name}" removes it, or take another name`,
      );
    const entry = document.createNode({
      name,
      sha256,
      roles,
      ...(expires === undefined ? {} : { expires }),
    });
    document.addIn(["tokens"], entry);
  });
}

/** Removes a caller from a token file. */
export async function removeCaller(
  file: string,
  name: string,
  signal: AbortSignal,
): Promise<void> {
  await edited(file, signal, (document, names) => {
    const index = names.indexOf(name);
    if (index < 0)
      throw new Failure(
        `${file} has no caller "${name}", only ${names.join(", ") || "nobody"}`,
      );
    document.deleteIn(["tokens", index]);
  });
}

async function edited(
  file: string,
  signal: AbortSignal,
  edit: (
    document: Document.Parsed | Document,
    names: readonly string[],
  ) => void,
): Promise<void> {
  await locked(file, signal, async () => {
    const content = await contentOf(file);
    const read = readTokenFile(content ?? "tokens: []");
    if (!read.ok)
      throw new Failure(
        `${file} is no token file that a control plane would take: ${read.problems.join("; ")}`,
      );
    const document =
      content === undefined
        ? new Document({ tokens: [] })
        : parseDocument(content);
    const entries = document.get("tokens");
    // One in braces would be one long line soon.
    if (isSeq(entries)) {
      entries.flow = false;
      for (const entry of entries.items) if (isMap(entry)) entry.flow = false;
    }
    edit(
      document,
      read.callers.map(({ name }) => name),
    );
    const mode = content === undefined ? 0o600 : (await stat(file)).mode;
    await writeFileDurably(file, document.toString(), { mode: mode & 0o777 });
  });
}

async function contentOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      return undefined;
    throw new Failure(error instanceof Error ? error.message : String(error));
  }
}
