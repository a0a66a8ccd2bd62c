import type { LineCounter } from "yaml";
import type { Position } from "./parsed.ts";
import type { Source } from "./report.ts";

interface PlacedFile {
  readonly name: string;
  readonly base: number;
  readonly lines: LineCounter;
}

/**
 * Several files as one text, one behind the other: an offset says where something stands in any of them. So what one file
 * says for the entities of another keeps its own place.
 */
export class Places implements Source {
  readonly #files: PlacedFile[] = [];
  #end = 0;

  /** Adds a file. What stands at an offset of it stands at that offset and the returned one together. */
  add(name: string, length: number, lines: LineCounter): number {
    const base = this.#end;
    this.#files.push({ name, base, lines });
    // What stands at a file's end is not yet the next file.
    this.#end += length + 1;
    return base;
  }

  position(offset: number): Position {
    const file = this.#files.findLast(({ base }) => base <= offset);
    if (file === undefined) throw new TypeError("no file has been added");
    const { line, col } = file.lines.linePos(offset - file.base);
    return {
      file: file.name,
      line: Math.max(line, 1),
      column: Math.max(col, 1),
    };
  }
}
