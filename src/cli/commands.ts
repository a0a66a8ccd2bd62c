import type { CommandEntry } from "./command.ts";

/** Every command, in the order of the help. One that is not run is not loaded: all of them are most of this software. */
export const COMMANDS: readonly CommandEntry[] = [
  { name: "up", load: async () => (await import("./commands/up.ts")).up },
  { name: "cp", load: async () => (await import("./commands/cp.ts")).cp },
  { name: "dp", load: async () => (await import("./commands/dp.ts")).dp },
  {
    name: "dp explain",
    load: async () => (await import("./commands/dp-explain.ts")).dpExplain,
  },
  {
    name: "apply",
    load: async () => (await import("./commands/apply.ts")).apply,
  },
  { name: "diff", load: async () => (await import("./commands/diff.ts")).diff },
  {
    name: "validate",
    load: async () => (await import("./commands/validate.ts")).validate,
  },
  { name: "lint", load: async () => (await import("./commands/lint.ts")).lint },
  { name: "dump", load: async () => (await import("./commands/dump.ts")).dump },
  { name: "get", load: async () => (await import("./commands/get.ts")).get },
  {
    name: "delete",
    load: async () => (await import("./commands/delete.ts")).deleteCommand,
  },
  {
    name: "history",
    load: async () => (await import("./commands/history.ts")).history,
  },
  {
    name: "rollback",
    load: async () => (await import("./commands/rollback.ts")).rollback,
  },
  {
    name: "nodes",
    load: async () => (await import("./commands/nodes.ts")).nodes,
  },
  {
    name: "nodes pin",
    load: async () => (await import("./commands/pin.ts")).nodesPin,
  },
  {
    name: "nodes unpin",
    load: async () => (await import("./commands/pin.ts")).nodesUnpin,
  },
  {
    name: "pause",
    load: async () => (await import("./commands/pause.ts")).pause,
  },
  {
    name: "resume",
    load: async () => (await import("./commands/pause.ts")).resume,
  },
  {
    name: "upstreams",
    load: async () => (await import("./commands/upstreams.ts")).upstreams,
  },
  {
    name: "workspace",
    load: async () => (await import("./commands/workspace.ts")).workspace,
  },
  {
    name: "adopt",
    load: async () => (await import("./commands/adopt.ts")).adopt,
  },
  {
    name: "watch",
    load: async () => (await import("./commands/watch.ts")).watch,
  },
  { name: "wait", load: async () => (await import("./commands/wait.ts")).wait },
  {
    name: "export-snapshot",
    load: async () =>
      (await import("./commands/export-snapshot.ts")).exportSnapshot,
  },
  {
    name: "restore",
    load: async () => (await import("./commands/restore.ts")).restore,
  },
  {
    name: "token",
    load: async () => (await import("./commands/token.ts")).token,
  },
  {
    name: "audit",
    load: async () => (await import("./commands/audit.ts")).audit,
  },
  { name: "cert", load: async () => (await import("./commands/cert.ts")).cert },
  { name: "echo", load: async () => (await import("./commands/echo.ts")).echo },
];
