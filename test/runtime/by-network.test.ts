import { expect, test } from "vitest";
import { ByNetwork, networkOf } from "../../src/runtime/by-network.ts";

const thing = (network: string, name: string) => ({ network, name });

test("networks take turns, and within one the oldest comes first", () => {
  const things = new ByNetwork<ReturnType<typeof thing>>();
  for (const each of ["a1", "a2", "a3", "a4", "b1", "c1", "c2"])
    things.add(thing(each.slice(0, 1), each));
  expect([...things.crowd()].map(({ name }) => name)).toEqual([
    ...["a1", "a2", "a3", "a4"],
  ]);
  const order = [];
  for (let next = things.take(); next !== undefined; next = things.take()) {
    order.push(next.name);
    expect(things.size).toBe(7 - order.length);
    // Comes while others are served, and has its turn all the same.
    if (next.name === "a2") things.add(thing("d", "d1"));
    if (next.name === "a2") things.delete([...things].at(-1)!);
  }
  expect(order).toEqual(["a1", "b1", "c1", "a2", "c2", "a3", "a4"]);
});

test("what is added or taken out twice counts once", () => {
  const things = new ByNetwork<ReturnType<typeof thing>>();
  const one = thing("a", "a1");
  things.add(one);
  things.add(one);
  expect(things.size).toBe(1);
  things.delete(one);
  things.delete(one);
  expect(things.size).toBe(0);
  expect(things.crowd().size).toBe(0);
});

test.each([
  ["10.0.0.1", "10.0.0.1"],
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:db8:1:2::9", "2001:db8:1:2"],
  ["2001:db8::9", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
])("the network of %s is %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
