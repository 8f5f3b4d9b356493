import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, mkdtemp, open, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout } from "node:timers/promises";
import { createGunzip } from "node:zlib";
import { problemOf } from "../../config/files/read-file.ts";
import { EXIT } from "../../processes/exit.ts";
import { CommandError } from "../command.ts";

/** Bytes that are read at once. */
const PIECE = 1024 * 1024;
/** Milliseconds between two looks at a file that grows. */
const LOOK = 200;

/** The files of a log: itself, or all of a directory by name. `-` is standard input. @throws CommandError */
export async function filesOf(path: string): Promise<readonly string[]> {
  if (path === "-") return ["-"];
  const found = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (!found.isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.startsWith("."));
  return files.map(({ name }) => join(path, name)).sort();
}

/** Reads a file to its end; what is packed by gzip is unpacked, whatever it is called. @throws CommandError */
export async function readWhole(file: string, found: (chunk: Buffer) => void): Promise<void> {
  const source: Readable = file === "-" ? process.stdin : createReadStream(file, { highWaterMark: PIECE });
  try {
    const packed = file !== "-" && (await isPacked(file));
    const bytes = packed ? source.compose(createGunzip({ chunkSize: PIECE })) : source;
    for await (const chunk of bytes) found(chunk as Buffer);
  } catch (error) {
    // What reads it has told what is wrong.
    throw error instanceof CommandError ? error : unreadable(file, error);
  }
}

async function isPacked(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await handle.close();
  }
}

/** Copies standard input into a file, for who has to read it twice; `forget` removes it. */
export async function keepInput(): Promise<{ readonly file: string; forget(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-trace-"));
  const file = join(folder, "input");
  await pipeline(process.stdin, createWriteStream(file, { mode: 0o600 }));
  return { file, forget: () => rm(folder, { recursive: true }) };
}

/** Reads a file and what is appended to it, then the one that was put into its place, and so on. @throws CommandError */
export async function readOn(file: string, found: (chunk: Buffer) => void): Promise<never> {
  const piece = Buffer.alloc(PIECE);
  for (;;) {
    const handle = await open(file).catch((error: unknown) => {
      throw unreadable(file, error);
    });
    try {
      await readOpen(handle, file, piece, found);
    } finally {
      await handle.close();
    }
  }
}

/** Returns when another file has the name, and this one was read to its end. */
async function readOpen(handle: FileHandle, file: string, piece: Buffer, found: (chunk: Buffer) => void) {
  const { ino } = await handle.stat();
  let replaced = false;
  for (let at = 0; ; ) {
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    at += bytesRead;
    if (bytesRead > 0) found(piece.subarray(0, bytesRead));
    else if (replaced) return;
    else {
      const now = await stat(file).catch(() => undefined);
      // Between a rename and the next file there is none.
      replaced = now !== undefined && now.ino !== ino;
      if (now?.ino === ino && now.size < at) at = 0;
      if (!replaced) await setTimeout(LOOK);
    }
  }
}

function unreadable(file: string, error: unknown): CommandError {
  return new CommandError(`${file}: cannot be read: ${problemOf(error)}`, EXIT.noInput);
}
