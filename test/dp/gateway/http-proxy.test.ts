import { HttpProxyForwarder } from "../../../src/dp/gateway/proxy/http-proxy-forwarder.ts";
import { useForwarder } from "../../support/gateway.ts";

// What every forwarder must do, once more over the one that is the reference: the tests are those files' own.
useForwarder(() => new HttpProxyForwarder());
await import("./faults.test.ts");
await import("./faults-upstream.test.ts");
await import("./proxying.test.ts");
await import("./upgrades.test.ts");
await import("./upstream-tls.test.ts");
