import assert from "node:assert/strict";
import { test } from "node:test";
import { plugin } from "./index.js";

/** As much of an exchange as the plugin looks at. */
function exchangeWith(version) {
  const sent = new Map();
  return {
    sent,
    request: {
      header: (name) =>
        name === "x-api-version" && version !== undefined ? [version] : [],
    },
    upstream: { headers: { set: (name, value) => sent.set(name, value) } },
  };
}

const environment = { logger: { info: () => undefined } };

test("a supported version goes upstream, another one is refused", () => {
  const { access } = plugin.create({ supported: ["1", "2"] }, environment);
  const exchange = exchangeWith("2");
  assert.equal(access(exchange), undefined);
  assert.equal(exchange.sent.get("X-API-Version"), "2");
  assert.equal(access(exchangeWith("3")).status, 400);
  assert.equal(access(exchangeWith(undefined)).status, 400);
});

test("a request that says nothing gets the fallback", () => {
  const { access } = plugin.create(
    { supported: ["1", "2"], fallback: "2" },
    environment,
  );
  const exchange = exchangeWith(undefined);
  assert.equal(access(exchange), undefined);
  assert.equal(exchange.sent.get("X-API-Version"), "2");
});

test("every mistake in a configuration is told", () => {
  assert.deepEqual(
    plugin
      .validate({ supported: ["1"], fallback: "2", more: true })
      .map(({ field }) => field),
    ["fallback", "more"],
  );
  assert.deepEqual(
    plugin.validate({}).map(({ field }) => field),
    ["supported"],
  );
});
