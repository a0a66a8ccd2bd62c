import { admin } from "./admin.ts";
import { catchUp } from "./catch-up.ts";
import { fanout } from "./fanout.ts";
import { propagate } from "./propagate.ts";
import { churn } from "./proxy/churn.ts";
import { crowd } from "./proxy/crowd.ts";
import { proxy } from "./proxy/proxy.ts";
import { router } from "./router.ts";
import { soak } from "./proxy/soak.ts";
import { size } from "./size.ts";
import { slow } from "./slow.ts";
import { storm } from "./storm.ts";
import { describeMachine } from "./support/machine.ts";
import { playRole } from "./support/roles.ts";
import { workers } from "./workers.ts";

interface Bench {
  readonly about: string;
  /** `scale` 1 is what the published figures were measured with; less makes it shorter. */
  readonly run: (print: (text: string) => void, scale: number) => Promise<void>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  admin: {
    about:
      "puts by 1 and 16 writers, an apply and a diff, beside an echo with a log, and etcd",
    run: admin,
  },
  "catch-up": {
    about:
      "a node that was cut off during 10,000 changes to 1,000 keys, beside etcd",
    run: catchUp,
  },
  churn: {
    about: "what clients notice of 100 changes a second to 10,000 routes",
    run: churn,
  },
  crowd: {
    about:
      "1,000 slow clients, and 10,000 idle ones, and what others notice of them",
    run: crowd,
  },
  fanout: {
    about:
      "commit to the last acknowledgement of 100, 1,000 and 5,000 sessions, beside bare streams, etcd and grpc-go",
    run: fanout,
  },
  propagate: {
    about: "commit to served by all, beside a bare grpc-js stream",
    run: propagate,
  },
  proxy: {
    about:
      "what a proxied request costs, beside bare http-proxy, nginx, haproxy, caddy and envoy",
    run: proxy,
  },
  router: {
    about:
      "finding the route of a request, and changing one route, with 1k to 100k of them, beside find-my-way",
    run: router,
  },
  size: {
    about: "what grows with the number of entries, from 1k to 1M",
    run: size,
  },
  slow: {
    about: "one node that reads nothing for 10 minutes beside 1,000 that do",
    run: slow,
  },
  soak: {
    about: "whether memory grows in 10 minutes of proxying and changing",
    run: soak,
  },
  storm: {
    about:
      "1,000 and 5,000 nodes come back at once, beside bare streams and etcd",
    run: storm,
  },
  workers: {
    about: "two workers beside one process",
    run: workers,
  },
};

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main([first, second]: readonly string[]): Promise<number> {
  if (first === "role") {
    await playRole(second ?? "");
    return 0;
  }
  const scale = Number(process.env["BENCH_SCALE"] ?? "1");
  const names = first === undefined ? Object.keys(BENCHES) : [first];
  const unknown = names.filter((name) => !(name in BENCHES));
  if (unknown.length > 0 || !(scale > 0)) {
    print(`usage: npm run bench -- [${Object.keys(BENCHES).join("|")}]`);
    return 2;
  }
  for (const [name, { about }] of Object.entries(BENCHES))
    print(`${names.includes(name) ? "*" : " "} ${name}: ${about}`);
  print(describeMachine());
  for (const name of names) {
    print(`\n## ${name}`);
    await BENCHES[name]?.run(print, scale);
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
