import { test } from "tap";
import { ARGUMENTS, argumentsOf } from "../../haproxy/arguments.ts";
import { type Contract, contractText, isHeaderName, MOST_HEADERS, parseContract } from "../../haproxy/contract.ts";
import { CREDENTIAL_KINDS } from "../../haproxy/credentials.ts";
import { OWNED_HEADERS } from "../../haproxy/owned-headers.ts";
import { OWN_REASONS } from "../../haproxy/reasons.ts";
import { contractOf, renderHaproxy } from "../../haproxy/render.ts";
import {
  backendHeader,
  headerVariable,
  inTransaction,
  isContractVariable,
  VARIABLES,
  type VariableName,
} from "../../haproxy/variables.ts";
import { REASONS } from "../../policies/decision.ts";
import { headerNameFault, MOST_HEADERS as MOST_IN_POLICIES } from "../../policies/judging/headers.ts";
import { INPUT } from "../support/rendered.ts";

const NAMEABLE = Object.keys(VARIABLES).filter(isContractVariable);
const LONGEST = Array.from({ length: MOST_HEADERS }, (_, n) => `${n}-`.padEnd(64, "x"));

const CONTRACTS: readonly Contract[] = [
  { version: 1, variables: [], headers: [] },
  { version: 1, variables: ["subject"], headers: ["x-auth-subject", "x-auth-roles"] },
  { version: 1, variables: [], headers: ["subject"] },
  { version: 1, variables: NAMEABLE, headers: LONGEST },
];

test("a contract is read as it was written, the largest too", (t) => {
  for (const contract of CONTRACTS) t.strictSame(parseContract(contractText(contract)), contract);
  t.equal(contractText(CONTRACTS[1] as Contract), "1:subject:h_x-auth-subject:h_x-auth-roles");
  t.ok(contractText(CONTRACTS[3] as Contract).length < 8000, "HAProxy takes it inside str()");
  t.end();
});

const NO_CONTRACTS: Readonly<Record<string, string>> = {
  nothing: "",
  "another version": "2:subject",
  "no version": "subject",
  "a version written otherwise": "01:subject",
  "an empty name": "1:",
  "an unknown variable": "1:password",
  "a variable that every answer has": "1:verdict",
  "a name that every object has": "1:constructor",
  "a prototype's name": "1:__proto__",
  "a variable twice": "1:subject:subject",
  "a header twice": "1:h_x-a:h_x-a",
  "a variable after a header": "1:h_x-a:subject",
  "a header without a name": "1:h_",
  "a header in capitals": "1:h_X-Auth-Subject",
  "a header with _": "1:h_x_auth",
  "a header with a comma": "1:h_x-a,h_x-b",
  "a header that is too long": `1:h_${"x".repeat(65)}`,
  "a blank": "1: subject",
  "a line break": "1:subject\n",
  "a header more than there may be": ["1", ...LONGEST, "x"].join(":h_"),
  "far too much": `1:${"h_".repeat(100_000)}`,
};

test("what no generator wrote is no contract", (t) => {
  for (const [name, text] of Object.entries(NO_CONTRACTS)) t.equal(parseContract(text), undefined, name);
  t.end();
});

test("a contract has one spelling: whatever is read, would be written so", (t) => {
  const original = "1:subject:groups:h_x-auth-subject:h_x-auth-roles";
  const alphabet = ":_-1hxsubject,\n\0 A";
  let read = 0;
  for (let at = 0; at <= original.length; at++) {
    for (const removed of [0, 1, 2]) {
      for (const inserted of ["", ...alphabet]) {
        const text = original.slice(0, at) + inserted + original.slice(at + removed);
        const contract = parseContract(text);
        if (contract === undefined) continue;
        read++;
        if (contractText(contract) !== text) t.fail(`${JSON.stringify(text)} was read`);
      }
    }
  }
  t.ok(read > 100, `${read} of the spellings are contracts`);
  t.end();
});

test("every variable fits HAProxy's buffer, and its alphabet", (t) => {
  const names = [...Object.keys(VARIABLES), headerVariable(MOST_HEADERS)] as (keyof typeof VARIABLES)[];
  // SPOP's implementation keeps 64 bytes with the end mark, and ignores a name with other characters.
  for (const name of names) t.match(inTransaction(name), /^txn\.[A-Za-z0-9_.]{1,59}$/);
  t.end();
});

