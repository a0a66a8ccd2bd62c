import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { NeedIndex } from "../../../src/cp/distributor/needs.ts";
import type { StoredChange } from "../../../src/cp/store/store.ts";
import { PluginSchema } from "../../../src/gen/holdfast/config/v1/plugin_pb.js";
import { ResourceSchema } from "../../../src/gen/holdfast/config/v1/resource_pb.js";
import { encodeResource } from "../../../src/model/encode.ts";
import { id } from "../../support/resources.ts";

const PLUGIN = `plugin/${id(1)}`;
const SERVICE = `service/${id(2)}`;

function plugin(init: MessageInitShape<typeof PluginSchema>): Uint8Array {
  const value = create(PluginSchema, init);
  return encodeResource(
    create(ResourceSchema, { kind: { case: "plugin", value } }),
  );
}

function service(port: number): Uint8Array {
  const value = { name: "a", host: "h", port };
  return encodeResource(
    create(ResourceSchema, { kind: { case: "service", value } }),
  );
}

/** What is needed after these changes, one after the other: "feature: keys", in order. */
function after(...changes: readonly StoredChange[]): readonly string[] {
  const index = new NeedIndex();
  for (const change of changes) index.update([change]);
  return index.needs.map(({ name, keys }) => `${name}: ${keys.join(" ")}`);
}

const keyAuth = plugin({ name: "key-auth" });
const made = { key: PLUGIN, after: keyAuth };

test("what a plugin needs follows every change of it", () => {
  expect(after(made)).toEqual([
    `kind/plugin: ${PLUGIN}`,
    `plugin/key-auth: ${PLUGIN}`,
  ]);
  const disabled = plugin({ name: "key-auth", enabled: false });
  expect(
    after(made, { key: PLUGIN, before: keyAuth, after: disabled }),
  ).toEqual([`kind/plugin: ${PLUGIN}`]);
  const renamed = plugin({ name: "acl" });
  expect(after(made, { key: PLUGIN, before: keyAuth, after: renamed })).toEqual(
    [`kind/plugin: ${PLUGIN}`, `plugin/acl: ${PLUGIN}`],
  );
  const grouped = plugin({ name: "key-auth", consumerGroup: { id: id(3) } });
  expect(after(made, { key: PLUGIN, before: keyAuth, after: grouped })).toEqual(
    [
      `kind/consumer_group: ${PLUGIN}`,
      `kind/plugin: ${PLUGIN}`,
      `plugin/key-auth: ${PLUGIN}`,
    ],
  );
  expect(after(made, { key: PLUGIN, before: keyAuth })).toEqual([]);
});

test("what anything else needs lasts from its creation to its removal", () => {
  const one = service(1);
  const two = service(2);
  const changed = { key: SERVICE, before: one, after: two };
  expect(after({ key: SERVICE, after: one }, changed)).toEqual([
    `kind/service: ${SERVICE}`,
  ]);
  expect(
    after({ key: SERVICE, after: one }, changed, { key: SERVICE, before: two }),
  ).toEqual([]);
});

test("the changes of one revision are all taken up, whatever comes before them", () => {
  const index = new NeedIndex();
  index.update([{ key: SERVICE, after: service(1) }, made]);
  index.update([
    { key: SERVICE, before: service(1), after: service(2) },
    { key: PLUGIN, before: keyAuth, after: plugin({ name: "acl" }) },
  ]);
  expect(index.needs.map(({ name }) => name)).toEqual([
    "kind/plugin",
    "kind/service",
    "plugin/acl",
  ]);
});
