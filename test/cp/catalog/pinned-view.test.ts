import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeResource } from "../../../src/model/encode.ts";
import { runSlices } from "../../../src/model/slices.ts";
import { Snapshot } from "../../../src/model/snapshot.ts";
import type { PinnedView } from "../../../src/cp/catalog/pinned-view.ts";
import { CommittedView, Layer } from "../../../src/cp/catalog/view.ts";
import { id, resource } from "../../support/resources.ts";

const keys = [1, 2, 3, 4].map((n) => `service/${id(n)}`);
const routes = [5, 6, 7, 8].map((n) => `route/${id(n)}`);
const names = ["a", "b", "c", "d"];

/** A service under a name, or a route to a service; or neither any more. */
const change = fc.oneof(
  fc.record({ at: fc.nat(3), name: fc.option(fc.constantFrom(...names)) }),
  fc.record({ at: fc.nat(3), to: fc.option(fc.nat(3)) }),
);
type Change = { at: number } & (
  { name: string | null } | { to: number | null }
);

function apply(layer: Layer, one: Change): void {
  if ("name" in one) {
    const key = keys[one.at] ?? "";
    const { name } = one;
    layer.set(
      key,
      name === null
        ? undefined
        : encodeResource(
            resource("service", { id: id(one.at + 1), name, host: "h" }),
          ),
    );
    return;
  }
  const key = routes[one.at] ?? "";
  layer.set(
    key,
    one.to === null
      ? undefined
      : encodeResource(
          resource("route", {
            id: id(one.at + 5),
            paths: ["/"],
            service: { id: id(one.to + 1) },
          }),
        ),
  );
}

/** All that it answers about names and references. */
function answers(view: CommittedView | PinnedView): unknown {
  return {
    count: view.entryCount,
    keys: [...view.keys()],
    owners: names.map((name) => view.owner(`service\0name\0${name}`)),
    referrers: keys.map((key) => [...view.referrers(key)].sort()),
    values: [...keys, ...routes].map((key) => view.get(key)),
  };
}

test("answers for ever what was so when it was pinned, whatever is absorbed", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 8 }),
      (batches) => {
        let snapshot = Snapshot.empty("default");
        const view = runSlices(CommittedView.ofSlices(snapshot));
        const pinned: { at: PinnedView; was: unknown }[] = [];
        for (const batch of batches) {
          pinned.push({ at: view.pin(), was: answers(view) });
          const layer = new Layer(view);
          for (const one of batch) apply(layer, one);
          const puts = [];
          const deletes = [];
          for (const [key, value] of layer.entries)
            if (value === undefined) deletes.push(key);
            else puts.push({ key, value });
          snapshot = runSlices(snapshot.applySlices({ puts, deletes }));
          const next = runSlices(CommittedView.ofSlices(snapshot));
          runSlices(view.absorbSlices(layer, snapshot, next.sortedKeys));
          for (const { at, was } of pinned) expect(answers(at)).toEqual(was);
        }
        for (const { at } of pinned) at.release();
      },
    ),
    { numRuns: 60 },
  );
});
