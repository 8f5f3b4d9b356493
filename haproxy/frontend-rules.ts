import { LOGGED_PATH, logFormat } from "./access-log.ts";
import { MESSAGE } from "./arguments.ts";
import { bodyRules } from "./bodies.ts";
import { clientHeaders } from "./client-headers.ts";
import { corsRules, preflightRules } from "./cors.ts";
import { ALL_CREDENTIALS, type Strip, sentKinds } from "./credentials.ts";
import { errorAnswer } from "./error-answers.ts";
import {
  addedHeaders,
  BACKCHANNEL_PATH,
  LOGIN_PATH,
  loggedVariables,
  type RenderInput,
  WEB_BACKEND,
  WEB_PATH,
} from "./input.ts";
import { AT_MESH_BIND, BESIDE_MESH, meshRules, readsMesh } from "./mesh-bind.ts";
import { metadataRules } from "./metadata.ts";
import { sessionCookies, sessionPart } from "./places.ts";
import type { OwnReason } from "./reasons.ts";
import { before, since } from "./since.ts";
import { ENGINE } from "./spoe-file.ts";
import { backendHeader, headerVariable, inTransaction, OWN, VARIABLE_PREFIX } from "./variables.ts";

/** Load balancers between the client and HAProxy that are followed in X-Forwarded-For, from the right. */
const HOPS = 4;

const ANSWERED_ID = inTransaction("id");
const REASON = inTransaction("reason");
const STATUS = inTransaction("status");
const VERDICT = inTransaction("verdict");
const BACKEND = inTransaction("backend");

const WEB = `{ var(${OWN.web}) -m bool }`;
const REFUSED = "!countersign_allowed";

/**
 * The rules of a judged frontend, in their order, without indentation; an empty line separates steps.
 *
 * @param spoeFile the SPOE file, as a word of haproxy.cfg
 */
export function frontendRules(input: RenderInput, spoeFile: string): readonly string[] {
  return [
    ...preparation(input, spoeFile),
    "",
    ...meshRules(input.uses),
    ...hopHeaders(input),
    ...clientAddress(input),
    ...target(),
    "",
    ...corsRules(input.cors ?? []),
    ...unfitRequests(input),
    "",
    ...metadataRules(input),
    ...preflightRules(input.cors ?? []),
    ...clientHeaders(input.identityPrefix, identityHeaders(input)),
    "",
    ...connectionHeaders(),
    "",
    ...ownPages(input),
    ...bodyRules(input.uses.bodies ?? []),
    ...sessionParts(input),
    ...verdict(input),
    "",
    ...refusals(input),
    "",
    ...passedOn(input),
  ];
}

/** Those that only the agent fills. What a credential stands in is deleted once it was judged. */
function identityHeaders(input: RenderInput): readonly string[] {
  const credentials = sentKinds(input.uses).flatMap(({ headers }) => headers);
  return addedHeaders(input).flatMap(({ name }) => (credentials.includes(name) ? [] : [name]));
}

function preparation(input: RenderInput, spoeFile: string): readonly string[] {
  return [
    "# In TCP mode no rule would be asked on the way to a TCP backend.",
    "mode http",
    "timeout http-request 10s",
    "timeout http-keep-alive 30s",
    `filter spoe engine ${ENGINE} config ${spoeFile}`,
    `log-format ${logFormat(loggedVariables(input))}`,
    "# Backends may read x_auth_subject as x-auth-subject: names with anything but letters, digits and - are deleted.",
    "option http-restrict-req-hdr-names delete",
    "# A `defaults` may have loosened the parser: an authority could then be another than Host.",
    ...since(
      input.version,
      3,
      1,
      "no option accept-unsafe-violations-in-http-request",
      "no option accept-invalid-http-request",
    ),
    "# A header that cannot be added ends the request; without this it would be lost.",
    "http-request strict-mode on",
    `http-request set-var(${OWN.id}) uuid(),regsub(-,,g)`,
    "http-response del-header l5d- -m beg",
    "http-response del-header l5d_ -m beg",
    ...handshake(input),
    ...sessionSeen(input),
  ];
}

/** Early data comes before the handshake's end, in which a client proves that it has its certificate's key. */
function handshake({ uses }: RenderInput): readonly string[] {
  if (!sentKinds(uses).some(({ name }) => name === "client-certificate")) return [];
  return [
    "# What came as early data may be somebody's repetition: it waits until the client has proven to have its key.",
    "http-request wait-for-handshake",
  ];
}

