import { list } from "./flags.ts";
import { text } from "./value-types.ts";

/** What commands that apply files tag everything with. */
export const selectTagFlag = list(text("TAG"), {
  summary:
    "Tag everything in the files with it, as _info.select_tags in a file does; --prune then deletes only what has all of these tags.",
});
