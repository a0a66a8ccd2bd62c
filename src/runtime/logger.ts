import { destination, pino, type Logger as Pino } from "pino";

/** How loud a line is. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields of a line; `err` holds an error, written with its stack and causes. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Takes lines: an event's name and its fields. */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A logger whose lines all have these fields. */
  child(fields: LogFields): Logger;
}

/** JSON lines on standard error, from `level` up. */
export function createLogger(level: LogLevel): Logger {
  // Synchronous, so that the last line before a crash is there.
  return wrap(
    pino(
      {
        level,
        base: null,
        messageKey: "event",
        timestamp: () => `,"time":"${new Date().toISOString()}"`,
        formatters: { level: (label) => ({ level: label }) },
      },
      destination({ dest: 2, sync: true }),
    ),
  );
}

/** Drops every line. */
export const silentLogger: Logger = wrap(pino({ level: "silent" }));

function wrap(inner: Pino): Logger {
  return {
    debug: (event, fields) => {
      inner.debug(fields ?? {}, event);
    },
    info: (event, fields) => {
      inner.info(fields ?? {}, event);
    },
    warn: (event, fields) => {
      inner.warn(fields ?? {}, event);
    },
    error: (event, fields) => {
      inner.error(fields ?? {}, event);
    },
    child: (fields) => wrap(inner.child(fields)),
  };
}