/** What only the hop before HAProxy says. `src` is still its address: whoever comes from elsewhere has not said it. */
function hopHeaders({ uses, hops = {} }: RenderInput): readonly string[] {
  const headers = sentKinds(uses).flatMap(({ hop = [] }) => hop);
  if (headers.length === 0) return [];
  return [
    "# What counts only from the hop that has put it there.",
    ...headers.map(
      (name) => `http-request del-header ${name} unless { src ${hops[name]?.join(" ")} }${elsewhere(uses)}`,
    ),
    "",
  ];
}

/**
 * `src` becomes the client's own address before anybody reads it. An entry that HAProxy cannot read ends the walk:
 * what stands before it was written by nobody that is trusted.
 */
function clientAddress({ client, uses }: RenderInput): readonly string[] {
  if (client.from !== "x-forwarded-for") return [];
  const entries = Array.from({ length: HOPS }, (_, hop) => `req.hdr_ip(x-forwarded-for,-${hop + 1})`);
  return [
    "# The client is the last address in X-Forwarded-For that is not one of ours.",
    `acl countersign_trusted src ${client.trusted.join(" ")}`,
    ...entries.map((entry, hop) => {
      const read = entries.slice(0, hop).map((later) => ` { ${later} -m found }`);
      return `http-request set-src ${entry} if countersign_trusted${read.join("")}${elsewhere(uses)}`;
    }),
    "",
  ];
}

/** The pod's own address, from which meshed clients come, may be in a network that is trusted: they are no hop of it. */
function elsewhere(uses: RenderInput["uses"]): string {
  return readsMesh(uses) ? ` !${AT_MESH_BIND}` : "";
}

/**
 * An absolute target has a scheme, a user and an authority that nobody judges and some backends obey. From here on
 * there is only what is judged: path and query here, the host in Host.
 */
function target(): readonly string[] {
  return [
    "# What is judged is what is forwarded: path and query, without the rest of an absolute target.",
    "http-request set-uri %[pathq] if { path -m beg / }",
    `http-request set-var(${OWN.path}) path,bytes(0,${LOGGED_PATH})`,
  ];
}

/** What nobody can judge, because two readers would read two things. CONNECT and `OPTIONS *` have no path. */
function unfitRequests({ uses }: RenderInput): readonly string[] {
  const kinds = sentKinds(uses);
  const counts = [
    ...kinds.flatMap(({ count = [] }) => count),
    "req.hdr_cnt(host)",
    ...uses.requestHeaders.map((name) => `req.fhdr_cnt(${name})`),
  ];
  const unfit = `!{ var(${OWN.fit}) -m bool }`;
  return [
    "# 400: a header that is judged came twice, there is no path to judge, or a token is where logs and traces have it.",
    "acl countersign_html req.fhdr(accept) -m beg -i text/html",
    ...[...new Set(counts)].map((sample) => `acl countersign_duplicate ${sample} gt 1`),
    ...kinds.flatMap(({ ambiguous = [] }) => ambiguous).map((criterion) => `acl countersign_duplicate ${criterion}`),
    "acl countersign_told url_param(access_token) -m found",
    `http-request set-var(${OWN.fit}) bool(true) if !countersign_duplicate !countersign_told { path -m beg / }`,
    own("path-ambiguous", unfit),
    own("credential-in-query", `${unfit} countersign_told`),
    own("duplicate", `${unfit} countersign_duplicate`),
    ...deny(400, unfit),
    ...beside(uses),
  ];
}

/** Whoever reaches the bind for meshed clients without its proxy is nobody, whatever else it shows. */
function beside(uses: RenderInput["uses"]): readonly string[] {
  return readsMesh(uses) ? [own("mesh-bypassed", BESIDE_MESH), ...deny(403, BESIDE_MESH)] : [];
}

/** Only one thing remains of Connection and Upgrade: a WebSocket's. */
function connectionHeaders(): readonly string[] {
  return [
    "# Connection could name an identity header, which the next hop would then delete; another Upgrade than a",
    "# WebSocket's would be a tunnel without verdicts.",
    `http-request set-var(${OWN.websocket}) bool(true) if { req.hdr(upgrade) -m str -i websocket } { req.hdr(connection) -m str -i upgrade }`,
    "http-request del-header upgrade",
    "http-request del-header connection",
    `http-request set-header upgrade websocket if { var(${OWN.websocket}) -m bool }`,
    `http-request set-header connection upgrade if { var(${OWN.websocket}) -m bool }`,
  ];
}

/** Bytes of a form, as the agent takes it; a buffer of HAProxy's has room for that and a head. */
const LARGEST_FORM = 10_240;

