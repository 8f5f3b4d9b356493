import { resolve } from "node:path";
import { buildRelease } from "./release.ts";

await buildRelease(resolve(import.meta.dirname, "../dist"));
