import { readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { parse } from "yaml";
import { compileChecked, compilePolicies } from "../../../policies/compile/compile.ts";
import type { Policies } from "../../../policies/policies.ts";
import { readDocument } from "../../../policies/source/document.ts";
import { decide, ENVIRONMENT, principalFrom } from "../../support/policies.ts";
import { mutatedText, wordsMoved } from "../mutate.ts";
import { hold, type Target } from "../target.ts";

const EXAMPLES = new URL("../../../policies/examples/", import.meta.url);
const OWN = `roles:
  orders-reader:
    - { issuer: okta, group: Orders Readers, scope: orders:read }
    - { issuer: aws, arn: "arn:aws:iam::123456789012:role/batch" }
  orders-admin:
    - { issuer: okta, claim: { org.tenant: emea }, kind: person, until: 2027-06-01T00:00:00Z }
    - role: orders-reader
services:
  orders:
    hosts: [orders.example.com, "*.orders.example.com"]
    issuers: [okta]
    audiences: [api://orders]
    backend: orders
    headers: { x-auth-subject: principal.subject, x-auth-tenant: "has(principal.claims.tenant) ? principal.claims.tenant : null" }
    routes:
      - name: read
        match: ["GET|POST /v1/orders/{id:[0-9]+}"]
        allow: [orders-reader]
        when: '"mfa" in principal.claims.amr && request.params.id != "0"'
        shadow: { allow: [orders-admin] }
      - { name: files, match: ["GET|PUT /v1/files/{path...}"], allow: [authenticated], optional: true, deny: [orders-admin] }
      - { name: health, match: [GET /healthz], allow: [anyone] }
`;
const ORIGINALS: readonly string[] = [
  OWN,
  ...readdirSync(EXAMPLES)
    .filter((name) => /^[^.]+\.yaml$/.test(name))
    .map((name) => readFileSync(new URL(name, EXAMPLES), "utf8")),
];
const WORDS = [
  ...[
    "roles:",
    "services:",
    "routes:",
    "match:",
    "allow: [anyone]",
    "allow:",
    "deny:",
    "when:",
    "hosts:",
    "optional: true",
    "- ",
    "  ",
    "\n",
    "{ ",
    " }",
    "[",
    "]",
    ": ",
    "#",
  ],
  ...[
    "&a ",
    "*a",
    "!!str ",
    "|\n",
    ">\n",
    '"',
    "'",
    "<<: *a",
    "? ",
    "~",
    "null",
    "0x1",
    "1e3",
    "yes",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "\\u0000",
  ],
  ...[
    "{id}",
    "{path...}",
    "{id:(a+)+}",
    "{id:[",
    "*",
    "authenticated",
    "anyone",
    "principal.subject",
    "request.path.matches('(a|a)*')",
  ],
];

const REQUESTS = [
  "GET https://orders.example.com/v1/orders",
  "POST https://a.orders.example.com/v1/orders/7",
  "GET https://orders.example.com/v1/files/x",
  "GET https://orders.example.com/healthz",
  "GET https://files.example.com/",
];
const PRINCIPALS = [
  undefined,
  principalFrom({
    groups: ["Orders Readers"],
    scopes: ["orders:read"],
    claims: { amr: ["mfa"], tenant: "emea", org: { tenant: "emea" } },
  }),
  principalFrom({ issuer: "nobody" }),
];

/** What a set of policies says to a few requests. */
function answers(policies: Policies): readonly unknown[] {
  return REQUESTS.flatMap((request) =>
    PRINCIPALS.map((principal) => {
      const { until: _until, ...decision } = decide(policies, request, principal);
      return { request, principal: principal?.issuer, ...decision };
    }),
  );
}

export const POLICIES: Target = {
  name: "policies",
  oracle:
    "Policy files: YAML that is read has the values that the YAML library reads; each fault is at a place that the file has, with what is right; what compiles without one decides the same compiled anew from plain data, lets nobody in whose issuer it does not name, and lets nobody in without a principal but where a route says `anyone` or `optional`",
  tested: 250,
  share: 25,
  reaches: ["compiled", "faults"],
  open: () => ({
    input(random) {
      const original = random.once(2) ? OWN : random.pick(ORIGINALS);
      if (random.once(3)) return Buffer.from(wordsMoved(original, random));
      return Buffer.from(
        mutatedText(original, random, { others: ORIGINALS, words: WORDS, most: random.once(2) ? 1 : 4 }),
      );
    },
    check(input) {
      const text = input.toString();
      const document = readDocument("p.yaml", text);
      if ("value" in document) {
        const theirs: unknown =
          parse(text, { version: "1.2", schema: "core", uniqueKeys: false, logLevel: "silent" }) ?? null;
        hold(isDeepStrictEqual(plain(document.value), plain(theirs)), "the YAML library reads other values");
      }
      const compiled = compilePolicies([{ file: "p.yaml", text }], ENVIRONMENT);
      const faults = "faults" in compiled ? compiled.faults : [];
      for (const fault of [...faults, ...compiled.warnings]) placed(fault, text);
      if (!("policies" in compiled)) return "faults";
      const said = answers(compiled.policies);
      const steps = compileChecked(structuredClone(compiled.checked), ENVIRONMENT);
      let step = steps.next();
      while (step.done !== true) step = steps.next();
      hold(isDeepStrictEqual(answers(step.value), said), "compiled anew it decides otherwise");
      for (const each of said as readonly {
        readonly verdict: string;
        readonly reason: string;
        readonly principal: string | undefined;
      }[]) {
        if (each.verdict !== "allow") continue;
        const open = each.reason === "anyone" || each.reason === "anonymous";
        hold(each.principal === "okta" || open, () => `let in: ${JSON.stringify(each)}`);
        if (open) hold(/anyone|optional/.test(text), "nobody is asked, and the file does not say so");
      }
      return "compiled";
    },
  }),
};

/** A place that the file has: within its lines, and within or right behind the line. */
function placed(
  {
    line,
    column,
    found,
    right,
  }: { readonly line: number; readonly column: number; readonly found: string; readonly right: string },
  text: string,
): void {
  const lines = text.split("\n");
  const written = lines[line - 1];
  hold(line >= 1 && written !== undefined, () => `a fault in line ${line} of ${lines.length}: ${found}`);
  hold(
    column >= 1 && column <= (written?.length ?? 0) + 1,
    () => `a fault in column ${column} of ${JSON.stringify(written)}: ${found}`,
  );
  hold(found !== "" && right !== "", "a fault without words");
}

/** Without what tells mappings of two libraries apart. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null));
}