/** What is no backend's: the only requests that pass without a verdict, and they lead to the agent alone. */
function ownPages({ webAddress }: RenderInput): readonly string[] {
  if (webAddress === undefined) return [];
  const form = `${WEB} { method POST } { path -m beg ${BACKCHANNEL_PATH} }`;
  return [
    "# The agent's own pages are for whoever asks, and lead nowhere else; a body is passed on once all of it is there.",
    `http-request set-var(${OWN.web}) bool(true) if { path -m beg ${WEB_PATH} }`,
    `http-request deny deny_status 413 if ${form} !{ req.hdr_val(content-length) le ${LARGEST_FORM} }`,
    `http-request wait-for-body time 5s if ${form}`,
    `http-request set-var(${OWN.form}) req.body_len if ${form}`,
    `http-request deny deny_status 413 if ${form} !{ req.body_size,sub(${OWN.form}) eq 0 }`,
    `http-request set-var(${OWN.verdict}) str(none) if ${WEB}`,
    `http-request allow if ${WEB}`,
    "",
  ];
}

/** What stands beside the cookie of a session, for the agent to be told as one value with it. */
function sessionParts({ uses }: RenderInput): readonly string[] {
  const names = sessionCookies(sentKinds(uses).map(({ name }) => name));
  return names.flatMap((name) =>
    (["more", "seen"] as const).map((part) => `http-request set-var(${sessionPart(part)}) req.cook(${name}-${part})`),
  );
}

/** Whoever is let in by a session is told that it was seen, now and then: by that the agent knows how long it was idle. */
function sessionSeen({ uses }: RenderInput): readonly string[] {
  const names = sessionCookies(sentKinds(uses).map(({ name }) => name));
  const seen = inTransaction("seen");
  const told = `if { var(${OWN.verdict}) -m str allow } { var(${seen}) -m found }`;
  return names.flatMap((name) => [
    `http-after-response add-header set-cookie "${name}-seen=%[var(${seen})]; ${COOKIE}" ${told}`,
    `http-after-response add-header cache-control private ${told}`,
  ]);
}

/** Of a cookie with `__Host-` (RFC 6265bis, section 4.1.3.2). `Lax`: a link in a mail leads to who has logged in. */
const COOKIE = "Path=/; Secure; HttpOnly; SameSite=Lax";

/** The gate: one variable that nobody but this rule sets, only ever to `allow`. */
function verdict({ version }: RenderInput): readonly string[] {
  return [
    "# Who is this, and may they? A request passes on the one word `allow`, said for this very request (its id came",
    "# back), without an error, towards a backend that is there. Everything else is refused.",
    `http-request send-spoe-group ${ENGINE} ${MESSAGE}`,
    `acl countersign_bound var(${OWN.id}),strcmp(${ANSWERED_ID}) eq 0`,
    `acl countersign_there var(${BACKEND}),nbsrv gt 0`,
    // A HAProxy that is stopping, as the old one of a reload, then counts no servers, and has them.
    ...before(version, 3, 0, "acl countersign_there stopping"),
    `http-request set-var(${OWN.verdict}) str(allow) if countersign_bound { var(${VERDICT}) -m str allow } !{ var(txn.${VARIABLE_PREFIX}.error) -m found } countersign_there`,
    `acl countersign_allowed var(${OWN.verdict}) -m str allow`,
  ];
}

/** The answers, by the agent's status where its answer is for this request; the last rule needs no reason to refuse. */
function refusals({ uses }: RenderInput): readonly string[] {
  const nonces = takesDpop(uses);
  const answered = `{ var(${VERDICT}) -m str allow deny login }`;
  return [
    own("backend-unavailable", `${REFUSED} { var(${VERDICT}) -m str allow }`),
    own("verdict-unbound", `${REFUSED} !countersign_bound or ${REFUSED} !${answered}`),
    own(
      "agent-unavailable",
      `${REFUSED} !{ var(${ANSWERED_ID}) -m found } or ${REFUSED} { var(txn.${VARIABLE_PREFIX}.error) -m found }`,
    ),
    ...deny(400, `${REFUSED} { var(${STATUS}) -m int 400 } countersign_bound`),
    ...login(uses, nonces),
    ...deny(401, `${REFUSED} { var(${STATUS}) -m int 401 } countersign_bound`, nonces),
    ...deny(403, `${REFUSED} { var(${STATUS}) -m int 403 } countersign_bound`, nonces),
    ...deny(503, REFUSED),
  ];
}

/** Longest path with query that somebody is sent back to after a login, in characters. */
const LONGEST_RETURN = 1024;

/**
 * A page that somebody's browser wants to show becomes a login; all else is told where that would be. A redirect loses
 * the form of a POST, breaks a frame, and says nothing to a script.
 */
