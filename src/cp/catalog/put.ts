import { create } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../../gen/holdfast/config/v1/resource_pb.js";
import { fillDefaults, stripInputOutput } from "../../model/defaults.ts";
import { encodeResource } from "../../model/encode.ts";
import { deterministicId, isUuid } from "../../model/ids.ts";
import {
  keyOf,
  kindOfResource,
  parseKey,
  type Kind,
} from "../../model/kinds.ts";
import { idOf, withId } from "../../model/messages.ts";
import {
  describeMissing,
  referencesOf,
  withResolved,
  type ResourceReference,
} from "../../model/references.ts";
import { REDACTED, redactedFields } from "../../model/redact.ts";
import { checkResource } from "../../model/rules.ts";
import { naturalKey, nameOf } from "../../model/unique.ts";
import { masksField } from "../../model/update-mask.ts";
import type { Violation } from "../../model/violation.ts";
import { warningsOf } from "../../model/warnings.ts";
import { withGeneratedSecrets } from "./generated-secrets.ts";
import type {
  PutOperation,
  TransactOptions,
  WarningInfo,
} from "./operation.ts";
import { ownerOfName } from "./names.ts";
import { renamedPlugin } from "./renamed-plugin.ts";
import { unmasked } from "./unmasked.ts";
import type { Refusals } from "./refusals.ts";
import {
  decodeResource,
  describeResource,
  factsOf,
  labelOf,
} from "./resource.ts";
import type { Layer } from "./view.ts";

/** What putting needs: where to put, where to complain, and what is not the same each time. */
export interface PutContext {
  readonly layer: Layer;
  readonly refusals: Refusals;
  readonly warn: (warning: WarningInfo) => void;
  /** Hears what the value of an entry stands for, so that nobody needs to decode it again. */
  readonly onStored: (key: string, resource: Resource) => void;
  /** See {@link TransactOptions.onMasked}. */
  readonly onMasked?: TransactOptions["onMasked"];
  /** A new id. */
  readonly newId: () => string;
  /** A new text that nobody can guess. */
  readonly newSecret: () => string;
  readonly nowMs: number;
}

/** Puts resources into a layer, in their stored form. */
export class Put {
  readonly #context: PutContext;

  constructor(context: PutContext) {
    this.#context = context;
  }

  /**
   * Puts one resource. What is wrong with it is noted, and it is put all the same where that is possible, so that what
   * refers to it is not complained about for that.
   *
   * @returns The keys that were put: the resource's own first. None when it has no usable id or kind.
   */
  run(operation: PutOperation): readonly string[] {
    const { refusals, layer } = this.#context;
    const { at } = operation;
    const kind = kindOfResource(operation.resource);
    const [unknown] = operation.resource.$unknown ?? [];
    if (kind === undefined || unknown !== undefined) {
      for (const violation of kind === undefined
        ? checkResource(operation.resource)
        : [unknownField(kind, operation.resource, unknown?.no ?? 0)])
        refusals.add("invalid_argument", violation, at);
      return [];
    }
    const whole = unmasked(this.#context, kind, operation, (reference) =>
      this.#resolve(reference),
    );
    if (whole === undefined) return [];
    const { resource, key, stored, value, violations } = this.#prepare(
      kind,
      whole,
    );
    for (const violation of violations)
      refusals.add("invalid_argument", violation, at);
    for (const field of redactedFields(whole.resource))
      refusals.add(
        "invalid_argument",
        {
          ...labelOf(resource),
          field,
          reason: `is "${REDACTED}", which stands for a secret that was not shown: read the resource with include_secrets, or leave the field out of update_mask`,
        },
        at,
      );
    for (const violation of this.#missingReferences(resource))
      refusals.add("failed_precondition", violation, at);
    if (parseKey(key) === undefined) return [];
    if (value === undefined) return [key];
    const before = layer.get(key);
    if (before === undefined || Buffer.compare(before, value) !== 0)
      layer.set(key, value, factsOf(stored));
    this.#context.onStored(key, stored);
    if (violations.length > 0) return [key];
    this.#warn(resource, at);
    return [key, ...this.#putSnis(resource, whole)];
  }

  /** Notes what is wrong with a resource that is stored as it is. */
  check(resource: Resource, at: string | undefined): void {
    for (const violation of checkResource(resource))
      this.#context.refusals.add("invalid_argument", violation, at);
  }

  /** Brings a resource into its normal form, finds out which entry it is, and checks it. */
  #prepare(
    kind: Kind,
    operation: PutOperation,
  ): {
    readonly resource: Resource;
    readonly key: string;
    /** Without what is for requests and answers only, and encoded; undefined when it cannot be. */
    readonly stored: Resource;
    readonly value: Uint8Array | undefined;
    readonly violations: readonly Violation[];
  } {
    const resolved = withResolved(
      fillDefaults(operation.resource),
      (reference) => this.#resolve(reference),
    );
    const id = this.#identify(kind, resolved, operation);
    const key = keyOf(kind, id);
    const before = parseKey(key) && this.#context.layer.get(key);
    const there = before === undefined ? undefined : decodeResource(before);
    const { resource, violations } = withGeneratedSecrets(
      withId(resolved, id),
      there,
      operation.fromFile === true,
      this.#context.newSecret,
    );
    // A file says how everything is to be, and it replaces wholes: nothing of what was there ends up under another name.
    const renamed =
      there === undefined || operation.fromFile === true
        ? undefined
        : renamedPlugin(there, resource);
    const stored = stripInputOutput(resource);
    const value = encode(stored);
    // What has its own explanation already needs no "is required" beside it.
    const explained = new Set(violations.map(({ field }) => field));
    return {
      resource,
      key,
      stored,
      value,
      violations: [
        ...violations,
        ...(renamed === undefined ? [] : [renamed]),
        ...checkResource(resource, value?.length).filter(
          ({ field }) => !explained.has(field),
        ),
      ],
    };
  }

