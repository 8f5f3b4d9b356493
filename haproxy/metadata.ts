import { chunks } from "./chunks.ts";
import type { Metadata, RenderInput } from "./input.ts";
import { OWN } from "./variables.ts";

/** Readers may keep it so long; a change of what it says is rare, and a token from the old place still one. */
const KEPT = 'cache-control "public, max-age=300"';
/** It is the same for all, and a page may read it without a credential (Fetch, section 3.3). */
const FOR_ALL = "hdr access-control-allow-origin *";
const PREFLIGHT = [
  FOR_ALL,
  'hdr access-control-allow-methods "GET, HEAD"',
  // `*` stands for all but this one.
  'hdr access-control-allow-headers "authorization, *"',
  "hdr access-control-max-age 86400",
].join(" ");
const NOT_FOUND = `status 404 content-type application/problem+json hdr cache-control no-store ${FOR_ALL} string '{"type":"about:blank","title":"Not Found","status":404}'`;

const METADATA_PATH = "/.well-known/oauth-protected-resource";
const HOST = "req.fhdr(host),host_only -m str -i";

/**
 * What HAProxy itself tells OAuth clients: a client that cannot read where to get a token takes this host for the
 * authorization server, and says that registration failed. So it needs neither a verdict nor a living agent, and is
 * never asked for a credential.
 */
export function metadataRules({ metadata }: RenderInput): readonly string[] {
  if (metadata === undefined || metadata.documents.length === 0) return [];
  const absent = absentWhere(metadata);
  const either = ["countersign_metadata countersign_resource", ...absent.map(({ condition }) => condition)].join(
    " or ",
  );
  return [
    "# Where clients get tokens (RFC 9728) is told here, without a verdict and a living agent; and that nobody here is",
    "# an authorization server.",
    `acl countersign_metadata path -m str ${METADATA_PATH}`,
    `acl countersign_metadata path -m beg ${METADATA_PATH}/`,
    ...chunks([...new Set(metadata.documents.map(({ host }) => host))]).map(
      (some) => `acl countersign_resource ${HOST} ${some}`,
    ),
    ...absent.flatMap(({ acls }) => acls),
    `http-request set-var(${OWN.verdict}) str(none) if ${either}`,
    `http-request return status 200 ${PREFLIGHT} if countersign_metadata countersign_resource METH_OPTIONS`,
    ...metadata.documents.map(
      ({ host, path, body }) =>
        `http-request return status 200 content-type application/json hdr ${KEPT} ${FOR_ALL} string '${body}' if countersign_metadata METH_GET { path -m str '${path}' } { ${HOST} ${host} }`,
    ),
    `http-request return ${NOT_FOUND} if ${either}`,
    "",
  ];
}

/** Where clients look next that could not read it, or do not know of it. */
function absentWhere({ serverless, closed }: Metadata): readonly { acls: readonly string[]; condition: string }[] {
  return [
    {
      hosts: serverless,
      acl: "countersign_serverless",
      where: "{ path -m beg /.well-known/oauth-authorization-server /.well-known/openid-configuration }",
    },
    { hosts: closed, acl: "countersign_closed", where: "{ path -m str /register } METH_POST" },
  ].flatMap(({ hosts, acl, where }) =>
    hosts.length === 0
      ? []
      : [{ acls: chunks(hosts).map((some) => `acl ${acl} ${HOST} ${some}`), condition: `${where} ${acl}` }],
  );
}
