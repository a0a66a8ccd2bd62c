import { expect, test } from "vitest";
import { Gatherings } from "../../../src/dp/plugins/proxy-cache/gathering.ts";

const KIB = 1024;
const piece = (letter: string): Buffer => Buffer.alloc(KIB, letter);

test("bodies on their way into a cache take no more than there is for them, however many there are; those go that nothing has come of for the longest", () => {
  const gatherings = new Gatherings({
    maxBytes: 16 * KIB,
    maxBodyBytes: 64 * KIB,
  });
  const all = [];
  for (let i = 0; i < 100; i++) {
    const one = gatherings.begin();
    all.push(one);
    one.take(piece("a"));
    one.take(piece("b"));
    expect(gatherings.bytes).toBeLessThanOrEqual(16 * KIB);
  }
  all[0]?.take(piece("c"));
  expect(all[0]?.end()).toBeUndefined();
  expect(all.at(-1)?.end()).toEqual(Buffer.concat([piece("a"), piece("b")]));
  for (const one of all) one.end();
  expect(gatherings.bytes).toBe(0);
});

test("a body that is larger than what is kept is given up, and its room is there for others", () => {
  const gatherings = new Gatherings({
    maxBytes: 64 * KIB,
    maxBodyBytes: 2 * KIB,
  });
  const one = gatherings.begin();
  for (const letter of "abc") one.take(piece(letter));
  expect(gatherings.bytes).toBe(0);
  one.take(piece("d"));
  expect([one.end(), gatherings.bytes]).toEqual([undefined, 0]);
});
