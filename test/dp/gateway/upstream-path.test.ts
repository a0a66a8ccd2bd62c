import { describe, expect, test } from "vitest";
import { upstreamPath } from "../../../src/dp/gateway/upstream-path.ts";

describe("the path that goes upstream", () => {
  test.each([
    // service, matched, request, strip, v0, v1
    ["/s", "/r", "/r/req", false, "/s/r/req", "/sr/req"],
    ["/s", "/r", "/r", false, "/s/r", "/sr"],
    ["/s", "/r", "/r/req", true, "/s/req", "/s/req"],
    ["/s", "/r", "/r", true, "/s", "/s"],
    ["/s", "/r/", "/r/req", true, "/s/req", "/sreq"],
    ["/s", "/r/", "/r/", true, "/s/", "/s"],
    ["/s", "/r/", "/r/", false, "/s/r/", "/sr/"],
    ["", "/r", "/rx", true, "/x", "/x"],
    ["/", "/r", "/rx", true, "/x", "/x"],
    ["/", "/r", "/r", true, "/", "/"],
    ["/", "/r", "/r/req", false, "/r/req", "/r/req"],
    ["", "/", "/", true, "/", "/"],
    ["/s/", "/r", "/r/req", true, "/s/req", "/s/req"],
    ["/s/", "/r", "/r", true, "/s", "/s/"],
    ["/s/", "/", "/", false, "/s/", "/s/"],
    ["/s", "/", "/", false, "/s", "/s"],
    ["/s", "", "/any/thing", true, "/s/any/thing", "/s/any/thing"],
  ])(
    "service %j, matched %j of %j, strip %j: %j in v0, %j in v1",
    (servicePath, matched, path, strip, v0, v1) => {
      const join = (version: "v0" | "v1"): string =>
        upstreamPath(path, matched, { servicePath, strip, version });
      expect([join("v0"), join("v1")]).toEqual([v0, v1]);
    },
  );

  test.each(["/r../secret", "/r./secret", "/r..", "/r."])(
    "%j with /r taken away does not climb out of the service's path",
    (path) => {
      for (const version of ["v0", "v1"] as const) {
        const joined = upstreamPath(path, "/r", {
          servicePath: "/s",
          strip: true,
          version,
        });
        expect(joined.split("/")).not.toContain("..");
        expect(joined.split("/")).not.toContain(".");
        expect(joined.startsWith("/s")).toBe(true);
      }
    },
  );
});
