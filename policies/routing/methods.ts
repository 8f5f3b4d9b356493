import type { TextFault } from "../fault.ts";
import { nearest } from "../source/validate.ts";

/** RFC 9110 and 5789, the registered ones of WebDAV and its kin, and what UPnP and caches have besides. */
const METHODS: readonly string[] = [
  ..."GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY LINK UNLINK".split(" "),
  ..."PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK ACL SEARCH REPORT ORDERPATCH".split(" "),
  ..."BIND REBIND UNBIND MKCALENDAR MKREDIRECTREF UPDATEREDIRECTREF MKACTIVITY MKWORKSPACE".split(" "),
  ..."VERSION-CONTROL BASELINE-CONTROL CHECKIN CHECKOUT UNCHECKOUT LABEL MERGE UPDATE".split(" "),
  ..."M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PURGE".split(" "),
];

// RFC 9110, section 5.6.2: token, in upper case.
const TOKEN = /^[!#$%&'+\-.^_`~\dA-Z]+$/;

/**
 * Why a pattern cannot name a method: nobody would ask by one that is misspelt, and a broader pattern would let the
 * requests in. Methods are case-sensitive, and a lower-case one is nearly always a mistake.
 */
export function methodFault(method: string): Omit<TextFault, "offset"> | undefined {
  if (METHODS.includes(method)) return undefined;
  if (method === "") return { found: "no method", right: "a method such as GET, or `*` alone for any" };
  if (method === "ANY" || method === "ALL")
    return { found: `${method} for a method, which is one of that name`, right: "`*` alone for any" };
  const upper = method.toUpperCase();
  if (METHODS.includes(upper))
    return { found: `the method ${method} in lower case`, right: `methods are case-sensitive: ${upper}` };
  if (!TOKEN.test(upper))
    return { found: `\`${method}\` for a method`, right: "methods such as GET|PUT, or `*` alone for any" };
  const near = nearest(method, METHODS);
  const own = `for one of your own \`*\`, and \`when: request.method == "${method}"\``;
  const right = near === undefined ? `one that is registered; ${own}` : `did you mean ${near}? Else ${own}`;
  return { found: `the method ${method}, which is not known`, right };
}
