import { readFileSync } from "node:fs";
import { test } from "tap";
import { adviceFor, PROVIDERS } from "../../agent/commands/explain/providers.ts";
import { COMMANDS } from "../../agent/commands/run.ts";
import { EXIT } from "../../agent/processes/exit.ts";

const page = readFileSync(new URL("../../docs/commands.md", import.meta.url), "utf8");
const oidc = readFileSync(new URL("../../docs/identities/oidc.md", import.meta.url), "utf8");
const [head = "", ...rest] = page.split("\n## ");
const sections = new Map(rest.map((text) => [text.slice(0, text.indexOf("\n")), text]));

test("the page has a section for every command, and for no other", (t) => {
  t.strictSame([...sections.keys()], Object.keys(COMMANDS));
  t.end();
});

test("each section lists just the options that its command takes", (t) => {
  for (const [name, command] of Object.entries(COMMANDS)) {
    const listed = [...(sections.get(name) ?? "").matchAll(/^\| `--([a-z-]+)` \|/gm)].map(([, option]) => option);
    t.strictSame(new Set(listed), new Set(Object.keys(command.options)), name);
  }
  t.end();
});

test("the page lists every exit code", (t) => {
  const listed = [...head.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  t.strictSame(listed, Object.values(EXIT));
  t.end();
});

test("every provider that explain has advice for has its section, and its advice is for its issuer alone", (t) => {
  for (const { name } of PROVIDERS) t.ok(oidc.includes(`\n## ${name}\n`), name);
  for (const [issuer, name] of [
    ["https://sso.example.com/realms/shop", "Keycloak"],
    ["https://example.okta.com/oauth2/default", "Okta"],
    ["https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0", "Microsoft Entra ID"],
    ["https://sts.windows.net/11111111-2222-3333-4444-555555555555/", "Microsoft Entra ID"],
    ["https://example.eu.auth0.com/", "Auth0"],
    ["https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_abc", "Amazon Cognito"],
    ["https://example-abc.zitadel.cloud", "Zitadel"],
    ["https://sso.example.com/application/o/orders/", "authentik"],
    ["https://dex.example.com/dex", "Dex"],
    ["https://auth.pingone.eu/11111111-2222-3333-4444-555555555555/as", "PingOne"],
    ["https://kubernetes.default.svc.cluster.local", "Kubernetes"],
    ["https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF", "Kubernetes"],
    ["https://token.actions.githubusercontent.com", "GitHub Actions"],
    ["https://gitlab.com", "GitLab CI"],
  ] as const) {
    t.strictSame(
      adviceFor(issuer, "audience").map((advice) => advice.split(":")[0]),
      [name],
      issuer,
    );
  }
  for (const other of ["https://issuer.example.com", "https://evil.example/?x=https://example.okta.com/"]) {
    t.strictSame(adviceFor(other, "audience"), [], other);
  }
  t.match(adviceFor("https://accounts.google.com", "purpose"), [/id_tokens: accept/]);
  t.end();
});