  #resolve({ kind, ref }: ResourceReference): string | undefined {
    const { layer } = this.#context;
    const { id = "", name = "" } = ref;
    if (id !== "")
      return layer.get(keyOf(kind, id)) === undefined ? undefined : id;
    const owner = ownerOfName(layer, kind, name);
    if (owner !== undefined) return parseKey(owner)?.id;
    // A name that is an id, as declarative files may write it.
    return isUuid(name) && layer.get(keyOf(kind, name)) !== undefined
      ? name
      : undefined;
  }

  #identify(kind: Kind, resource: Resource, operation: PutOperation): string {
    const { layer, newId } = this.#context;
    const id = idOf(resource);
    if (id !== "") return id;
    const natural = naturalKey(resource);
    const owner = natural === undefined ? undefined : layer.owner(natural);
    if (owner !== undefined) return parseKey(owner)?.id ?? newId();
    const { idIfNew } = operation;
    if (idIfNew === undefined) return newId();
    // Somebody else has that id: a resource that had this one's name once and was renamed. Without a name to be found
    // by, the id is all the identity there is.
    const taken = layer.get(keyOf(kind, idIfNew)) !== undefined;
    return taken && natural !== undefined ? newId() : idIfNew.toLowerCase();
  }

  #missingReferences(resource: Resource): Violation[] {
    return referencesOf(resource).flatMap((reference) => {
      const { id = "", name = "" } = reference.ref;
      // An id that is none, or nothing at all, is what the field's own rule speaks of.
      const named = id === "" ? name !== "" : isUuid(id);
      if (!named || this.#resolve(reference) !== undefined) return [];
      return [
        {
          ...labelOf(resource),
          field: reference.field,
          reason: describeMissing(reference),
        },
      ];
    });
  }

  #warn(resource: Resource, at: string | undefined): void {
    const { warn, nowMs } = this.#context;
    for (const note of warningsOf(resource, { nowMs }))
      warn({
        kind: kindOfResource(resource) ?? "",
        id: idOf(resource),
        name: nameOf(resource),
        field: note.field,
        message: note.message,
        nodes: [],
        position: at ?? "",
      });
  }

  /**
   * The list of names in a certificate stands for SNI resources: those listed are made, its others go. An empty list is as
   * good as none, and leaves them, unless a mask asks for the list.
   */
  #putSnis(certificate: Resource, operation: PutOperation): string[] {
    const { kind } = certificate;
    if (kind.case !== "certificate") return [];
    if (
      kind.value.snis.length === 0 &&
      !masksField(operation.mask, "certificate", "snis")
    )
      return [];
    const { layer, refusals } = this.#context;
    const names = [...new Set(kind.value.snis.map((sni) => sni.toLowerCase()))];
    const own = keyOf("certificate", kind.value.id);
    for (const referrer of [...layer.referrers(own)]) {
      const value = layer.get(referrer);
      const sni = value && decodeResource(value);
      if (sni?.kind.case === "sni" && !names.includes(sni.kind.value.name))
        layer.set(referrer, undefined);
    }
    return names.flatMap((name) => {
      const owner = ownerOfName(layer, "sni", name);
      const value = owner === undefined ? undefined : layer.get(owner);
      const there = value && decodeResource(value);
      if (there?.kind.case === "sni") {
        const other = there.kind.value.certificate?.id ?? "";
        if (other === kind.value.id) return owner === undefined ? [] : [owner];
        refusals.add(
          "already_exists",
          {
            ...labelOf(certificate),
            field: `snis[${kind.value.snis.findIndex((sni) => sni.toLowerCase() === name)}]`,
            reason: `${describeResource(there)} belongs to certificate ${other}: delete it first, or put the sni itself with this certificate`,
          },
          operation.at,
        );
        return [];
      }
      const sni = create(ResourceSchema, {
        kind: {
          case: "sni",
          value: {
            name,
            certificate: { id: kind.value.id },
            tags: kind.value.tags,
          },
        },
      });
      return this.run({
        type: "put",
        resource: sni,
        ...(operation.at === undefined ? {} : { at: operation.at }),
        ...(operation.fromFile === true
          ? { idIfNew: deterministicId(sni), fromFile: true }
          : {}),
      });
    });
  }
}

function unknownField(kind: Kind, resource: Resource, no: number): Violation {
  return {
    ...labelOf(resource),
    kind,
    field: "",
    reason: `stands beside an unknown protobuf field with the number ${no}: it was made with a newer version of the .proto files`,
  };
}

/** The value of a resource; undefined when it has none, which is noted already. */
function encode(resource: Resource): Uint8Array | undefined {
  try {
    return encodeResource(resource);
  } catch (error) {
    // The rules have found what cannot be encoded.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
