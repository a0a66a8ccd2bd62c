import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  TargetReporter,
  type ToldTarget,
} from "../../../src/dp/sync/target-news.ts";
import { ReportSchema } from "../../../src/gen/holdfast/sync/v1/sync_pb.js";
import { LIMITS } from "../../../src/sync/limits.ts";

function target(number: number, state = "healthy"): ToldTarget {
  const name = `t${number}.example.com:8080`;
  return { upstream: "u", target: name, address: `10.0.0.1:${number}`, state };
}

test("what is known is not told again, in another stream it is", () => {
  let all: readonly ToldTarget[] = [target(1)];
  const reporter = new TargetReporter(() => all);
  expect(reporter.take()).toEqual({ targets: [target(1)], targetCount: 1 });
  expect(reporter.take()).toBeUndefined();
  all = [target(1, "unhealthy")];
  expect(reporter.take()?.targets).toEqual(all);
  reporter.forget();
  expect(reporter.take()?.targets).toEqual(all);
  // That there are none any more is news too, but not to somebody who has heard of none.
  all = [];
  expect(reporter.take()).toEqual({ targets: [], targetCount: 0 });
  reporter.forget();
  expect(reporter.take()).toBeUndefined();
});

test("a Report stays within its bounds, and says how many there are", () => {
  const all = Array.from({ length: 20_000 }, (_, i) => target(i));
  const news = new TargetReporter(() => all).take();
  expect(news?.targetCount).toBe(20_000);
  expect(news?.targets.length).toBeGreaterThan(200);
  expect(news?.targets.length).toBeLessThanOrEqual(4096);
  expect(news?.targets).toEqual(all.slice(0, news?.targets.length));
  expect(
    toBinary(ReportSchema, create(ReportSchema, news)).length,
  ).toBeLessThan(LIMITS.reportBytes);
});
