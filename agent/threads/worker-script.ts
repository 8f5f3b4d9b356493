import { extname } from "node:path";

/**
 * Where the script of another thread is: TypeScript in a checkout, JavaScript in a release, where this module is one
 * folder below agent/ as well (build/release.ts).
 *
 * @param name its path below agent/ without the extension; it ends in `-worker`, by which the build knows it
 */
export function workerScript(name: string): URL {
  return new URL(`../${name}${extname(import.meta.filename)}`, import.meta.url);
}
