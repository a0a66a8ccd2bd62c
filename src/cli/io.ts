/** Where a command's text goes. */
export interface Output {
  write(text: string): unknown;
  /** Whether a person reads along. */
  readonly isTTY?: boolean;
  /** The width of the terminal, in columns. */
  readonly columns?: number;
}

/** How this program was started, to start it again. */
export interface Program {
  /** The path of the node executable. */
  readonly execPath: string;
  /** What comes before the command: options of node and the path of the main script. */
  readonly args: readonly string[];
}

/** All that a command has of the process it runs in, so that tests can run it without one. */
export interface Io {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Output;
  readonly stderr: Output;
  readonly program: Program;
  /** Aborted when the process is asked to end. */
  readonly stop: AbortSignal;
  /** Calls back whenever the process is asked to open its files anew (SIGHUP). Absent: nobody asks. */
  readonly onReopen?: (reopen: () => void) => void;
  /** Has the process killed if it does not end by itself now. Absent: it is nobody's to end. */
  readonly killSoon?: () => void;
}

/** What the process ends with. 3: there are differences, or not every node has converged. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  differences: 3,
  notConverged: 3,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The command line cannot be understood; ends the process with 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** One line each. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** The command cannot do its work, for a reason that is no defect of this program; ends the process with 1. */
export class Failure extends Error {
  override readonly name = "Failure";
}
