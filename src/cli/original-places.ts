import type { FilledFile } from "../model/declarative/fill-placeholders.ts";
import { Failure } from "./io.ts";

/**
 * A text in which places such as `kong.yml:12:5` are those of the files as they were before their placeholders were
 * filled in. The control plane only knows the filled ones.
 */
export function original(text: string, filled: readonly FilledFile[]): string {
  let told = text;
  for (const { file, before } of filled)
    told = told.replaceAll(
      new RegExp(`${literally(file.name)}:(\\d+):(\\d+)`, "g"),
      (_, line: string, column: string) => {
        const place = before({
          file: file.name,
          line: Number(line),
          column: Number(column),
        });
        return `${place.file}:${place.line}:${place.column}`;
      },
    );
  return told;
}

/** Does something whose failure may name places of filled files. */
export async function withOriginalPlaces<T>(
  { original: translate }: { readonly original: (text: string) => string },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Failure(translate(error.message), { cause: error });
  }
}

function literally(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
