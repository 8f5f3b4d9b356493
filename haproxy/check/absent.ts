import type { CheckInput } from "./check.ts";
import { type Finding, finding } from "./finding.ts";
import type { Model } from "./model.ts";
import { isBackend } from "./routes.ts";

/** Backends that somebody names and the files do not have: of whatever is meant by them nothing is proven. */
export function absentBackends({ proxies }: Model, input: CheckInput): readonly Finding[] {
  const here = proxies.filter(isBackend).map(({ name }) => name);
  const told = (names: readonly string[], who: string) =>
    names
      .filter((name) => !here.includes(name))
      .map((name) => {
        const close = input.nearest(name, here);
        const meant = close === undefined ? "" : `did you mean ${close}? Else `;
        return notProven(
          input,
          `no backend ${name} in these files, which ${who}`,
          `${meant}give --haproxy the file with "backend ${name}" too`,
        );
      });
  return [...told(input.backends, "policies or configuration name"), ...told(input.public, "--public names")];
}

/** Where nothing is protected a proof says nothing. */
export function nothingProtected(input: CheckInput): Finding {
  return notProven(
    input,
    "no backend in these files is protected: there is nothing to prove",
    "give --haproxy all the files that HAProxy is started with",
  );
}

function notProven({ files }: CheckInput, found: string, right: string): Finding {
  return finding("unproven", "backend", { file: files[0]?.name ?? "", line: 1, column: 1 }, found, right);
}
