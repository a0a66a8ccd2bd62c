/** The kinds that the naive catalog knows, and what each refers to by its fields. */
const FIELDS = {
  service: {},
  route: { service: "service" },
  upstream: {},
  target: { upstream: "upstream" },
  consumer: {},
  keyauth_credential: { consumer: "consumer" },
  acl: { consumer: "consumer" },
  consumer_group: {},
  plugin: {
    service: "service",
    route: "route",
    consumer: "consumer",
    consumer_group: "consumer_group",
  },
} as const satisfies Record<string, Record<string, string>>;

export type NaiveKind = keyof typeof FIELDS;
export const NAIVE_KINDS = Object.keys(FIELDS) as readonly NaiveKind[];

/** What goes with what it belongs to. Everything else is in the way of a deletion. */
const GOES_WITH: Readonly<Record<string, readonly NaiveKind[]>> = {
  service: ["plugin"],
  route: ["plugin"],
  upstream: ["target"],
  consumer: ["plugin", "keyauth_credential", "acl"],
  consumer_group: ["plugin"],
};

type NaiveReference = { readonly id: string } | { readonly name: string };

interface NaivePut {
  readonly type: "put";
  readonly kind: NaiveKind;
  readonly id: string;
  /** Plain fields; what is unset is absent. */
  readonly fields: Readonly<Record<string, string>>;
  readonly references: Readonly<Record<string, NaiveReference>>;
}

interface NaiveDelete {
  readonly type: "delete";
  readonly kind: NaiveKind;
  readonly by: NaiveReference;
}

export type NaiveOperation = NaivePut | NaiveDelete;

/** An entry: plain fields, and ids of what it refers to. */
interface NaiveEntry {
  readonly kind: NaiveKind;
  readonly id: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly references: Readonly<Record<string, string>>;
}

export type NaiveState = readonly NaiveEntry[];

/** What a transaction should come to. Refused for any of these reasons; unclear when a name has two owners half way. */
type NaiveOutcome =
  | { readonly type: "done"; readonly state: NaiveState }
  | { readonly type: "refused"; readonly codes: ReadonlySet<string> }
  | { readonly type: "unclear" };

class Unclear extends Error {}

/** Does a transaction the obvious way: over a list, with loops. Knows nothing of the code it is to judge. */
export function naiveTransact(
  before: NaiveState,
  operations: readonly NaiveOperation[],
): NaiveOutcome {
  try {
    return transact(before, operations);
  } catch (error) {
    if (error instanceof Unclear) return { type: "unclear" };
    throw error;
  }
}

function transact(
  before: NaiveState,
  operations: readonly NaiveOperation[],
): NaiveOutcome {
  let state = before;
  const codes = new Set<string>();
  for (const operation of operations)
    if (operation.type === "put") {
      const references: Record<string, string> = {};
      for (const [field, reference] of Object.entries(operation.references)) {
        const target = (FIELDS[operation.kind] as Record<string, NaiveKind>)[
          field
        ];
        const found = target && find(state, target, reference);
        if (found === undefined) codes.add("failed_precondition");
        references[field] =
          found?.id ?? ("id" in reference ? reference.id : "nobody");
      }
      const { kind, id, fields } = operation;
      const there = find(state, kind, { id });
      if (
        kind === "plugin" &&
        (there ?? operation).fields["name"] !== fields["name"]
      )
        codes.add("invalid_argument");
      state = [
        ...state.filter((entry) => entry.kind !== kind || entry.id !== id),
        { kind, id, fields, references },
      ];
    } else {
      const found = find(state, operation.kind, operation.by);
      if (found === undefined) codes.add("not_found");
      else state = without(state, found);
    }
  const claims = state.flatMap(claimsOf);
  if (new Set(claims).size < claims.length) codes.add("already_exists");
  for (const entry of state)
    for (const [field, id] of Object.entries(entry.references)) {
      const kind = (FIELDS[entry.kind] as Record<string, NaiveKind>)[field];
      if (!state.some((other) => other.kind === kind && other.id === id))
        codes.add("failed_precondition");
    }
  return codes.size === 0
    ? { type: "done", state }
    : { type: "refused", codes };
}

function find(
  state: NaiveState,
  kind: NaiveKind,
  by: NaiveReference,
): NaiveEntry | undefined {
  const ofKind = state.filter((entry) => entry.kind === kind);
  if ("id" in by) return ofKind.find(({ id }) => id === by.id);
  for (const field of kind === "consumer"
    ? ["username", "custom_id"]
    : ["name"]) {
    const named = ofKind.filter((entry) => entry.fields[field] === by.name);
    if (named.length > 1) throw new Unclear();
    if (named[0] !== undefined) return named[0];
  }
  return undefined;
}

/** A state without an entry and without what goes with it. */
function without(state: NaiveState, gone: NaiveEntry): NaiveState {
  const rest = state.filter((entry) => entry !== gone);
  return rest
    .filter(
      (entry) =>
        GOES_WITH[gone.kind]?.includes(entry.kind) === true &&
        Object.entries(entry.references).some(
          ([field, id]) =>
            id === gone.id &&
            (FIELDS[entry.kind] as Record<string, string>)[field] === gone.kind,
        ),
    )
    .reduce(without, rest);
}

/** What only one entry can have. */
function claimsOf({ kind, fields, references }: NaiveEntry): string[] {
  const claim = (...parts: readonly (string | undefined)[]): string[] =>
    parts.includes(undefined) ? [] : [[kind, ...parts].join(" ")];
  switch (kind) {
    case "service":
    case "route":
    case "upstream":
    case "consumer_group":
      return claim("name", fields["name"]);
    case "consumer":
      return [
        ...claim("username", fields["username"]),
        ...claim("custom_id", fields["custom_id"]),
      ];
    case "target":
      return claim(references["upstream"], fields["target"]);
    case "keyauth_credential":
      return claim("key", fields["key"]);
    case "acl":
      return claim(references["consumer"], fields["group"]);
    case "plugin":
      return [
        ...claim("instance", fields["instance_name"]),
        ...claim(
          "scope",
          fields["name"],
          ...Object.keys(FIELDS.plugin).map(
            (field) => references[field] ?? "-",
          ),
        ),
      ];
    default:
      return kind satisfies never;
  }
}