test("HAProxy's own refusals are reasons, with the same status", (t) => {
  for (const [reason, status] of Object.entries(OWN_REASONS)) t.equal(REASONS[reason as keyof typeof REASONS], status);
  t.end();
});

test("every reason fits the ACK's size, and needs no escaping in JSON or HTML", (t) => {
  for (const reason of Object.keys(REASONS)) t.match(reason, /^[a-z-]{1,32}$/);
  t.end();
});

test("HAProxy sends what policies read, and no more", (t) => {
  const sent = (query: boolean, requestHeaders: string[]) =>
    argumentsOf({ query, requestHeaders, credentials: ["bearer"] }, contractOf(INPUT)).map(
      ({ name, sample }) => `${name}=${sample}`,
    );
  const always = Object.entries(ARGUMENTS).filter(([, { sent }]) => sent === "always");
  t.strictSame(sent(false, []), [
    ...always.slice(0, -1).map(([name, { sample }]) => `${name}=${sample}`),
    "contract=str(1:subject:h_x-auth-subject)",
  ]);
  t.strictSame(
    sent(true, ["x-tenant", "origin"]).filter((argument) => !sent(false, []).includes(argument)),
    ["query=query", "h_x-tenant=req.fhdr(x-tenant)", "h_origin=req.fhdr(origin)"],
  );
  const certificate = ["cert=ssl_c_der,bytes(0,4097)", "cert_used=ssl_c_used", "cert_verify=ssl_c_verify"];
  const all = (credentials: string[], proofs?: string[]) =>
    argumentsOf({ query: false, requestHeaders: [], credentials, ...(proofs && { proofs }) }, contractOf(INPUT))
      .map(({ name, sample }) => `${name}=${sample}`)
      .filter((argument) => !sent(false, []).includes(argument));
  t.strictSame(all(["bearer", "client-certificate"]), certificate, "a certificate, as a credential");
  t.strictSame(all(["bearer"], ["certificate"]), certificate, "or as a token's proof");
  const mesh = ["mesh=var(txn.countersign_meshed)"];
  t.strictSame(all(["bearer", "mesh"]), mesh, "what the proxy in the pod has said, and not the header");
  t.strictSame(all(["bearer"], ["another"]), []);
  t.end();
});

test("a credential kind has a name and an argument of its own, headers that can be named, and a scheme that is one", (t) => {
  const names = CREDENTIAL_KINDS.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
  for (const { name, argument, headers, scheme = "a" } of CREDENTIAL_KINDS) {
    t.match(name, /^(?!none$|invalid$)[a-z-]+$/);
    t.match(argument, /^(?!(?:id|src|tls|method|host|path|query|contract)$)(?!h_)[a-z_]+$/, name);
    t.ok(headers.every(isHeaderName), name);
    // RFC 9110, section 5.6.2, without what a regular expression would read.
    t.match(scheme, /^[A-Za-z0-9-]+$/, name);
  }
  t.end();
});

test("policies may name the headers that HAProxy can set, and none that its rules set or read themselves", (t) => {
  t.equal(MOST_IN_POLICIES, MOST_HEADERS);
  for (const name of ["x-auth-subject", "a", "x".repeat(64), "x".repeat(65), "", "X-Auth", "x_auth", "x-auth\n", "é"]) {
    t.equal(headerNameFault(name, OWNED_HEADERS) === undefined, isHeaderName(name), JSON.stringify(name));
  }
  const backendVariables = Object.keys(VARIABLES).filter((name) => backendHeader(name) !== undefined);
  const uses = { ...INPUT.uses, identityHeaders: [] };
  const rules = renderHaproxy({ ...INPUT, uses, backendVariables: backendVariables as VariableName[] })["haproxy.cfg"];
  const set = [...rules.matchAll(/http-request set-header (\S+)/g)].map(([, name = ""]) => name);
  t.ok(set.length > 3);
  for (const name of [...set, "authorization", "host", "traceparent"]) t.ok(headerNameFault(name, OWNED_HEADERS), name);
  t.end();
});
