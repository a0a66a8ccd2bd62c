import { addCaller, removeCaller } from "../access/edit-tokens.ts";
import { ROLES, type Role } from "../../cp/access/roles.ts";
import { digestOf, newToken } from "../../cp/access/token.ts";
import { isCallerName, isRolePlace } from "../../cp/access/token-file.ts";
import { systemClock } from "../../runtime/clock.ts";
import { argument } from "../argument.ts";
import { command } from "../command.ts";
import { list, optional, required } from "../flags.ts";
import { EXIT, UsageError } from "../io.ts";
import { didYouMean } from "../nearest.ts";
import { integer, text, type ValueType } from "../value-types.ts";

const VERBS = ["create", "revoke"] as const;
const DAY_MS = 86_400_000;

/** `default=write`; `*=read` is every workspace. */
const roleFor: ValueType<readonly [workspace: string, role: Role]> = {
  placeholder: "WORKSPACE=ROLE",
  read(given) {
    const equals = given.indexOf("=");
    const place = given.slice(0, Math.max(equals, 0));
    const role = ROLES.find((known) => known === given.slice(equals + 1));
    return isRolePlace(place) && role !== undefined
      ? { ok: true, value: [place, role] }
      : {
          ok: false,
          reason: `"${given}" is not a workspace and a role, such as default=write or '*=read'; roles are ${ROLES.join(", ")}`,
        };
  },
};

const callerName: ValueType<string> = {
  placeholder: "NAME",
  read: (given) =>
    isCallerName(given)
      ? { ok: true, value: given }
      : {
          ok: false,
          reason: `"${given}" is not a name: 1 to 64 letters, digits, dots, hyphens, underscores and @`,
        },
};

/** `holdfast token` */
export const token = command({
  name: "token",
  summary: "Make and revoke tokens for calling a control plane",
  argsUsage: "create|revoke NAME",
  argsCount: { min: 2, max: 2 },
  help: [
    "create adds a caller to a file that control planes have as --admin-token-file, and prints the caller's token on standard output, once: the file has only its SHA-256. A token is 256 random bits, so that nobody can find it from that.",
    "Roles are read (see everything but secrets, and try changes with --dry-run), write (change the configuration, and see secrets) and admin (also what overrules guards: adopt, allow and forget nodes, workspaces, the audit log), each for a workspace or, as *, for all of them.",
    "revoke removes a caller. Control planes take up the file within seconds, and end what a revoked token has open.",
  ],
  examples: [
    [
      "holdfast token create ci --role default=write --file tokens.yml > ci.token",
      "A token for a pipeline; holdfast apply --token-file ci.token uses it",
    ],
    [
      "holdfast token create prometheus --role '*=read' --days 90 --file tokens.yml",
      "One that reads everywhere, for 90 days",
    ],
    ["holdfast token revoke ci --file tokens.yml", "Not any more"],
  ],
  flags: {
    file: required(text("FILE"), {
      summary: "The token file; made when there is none.",
    }),
    role: list(roleFor, {
      summary: "create: a role in a workspace, or in all of them (*).",
    }),
    days: optional(integer(1, 36_500), {
      summary: "create: how long it is valid. Without it: until it is revoked.",
    }),
  },
  async run({ io }, { file, role: roles, days }, [verb = "", word = ""]) {
    const name = argument("NAME", callerName, word);
    switch (VERBS.find((known) => known === verb)) {
      case "create": {
        if (roles.length === 0)
          throw new UsageError([
            "create needs at least one --role, such as --role default=write",
          ]);
        const made = newToken();
        await addCaller(
          file,
          {
            name,
            sha256: digestOf(made).toString("hex"),
            roles: Object.fromEntries(roles),
            expires:
              days === undefined
                ? undefined
                : new Date(systemClock.now() + days * DAY_MS).toISOString(),
          },
          io.stop,
        );
        io.stdout.write(`${made}\n`);
        io.stderr.write(
          `"${name}" is in ${file}. This is the only time that the token is shown.\n`,
        );
        return EXIT.done;
      }
      case "revoke":
        if (roles.length > 0 || days !== undefined)
          throw new UsageError(["--role and --days are for create"]);
        await removeCaller(file, name, io.stop);
        io.stderr.write(`"${name}" is no longer in ${file}.\n`);
        return EXIT.done;
      case undefined:
        throw new UsageError([
          `"${verb}" is nothing that can be done with tokens.${didYouMean(verb, VERBS, "token ")} Possible: ${VERBS.join(", ")}`,
        ]);
    }
  },
});
