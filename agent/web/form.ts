import type { IncomingMessage } from "node:http";

/** Bytes of a form at most. */
const LARGEST_FORM = 10 << 10;
/** Milliseconds until all of it is there. */
const FORM_LIMIT = 5_000;
/** Forms that are read at a time. HAProxy passes on whole ones only, which takes no time. */
const MOST_FORMS = 32;
const TYPE = "application/x-www-form-urlencoded";

let reading = 0;

/** Why a request has no form that is read, as the status of its refusal. */
export type NoForm = 400 | 408 | 411 | 413 | 415 | 503;

/** The form that a request brings as its body. Never rejects. */
export async function formOf(request: IncomingMessage): Promise<URLSearchParams | NoForm> {
  const { "content-type": type = "", "content-encoding": encoding, "content-length": length = "0" } = request.headers;
  if (type.split(";", 1)[0]?.trim().toLowerCase() !== TYPE || encoding !== undefined) return 415;
  if (request.headers["transfer-encoding"] !== undefined) return 411;
  if (Number(length) > LARGEST_FORM) return 413;
  if (reading >= MOST_FORMS) return 503;
  reading++;
  const body = await bodyOf(request);
  reading--;
  return typeof body === "number" ? body : parsed(body);
}

/** It has the length that its head says. */
function bodyOf(request: IncomingMessage): Promise<Buffer | NoForm> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const done = (outcome: Buffer | NoForm) => {
      clearTimeout(late);
      resolve(outcome);
    };
    const late = setTimeout(done, FORM_LIMIT, 408);
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.once("end", () => done(Buffer.concat(chunks)));
    request.once("error", () => done(400));
    request.once("close", () => done(400));
  });
}

/** Forms are UTF-8 (WHATWG URL, section 5.1); what is not can be read in two ways. */
function parsed(body: Buffer): URLSearchParams | NoForm {
  try {
    return new URLSearchParams(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return 400;
  }
}
