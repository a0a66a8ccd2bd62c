import fc from "fast-check";
import { expect, test } from "vitest";
import { cursorsEqual } from "../../../src/model/cursor.ts";
import { Link, type Action } from "./link.ts";

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("commit" as const),
      // Few contents, so that a state comes back under another revision.
      content: fc.integer({ min: 0, max: 5 }),
    }),
  },
  { weight: 8, arbitrary: fc.constant<Action>({ type: "deliverDown" }) },
  { weight: 8, arbitrary: fc.constant<Action>({ type: "deliverUp" }) },
  { weight: 8, arbitrary: fc.constant<Action>({ type: "drain" }) },
  {
    weight: 10,
    arbitrary: fc.record({
      type: fc.constant("work" as const),
      outcome: fc.constantFrom("ok", "ok", "ok", "refuse", "fail"),
    }),
  },
  { weight: 2, arbitrary: fc.constant<Action>({ type: "retryDue" }) },
  { weight: 1, arbitrary: fc.constant<Action>({ type: "cut" }) },
  { weight: 1, arbitrary: fc.constant<Action>({ type: "crash" }) },
  { weight: 5, arbitrary: fc.constant<Action>({ type: "connect" }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("tick" as const),
      milliseconds: fc.integer({ min: 1, max: 20_000 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Action>({ type: "retry" }) },
);

test("whatever happens between them, node and control plane agree in the end, and nothing untrue was said on the way", () => {
  fc.assert(
    fc.property(
      fc.array(action, { minLength: 200, maxLength: 300 }),
      (actions) => {
        const link = new Link();
        for (const each of actions) link.act(each);
        settle(link);
        const context = () => link.log.join("\n");
        if (link.session?.refusedRoots.has(link.head.root) === true)
          expect(link.replica.serving?.root, context()).not.toBe(
            link.head.root,
          );
        else
          expect(cursorsEqual(link.replica.serving, link.head), context()).toBe(
            true,
          );
        expect(
          cursorsEqual(link.session?.acked, link.replica.serving),
          context(),
        ).toBe(true);
        expect(
          cursorsEqual(link.disk.cursor, link.replica.serving),
          context(),
        ).toBe(true);
      },
    ),
    { numRuns: 2_000 },
  );
});

/** No more faults: everything that is under way arrives, and works. */
function settle(link: Link): void {
  link.act({ type: "cut" });
  for (let round = 0; round < 1_000; round++) {
    link.act({ type: "connect" });
    link.act({ type: "drain" });
    link.act({ type: "deliverDown" });
    link.act({ type: "deliverUp" });
    link.act({ type: "work", outcome: "ok" });
    link.act({ type: "retryDue" });
    if (link.quiet && link.session !== undefined && round > 10) return;
  }
  throw new Error("it never settles");
}
