import path from "node:path";
import { expect, test } from "vitest";
import {
  LevelAccess,
  openStoreDatabase,
} from "../../../src/cp/store/level-access.ts";
import { getValue } from "../../../src/cp/store/level-database.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("a database that could not be opened again is before the next write", async () => {
  const directory = path.join(await temporaryDirectory(), "store");
  const access = new LevelAccess(await openStoreDatabase(directory), {
    directory,
    logger: silentLogger,
    distrusted: () => undefined,
  });
  try {
    const noFiles = new Error("too many open files");
    await expect(
      access.inTurn(() => access.openAgain(() => Promise.reject(noFiles))),
    ).rejects.toBe(noFiles);
    await access.inTurn(() =>
      access.write((database) => database.put("key", Buffer.from("a"))),
    );
    expect(await access.read((database) => getValue(database, "key"))).toEqual(
      Buffer.from("a"),
    );
  } finally {
    await access.close();
  }
});
