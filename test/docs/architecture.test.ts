import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "tap";

const root = new URL("../../", import.meta.url);
const text = readFileSync(new URL("docs/architecture.md", root), "utf8");
const biome = JSON.parse(readFileSync(new URL("biome.json", root), "utf8"));

/** The rooms of agent/ in the order of the documentation, the lowest first. */
const ROOMS = (/Each room of agent\/ imports only .*: (.*?)\./.exec(text)?.[1] ?? "").split(", ");

interface Override {
  readonly includes: readonly string[];
  readonly linter: {
    readonly rules: {
      readonly style: {
        readonly noRestrictedImports: {
          readonly options: { readonly patterns: readonly { readonly group: readonly string[] }[] };
        };
      };
    };
  };
}

/** What files of this folder may not import: of all rules that hold for it the last counts, and alone. */
function forbidden({ linter }: Override): readonly string[] {
  return linter.rules.style.noRestrictedImports.options.patterns.flatMap(({ group }) => group);
}

test("the rooms of agent/ are those that the documentation lists", (t) => {
  const folders = readdirSync(new URL("agent/", root), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  t.strictSame(ROOMS.toSorted(), folders.map(({ name }) => name).sort());
  t.end();
});

test("the linter holds every arrow between them, in the folders of a room too", (t) => {
  const outside = ["test", "bench", "demo", "build"];
  for (const [index, room] of ROOMS.entries()) {
    const above = [...ROOMS.slice(index + 1), ...outside].map((name) => `**/${name}/**`);
    const own = (biome.overrides as readonly Override[]).filter(({ includes }) =>
      includes.some((place) => place.startsWith(`agent/${room}/`)),
    );
    t.equal(own.length > 0, index < ROOMS.length - 1, room);
    for (const override of own) {
      const rules = forbidden(override);
      t.strictSame(
        above.filter((place) => !rules.includes(place)),
        [],
        override.includes.join(),
      );
    }
    const [first] = own.flatMap(({ includes }) => includes);
    if (first !== undefined) t.equal(first, `agent/${room}/**`, "a folder's own rule stands after its room's");
  }
  t.end();
});

test("the recipes name files that there are, but for a NAME that is yet to be found", (t) => {
  const recipes = text.split("\n## ").filter((section) => /^Add /.test(section));
  t.ok(recipes.length > 0);
  const named = recipes.join("\n").matchAll(/\b(?:haproxy|policies|agent|protocol|docs|test)\/[\w./-]*\w/g);
  for (const [file] of named) if (!file.includes("NAME")) t.ok(existsSync(new URL(file, root)), file);
  t.end();
});
