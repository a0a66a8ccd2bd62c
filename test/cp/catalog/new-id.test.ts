import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { NewIds } from "../../../src/cp/catalog/new-id.ts";

test("ids ascend whatever the clock does, and carry its time", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5, max: 50 })), (steps) => {
      let now = Date.UTC(2030, 0, 1);
      const ids = new NewIds(() => now, randomBytes);
      const made = [ids.next()];
      for (const step of steps) {
        now += step;
        made.push(ids.next());
      }
      expect([...new Set(made)].sort()).toEqual(made);
      for (const id of made)
        expect(id).toMatch(
          /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        );
      expect(
        parseInt((made[0] ?? "").replaceAll("-", "").slice(0, 12), 16),
      ).toBe(Date.UTC(2030, 0, 1));
    }),
  );
});
