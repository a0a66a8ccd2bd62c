import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { FleetHealth } from "../../../src/cp/distributor/fleet-health.ts";
import {
  ReportSchema,
  type Report,
} from "../../../src/gen/holdfast/sync/v1/sync_pb.js";

function report(
  states: Readonly<Record<string, string>>,
  targetCount = Object.keys(states).length,
): Report {
  return create(ReportSchema, {
    targetCount,
    targets: Object.entries(states).map(([address, state]) => ({
      upstream: "u",
      target: "t:80",
      address,
      state,
    })),
  });
}

function table(fleet: FleetHealth): (string | number)[][] {
  return [...fleet.list()].flatMap(({ upstream, addresses }) =>
    addresses.map((one) => [
      upstream,
      one.address,
      one.healthy,
      one.unhealthy,
      one.dnsError,
      one.off,
      one.nodes.join(),
    ]),
  );
}

test("what nodes see is added up by address, and what a node saw goes with it", () => {
  const fleet = new FleetHealth();
  fleet.report("n1", report({ a: "healthy", b: "unhealthy" }));
  fleet.report("n2", report({ a: "healthy", b: "healthy", "": "dns_error" }));
  fleet.report("n3", report({ a: "off" }));
  expect(table(fleet)).toEqual([
    ["u", "", 0, 0, 1, 0, "n2"],
    ["u", "a", 2, 0, 0, 1, ""],
    ["u", "b", 1, 1, 0, 0, "n1"],
  ]);
  // A report without a count says nothing about targets.
  fleet.report("n1", create(ReportSchema));
  fleet.report("n2", report({ b: "unhealthy" }));
  expect(table(fleet)).toEqual([
    ["u", "a", 1, 0, 0, 1, ""],
    ["u", "b", 0, 2, 0, 0, "n1,n2"],
  ]);
  for (const node of ["n1", "n2", "n3"]) fleet.leave(node);
  expect(table(fleet)).toEqual([]);
  expect([...fleet.list("u")]).toEqual([]);
});

test("nodes that leave something out are counted, as are those there is no room for", () => {
  const fleet = new FleetHealth(3);
  fleet.report("n1", report({ a: "healthy", b: "healthy" }, 9));
  fleet.report("n2", report({ a: "healthy", b: "healthy" }));
  expect(fleet.incompleteNodes).toBe(2);
  expect(table(fleet).map((row) => row[2])).toEqual([2, 1]);
  fleet.leave("n1");
  fleet.report("n2", report({ a: "healthy", b: "healthy" }));
  expect(fleet.incompleteNodes).toBe(0);
});
