import { SPOP_ERRORS } from "../../protocol/errors.ts";
import { TLS_REFUSALS } from "./tls-door.ts";

/** Why a connection of HAProxy's was ended or not let in: every code that is counted and logged. */
export const ERROR_CODES: readonly string[] = [...Object.keys(SPOP_ERRORS), ...TLS_REFUSALS];
