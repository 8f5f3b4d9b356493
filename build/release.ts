import { chmodSync, cpSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build, type Plugin } from "esbuild";
import { licencesOf } from "./licences.ts";
import { compiledValidators } from "./validators.ts";

const ROOT = resolve(import.meta.dirname, "..");
const SCHEMAS = globSync("{agent,policies}/**/*.schema.json", { cwd: ROOT }).sort();
const WORKERS = globSync("agent/**/*-worker.ts", { cwd: ROOT });

/**
 * Node's own ES module of node:http reads every export once, and so loads its WebSocket, and undici for it: 20 ms of a
 * start, for nothing. What `require` gives loads it when it is used.
 */
const LAZY_HTTP: Plugin = {
  name: "lazy-http",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:http$/ }, ({ path, kind }) =>
      kind === "import-statement" ? { path, namespace: "lazy-http" } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "lazy-http" }, ({ path }) => ({
      contents: `module.exports = require("${path}")`,
    }));
  },
};

/** Writes all that a release needs beside Node into a folder, in place of what is there. */
export async function buildRelease(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: ["agent/main.ts", ...WORKERS],
    outdir: folder,
    outbase: ".",
    bundle: true,
    // What entry points share is there once, a folder below agent/: agent/threads/worker-script.ts finds the others from there.
    splitting: true,
    chunkNames: "agent/shared/[name]-[hash]",
    platform: "node",
    format: "esm",
    target: "node24",
    // Dependencies that are CommonJS require Node's own modules.
    banner: { js: 'import { createRequire } from "node:module";\nconst require = createRequire(import.meta.url);' },
    plugins: [compiledValidators(SCHEMAS.map((path) => join(ROOT, path))), LAZY_HTTP],
    // Whole, in a file of their own.
    legalComments: "none",
    metafile: true,
  });
  chmodSync(join(folder, "agent/main.js"), 0o755);
  writeFileSync(join(folder, "package.json"), manifest());
  for (const name of ["LICENSE", "README.md", "docs", "deploy", "policies/examples"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  const files = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs));
  writeFileSync(join(folder, "LICENCES"), licencesOf(files.map((file) => resolve(ROOT, file))));
}

/** The release is a package by itself, for `npm pack`: one that depends on nothing, as everything is in it. */
function manifest(): string {
  const { name, version, description, license, type, engines } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  );
  const bin = { countersign: "agent/main.js" };
  return `${JSON.stringify({ name, version, description, license, type, bin, engines }, undefined, 2)}\n`;
}
