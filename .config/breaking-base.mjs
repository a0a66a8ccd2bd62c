import { answer } from "./steps.mjs";

/** A line of a commit message that announces a change of the API that breaks its clients. */
export const ANNOUNCEMENT = "Breaks-API:";

/**
 * What the protos have to stay compatible with: the last tag; without one main, which is where this branch left it or, on
 * main itself, what it was before its last commit that touched them.
 *
 * @param {string} [repository] where to look, the top of this checkout if not given
 * @returns {{ commit: string, what: string, announced: string | undefined } | string} the base, with the commit since then that announces a break; or why there is none
 */
export function breakingBase(repository) {
  /** @param {string[]} args */
  const git = (...args) => {
    const where = repository === undefined ? [] : ["-C", repository];
    const said = answer("git", ...where, ...args);
    return said === "" ? undefined : said;
  };

  const head = git("rev-parse", "--verify", "--quiet", "HEAD");
  if (head === undefined) return "this is no git checkout";
  const base = lastTag() ?? branchPoint() ?? beforeLastChange();
  if (base === undefined)
    return "there is neither a tag, nor main, nor a commit before that touched proto";
  if (git("cat-file", "-t", `${base.commit}:buf.yaml`) === undefined)
    return `${base.what} has no buf.yaml`;
  return {
    ...base,
    announced: git(
      ...["log", "-1", "--format=%h %s", `--grep=^${ANNOUNCEMENT}`],
      `${base.commit}..HEAD`,
    ),
  };

  function lastTag() {
    const tag = git(
      ...["for-each-ref", "--sort=-creatordate", "--count=1"],
      ...["--format=%(refname:short)", "refs/tags"],
    );
    const commit = tag && git("rev-parse", "--verify", `${tag}^{commit}`);
    return commit ? { commit, what: `tag ${tag}` } : undefined;
  }

  function branchPoint() {
    for (const name of ["origin/main", "main"]) {
      const commit = git("merge-base", "HEAD", name);
      if (commit !== undefined && commit !== head)
        return { commit, what: `${name}, where HEAD left it` };
    }
    return undefined;
  }

  function beforeLastChange() {
    const last = git("log", "-1", "--format=%H", "--", "proto");
    // Of a shallow clone the first commit has no parent.
    const commit = last && git("rev-parse", "--verify", "--quiet", `${last}^`);
    return commit
      ? {
          commit,
          what: `the commit before ${last.slice(0, 9)}, the last that touched proto`,
        }
      : undefined;
  }
}
