/**
 * The Disk on a real directory, by synchronous calls: it belongs to the sync thread, or to a start
 * that has nothing else to do. Only `prepare` and `discard` work in the background.
 */
import fs from 'node:fs';
import path from 'node:path';
import { invariant } from '../core/invariant.ts';
import type { Disk, DiskFile, DiskSpace } from './contract.ts';
import { diskError, errnoOf } from './storage-error.ts';

/** Written at once when a file is prepared. */
const PREPARE_SLICE_BYTES: number = 1 << 20;

export class NodeDisk implements Disk {
  readonly #root: string;
  /** Of everything discarded so far. */
  #discarded: Promise<void> = Promise.resolve();

  constructor(root: string) {
    this.#root = path.resolve(root);
  }

  open(name: string, options: { readonly create?: boolean } = {}): DiskFile {
    const full = this.#full(name);
    try {
      return new NodeFile(full, fs.openSync(full, options.create === true ? 'wx+' : 'r+', 0o600));
    } catch (thrown) {
      throw diskError('open', full, thrown);
    }
  }

  list(directory: string): string[] {
    const full = this.#full(directory);
    try {
      return fs.readdirSync(full).sort();
    } catch (thrown) {
      if (errnoOf(thrown) === 'ENOENT') return [];
      throw diskError('list', full, thrown);
    }
  }

  sizeOf(name: string): number | undefined {
    const full = this.#full(name);
    try {
      return fs.statSync(full, { throwIfNoEntry: false })?.size;
    } catch (thrown) {
      throw diskError('stat', full, thrown);
    }
  }

  makeDirectory(directory: string): void {
    const full = this.#full(directory);
    try {
      const first = fs.mkdirSync(full, { recursive: true, mode: 0o700 });
      // The new directory's own name must survive a power cut as well.
      if (first !== undefined) syncDirectoryAt(path.dirname(first));
    } catch (thrown) {
      throw diskError('mkdir', full, thrown);
    }
  }

  rename(from: string, to: string): void {
    const full = this.#full(from);
    try {
      fs.renameSync(full, this.#full(to));
    } catch (thrown) {
      throw diskError('rename', full, thrown);
    }
  }

  remove(name: string): void {
    const full = this.#full(name);
    try {
      fs.rmSync(full, { force: true });
    } catch (thrown) {
      throw diskError('remove', full, thrown);
    }
  }

  discard(name: string): Promise<void> {
    const full = this.#full(name);
    this.#discarded = this.#discarded.then(async () => {
      try {
        await fs.promises.rm(full, { force: true });
      } catch (thrown) {
        throw diskError('remove', full, thrown);
      }
    });
    return this.#discarded;
  }

  syncDirectory(directory: string): void {
    const full = this.#full(directory);
    try {
      syncDirectoryAt(full);
    } catch (thrown) {
      throw diskError('fsync', full, thrown);
    }
  }

  space(): DiskSpace {
    try {
      const { bavail, blocks, bsize } = fs.statfsSync(this.#root);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    } catch (thrown) {
      throw diskError('statfs', this.#root, thrown);
    }
  }

  async prepare(
    name: string,
    bytes: number,
    piece: (left: number) => Promise<number>,
  ): Promise<void> {
    const full = this.#full(name);
    const temporary = `${full}.tmp`;
    try {
      const handle = await fs.promises.open(temporary, 'w', 0o600);
      try {
        const zeros = new Uint8Array(Math.min(bytes, PREPARE_SLICE_BYTES));
        for (let at = 0; at < bytes; ) {
          const next = await piece(bytes - at);
          invariant(next >= 1 && next <= bytes - at, 'disk.piece-of-what-is-left', { next });
          const end = at + next;
          while (at < end)
            at += (await handle.write(zeros, 0, Math.min(zeros.length, end - at), at)).bytesWritten;
          await handle.datasync();
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      await fs.promises.rename(temporary, full);
      const directory = await fs.promises.open(path.dirname(full), 'r');
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
    } catch (thrown) {
      throw diskError('prepare', full, thrown);
    }
  }

  #full(name: string): string {
    invariant(!name.startsWith('/') && !name.includes('..'), 'disk.path-inside', { name });
    return path.join(this.#root, name);
  }
}

class NodeFile implements DiskFile {
  readonly #path: string;
  #descriptor: number;

  constructor(full: string, descriptor: number) {
    this.#path = full;
    this.#descriptor = descriptor;
  }

  size(): number {
    this.#mustBeOpen();
    try {
      return fs.fstatSync(this.#descriptor).size;
    } catch (thrown) {
      throw diskError('stat', this.#path, thrown);
    }
  }

  read(offset: number, into: Uint8Array): number {
    this.#mustBeOpen();
    try {
      let done = 0;
      while (done < into.length) {
        const count = fs.readSync(this.#descriptor, into, done, into.length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    } catch (thrown) {
      throw diskError('read', this.#path, thrown);
    }
  }

  write(offset: number, parts: readonly Uint8Array[]): void {
    this.#mustBeOpen();
    let bytes = 0;
    for (const part of parts) bytes += part.length;
    if (bytes === 0) return;
    try {
      const written = fs.writevSync(this.#descriptor, parts, offset);
      // A short write is rare (a full disk, a signal): what is left goes part by part.
      if (written < bytes) this.#writeRest(offset, parts, written);
    } catch (thrown) {
      throw diskError('write', this.#path, thrown);
    }
  }

  sync(): void {
    this.#mustBeOpen();
    try {
      fs.fdatasyncSync(this.#descriptor);
    } catch (thrown) {
      throw diskError('fdatasync', this.#path, thrown);
    }
  }

  truncate(bytes: number): void {
    this.#mustBeOpen();
    try {
      fs.ftruncateSync(this.#descriptor, bytes);
    } catch (thrown) {
      throw diskError('truncate', this.#path, thrown);
    }
  }

  close(): void {
    this.#mustBeOpen();
    const descriptor = this.#descriptor;
    this.#descriptor = -1;
    try {
      fs.closeSync(descriptor);
    } catch (thrown) {
      throw diskError('close', this.#path, thrown);
    }
  }

  #writeRest(offset: number, parts: readonly Uint8Array[], written: number): void {
    let at = offset;
    let skip = written;
    for (const part of parts) {
      let from = Math.min(skip, part.length);
      skip -= from;
      while (from < part.length) {
        from += fs.writeSync(this.#descriptor, part, from, part.length - from, at + from);
      }
      at += part.length;
    }
  }

  #mustBeOpen(): void {
    invariant(this.#descriptor >= 0, 'disk.file-open');
  }
}

function syncDirectoryAt(full: string): void {
  const descriptor = fs.openSync(full, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