function login(uses: RenderInput["uses"], nonces: boolean): readonly string[] {
  if (sessionCookies(sentKinds(uses).map(({ name }) => name)).length === 0) return [];
  const offered = `${REFUSED} countersign_bound countersign_login`;
  const shows = `${offered} { method GET HEAD } !{ var(${OWN.websocket}) -m bool } !{ req.fhdr(authorization) -m found } !{ req.fhdr(sec-purpose) -m found }`;
  const told = "{ req.fhdr(sec-fetch-mode) -m str navigate } { req.fhdr(sec-fetch-dest) -m str document }";
  const untold = `!{ req.fhdr(sec-fetch-mode) -m found } !{ req.fhdr(sec-fetch-dest) -m found } !{ req.fhdr(x-requested-with) -m found } { req.fhdr(accept) -m sub -i text/html }`;
  const navigation = `${offered} { var(${OWN.navigation}) -m bool }`;
  const step = inTransaction("step");
  const redirect = (to: string) => `http-request return status 303 hdr location "${to}" hdr cache-control no-store`;
  return [
    "# A login would help: a browser that wants to show a page is sent there, and comes back to the same path.",
    `acl countersign_login var(${VERDICT}) -m str login`,
    ...[told, untold].map((how) => `http-request set-var(${OWN.navigation}) bool(true) if ${shows} ${how}`),
    `http-request set-var(${OWN.step}) str(?step=),concat(,${step}) if ${offered} { var(${step}) -m found }`,
    `${redirect(`${LOGIN_PATH}?rt=%[pathq,url_enc]&step=%[var(${step})]`)} if ${navigation} { pathq,length le ${LONGEST_RETURN} } { var(${step}) -m found }`,
    `${redirect(`${LOGIN_PATH}?rt=%[pathq,url_enc]`)} if ${navigation} { pathq,length le ${LONGEST_RETURN} }`,
    `${redirect(`${LOGIN_PATH}%[var(${OWN.step})]`)} if ${navigation}`,
    ...deny(401, offered, nonces, true),
  ];
}

function passedOn({ scheme, uses, webAddress, backendVariables = [] }: RenderInput): readonly string[] {
  const headers = uses.identityHeaders.map(({ name }, index) => setHeader(name, headerVariable(index + 1)));
  const own = backendVariables.map((name) => setHeader(backendHeader(name)?.name ?? "", name));
  const strips = sentKinds(uses).flatMap(({ strip = [], argument, proves = argument }) =>
    strip.map((each) => stripRule(each, proves)),
  );
  return [
    "# Allowed: who it is, once, and no credential but the one that has proven it, where the policy forwards that.",
    ...new Set(strips),
    "http-request set-header x-forwarded-for %[src]",
    `http-request set-header x-forwarded-proto ${scheme}`,
    ...own,
    ...headers,
    ...(takesDpop(uses) ? [NONCE_TOLD] : []),
    ...(webAddress === undefined ? [] : [`use_backend ${WEB_BACKEND} if ${WEB}`]),
    `use_backend %[var(${BACKEND})]`,
  ];
}

/** Before the one it used has ended, the client is told the next (RFC 9449, section 8.2). */
const NONCE_TOLD = `http-response set-header dpop-nonce %[var(${inTransaction("nonce")})] if { var(${inTransaction("nonce")}) -m found }`;

function takesDpop({ credentials }: RenderInput["uses"]): boolean {
  return credentials.includes("dpop");
}

function setHeader(name: string, from: Parameters<typeof inTransaction>[0]): string {
  const variable = inTransaction(from);
  return `http-request set-header ${name} %[var(${variable})] if { var(${variable}) -m found }`;
}

/** A reason of HAProxy's own takes the place of the agent's. */
function own(reason: OwnReason, condition: string): string {
  return `http-request set-var(${REASON}) str(${reason}) if ${condition}`;
}

/** @param argument of the kind whose credential it strips */
function stripRule({ action, condition }: Strip, argument: string): string {
  const forwarded = `{ var(${inTransaction("forward")}) -m str ${argument} ${ALL_CREDENTIALS} }`;
  return `http-request ${action} ${condition === undefined ? "unless " : `if ${condition} !`}${forwarded}`;
}

function deny(status: 400 | 401 | 403 | 503, condition: string, nonces = false, login = false): readonly string[] {
  return [
    `http-request deny ${errorAnswer(status, "html", nonces, login)} if ${condition} countersign_html`,
    `http-request deny ${errorAnswer(status, "json", nonces, login)} if ${condition}`,
  ];
}
