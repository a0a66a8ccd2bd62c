import type { LogFields, Logger } from "../../src/runtime/logger.ts";

/** A line as it was logged. */
export interface LoggedLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly event: string;
  readonly fields: LogFields;
}

/** A logger that keeps its lines. */
export class RecordingLogger implements Logger {
  readonly lines: LoggedLine[];
  readonly #fields: LogFields;

  constructor(lines: LoggedLine[] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  /** The events logged so far, in order. */
  get events(): readonly string[] {
    return this.lines.map(({ event }) => event);
  }

  /** The last line of an event. */
  last(event: string): LoggedLine | undefined {
    return this.lines.findLast((line) => line.event === event);
  }

  debug(event: string, fields?: LogFields): void {
    this.#keep("debug", event, fields);
  }

  info(event: string, fields?: LogFields): void {
    this.#keep("info", event, fields);
  }

  warn(event: string, fields?: LogFields): void {
    this.#keep("warn", event, fields);
  }

  error(event: string, fields?: LogFields): void {
    this.#keep("error", event, fields);
  }

  child(fields: LogFields): Logger {
    return new RecordingLogger(this.lines, { ...this.#fields, ...fields });
  }

  #keep(level: LoggedLine["level"], event: string, fields?: LogFields): void {
    this.lines.push({ level, event, fields: { ...this.#fields, ...fields } });
  }
}
