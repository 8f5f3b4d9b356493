/** A fetch or a converter: its name and its arguments. */
export interface Call {
  readonly name: string;
  readonly values: readonly string[];
}

/** A sample expression: one fetch, then converters. */
export interface Sample {
  readonly text: string;
  readonly calls: readonly Call[];
}

const NAME = /^[A-Za-z0-9_.:-]+/;

/** Reads a sample expression; `undefined` for what is none. */
export function sampleOf(text: string): Sample | undefined {
  const calls: Call[] = [];
  for (let rest = text; ; ) {
    const name = NAME.exec(rest)?.[0];
    if (name === undefined) return undefined;
    rest = rest.slice(name.length);
    const values = rest.startsWith("(") ? valuesOf(rest) : undefined;
    if (rest.startsWith("(") && values === undefined) return undefined;
    rest = rest.slice(values?.length ?? 0);
    calls.push({ name, values: values?.list ?? [] });
    if (rest === "") return { text, calls };
    if (!rest.startsWith(",")) return undefined;
    rest = rest.slice(1);
    if (rest === "") return { text, calls };
  }
}

/** `(a,"b,c")`, and how long it is; undefined where it does not end. */
function valuesOf(text: string): { readonly list: readonly string[]; readonly length: number } | undefined {
  const list: string[] = [];
  let value = "";
  let quote: string | undefined;
  for (let index = 1; index < text.length; index++) {
    const sign = text[index] ?? "";
    if (quote !== undefined) {
      if (sign === quote) quote = undefined;
      else if (sign === "\\" && quote === '"') value += text[++index] ?? "";
      else value += sign;
    } else if (sign === '"' || sign === "'") quote = sign;
    else if (sign === "\\") value += text[++index] ?? "";
    else if (sign === ",") {
      list.push(value);
      value = "";
    } else if (sign === ")")
      return { list: value === "" && list.length === 0 ? [] : [...list, value], length: index + 1 };
    else value += sign;
  }
  return undefined;
}

/** The sample expressions in a log-format text, `%[…]`. */
export function samplesIn(format: string): readonly Sample[] {
  const samples: Sample[] = [];
  for (const { index, 0: opening } of format.matchAll(/%(?:\{[^}]*\})?\[/g)) {
    const start = index + opening.length;
    const end = closing(format, start);
    const sample = end === undefined ? undefined : sampleOf(format.slice(start, end));
    if (sample !== undefined) samples.push(sample);
  }
  return samples;
}

/** Where the bracket closes: one within parentheses or quotes is part of an argument. */
function closing(text: string, start: number): number | undefined {
  let depth = 0;
  let quote: string | undefined;
  for (let index = start; index < text.length; index++) {
    const sign = text[index] ?? "";
    if (quote !== undefined) quote = sign === quote ? undefined : quote;
    else if (sign === '"' || sign === "'") quote = sign;
    else if (sign === "(") depth++;
    else if (sign === ")") depth--;
    else if (sign === "]" && depth <= 0) return index;
  }
  return undefined;
}

const SCOPES = /^(?:proc|sess|txn|req|res|psess|ptxn|preq|pres|check)\.[A-Za-z0-9_.]+$/;

/** Whether an argument is a variable's name, scope and all. */
export function isVariable(text: string): boolean {
  return SCOPES.test(text);
}

/** The variables that evaluating it writes: by converter. */
export function writtenBy({ calls }: Sample): readonly string[] {
  return calls
    .slice(1)
    .filter(({ name }) => name === "set-var" || name === "unset-var")
    .map(({ values: [name = ""] }) => name);
}

/** The variables that it reads, in whatever argument they stand. */
export function readBy({ calls }: Sample): readonly string[] {
  return calls.flatMap(({ name, values }) =>
    name === "set-var" || name === "unset-var" ? [] : values.filter(isVariable),
  );
}

/** Whether something of it is a script of the reader's own, which may do anything. */
export function isScripted({ calls }: Sample): boolean {
  return calls.some(({ name }) => name.startsWith("lua."));
}
