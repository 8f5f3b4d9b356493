import manifest from "../../package.json" with { type: "json" };

/** Countersign's version. */
export const VERSION: string = manifest.version;
