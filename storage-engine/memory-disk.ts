/**
 * The Disk as the simulator's: files in memory behind a model of the page cache. What was written
 * but not synced may be there, gone, or torn by sectors after `crash`; what was created, renamed or
 * removed is undone unless its directory was synced (each directory keeps a prefix of its changes,
 * as a journal does). A sync that fails drops what it covered for good, as Linux does.
 */
import type { Random } from '../core/clock.ts';
import { EMPTY } from '../core/bytes.ts';
import { toParleyError, type ParleyError } from '../core/errors.ts';
import { invariant } from '../core/invariant.ts';
import type { Disk, DiskFile, DiskSpace } from './contract.ts';
import { diskError, storageError } from './storage-error.ts';

/** What a simulation does to the calls. Hooks may throw DiskFault to fail one, or move a virtual clock. */
export interface DiskFaults {
  beforeRead?(path: string): void;
  beforeWrite?(path: string, bytes: number): void;
  beforeSync?(path: string): void;
  beforeRemove?(path: string): void;
}

/** An error of the operating system, made by a simulation: EIO, ENOSPC. */
export class DiskFault extends Error {
  readonly code: string;
  constructor(code: string) {
    super(`injected ${code}`);
    this.name = 'DiskFault';
    this.code = code;
  }
}

const SECTOR_BYTES = 512;

type Change =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly bytes: number };

interface Inode {
  /** What readers see. */
  cached: Uint8Array;
  /** What is on the medium. */
  durable: Uint8Array;
  pending: Change[];
}

type NameChange =
  | { readonly kind: 'set'; readonly name: string; readonly inode: Inode }
  | { readonly kind: 'move'; readonly from: string; readonly to: string; readonly inode: Inode }
  | { readonly kind: 'remove'; readonly name: string };

interface Directory {
  cached: Map<string, Inode>;
  durable: Map<string, Inode>;
  pending: NameChange[];
}

export class MemoryDisk implements Disk {
  readonly #directories = new Map<string, Directory>();
  readonly #random: Random;
  /** May be changed while in use: a disk that fills up, and one that has room again. */
  capacityBytes: number;
  /** Rises with every crash; handles of an earlier life are dead. */
  #life = 0;
  faults: DiskFaults = {};
  /** Of this life's first discard that failed: nothing behind it is discarded. */
  #discardFailure: ParleyError | undefined;

  constructor(options: { readonly random: Random; readonly capacityBytes?: number }) {
    this.#random = options.random;
    this.capacityBytes = options.capacityBytes ?? 2 ** 40;
  }

  open(path: string, options: { readonly create?: boolean } = {}): DiskFile {
    const { directory, name } = this.#place(path);
    let inode = directory.cached.get(name);
    if (options.create === true) {
      if (inode !== undefined) throw diskError('open', path, new DiskFault('EEXIST'));
      inode = { cached: new Uint8Array(0), durable: new Uint8Array(0), pending: [] };
      directory.cached.set(name, inode);
      directory.pending.push({ kind: 'set', name, inode });
    }
    if (inode === undefined) throw diskError('open', path, new DiskFault('ENOENT'));
    const life = this.#life;
    return new MemoryFile(this, path, inode, () => life === this.#life);
  }

  list(directory: string): string[] {
    return [...(this.#directories.get(directory)?.cached.keys() ?? [])].sort();
  }

  sizeOf(path: string): number | undefined {
    const { directory, name } = this.#place(path);
    return directory.cached.get(name)?.cached.length;
  }

  makeDirectory(directory: string): void {
    this.#directory(directory);
  }

  rename(from: string, to: string): void {
    const source = this.#place(from);
    const target = this.#place(to);
    invariant(source.directory === target.directory, 'memory-disk.rename-in-one-directory');
    const inode = source.directory.cached.get(source.name);
    if (inode === undefined) throw diskError('rename', from, new DiskFault('ENOENT'));
    source.directory.cached.delete(source.name);
    source.directory.cached.set(target.name, inode);
    source.directory.pending.push({ kind: 'move', from: source.name, to: target.name, inode });
  }

  remove(path: string): void {
    this.#check('remove', path, () => this.faults.beforeRemove?.(path));
    const { directory, name } = this.#place(path);
    if (directory.cached.delete(name)) directory.pending.push({ kind: 'remove', name });
  }

  // Async, so that what fails rejects.
  // oxlint-disable-next-line typescript/require-await
  async discard(path: string): Promise<void> {
    if (this.#discardFailure !== undefined) throw this.#discardFailure;
    try {
      this.remove(path);
    } catch (thrown) {
      this.#discardFailure = toParleyError(thrown);
      throw thrown;
    }
  }

  syncDirectory(path: string): void {
    this.#check('fsync', path, () => this.faults.beforeSync?.(path));
    const directory = this.#directory(path);
    for (const change of directory.pending) applyName(directory.durable, change);
    directory.pending = [];
  }

  space(): DiskSpace {
    let used = 0;
    for (const directory of this.#directories.values())
      for (const inode of directory.cached.values()) used += inode.cached.length;
    return {
      freeBytes: Math.max(0, this.capacityBytes - used),
      totalBytes: this.capacityBytes,
    };
  }

  async prepare(
    path: string,
    bytes: number,
    piece: (left: number) => Promise<number>,
  ): Promise<void> {
    const life = this.#life;
    this.#check('prepare', path, () => this.faults.beforeWrite?.(path, bytes));
    const { directory, name } = this.#place(path);
    const temporary = `${name}.tmp`;
    const zeros = new Uint8Array(bytes);
    const inode: Inode = { cached: EMPTY, durable: EMPTY, pending: [] };
    directory.cached.set(temporary, inode);
    directory.pending.push({ kind: 'set', name: temporary, inode });
    for (let at = 0; at < bytes; ) {
      const next = await piece(bytes - at);
      invariant(next >= 1 && next <= bytes - at, 'disk.piece-of-what-is-left', { next });
      // What a dead process had in hand changes nothing any more.
      if (life !== this.#life) return;
      this.mustHaveSpace(path, next);
      at += next;
      inode.cached = zeros.subarray(0, at);
    }
    inode.durable = inode.cached.slice();
    this.rename(`${path}.tmp`, path);
    for (const change of directory.pending) applyName(directory.durable, change);
    directory.pending = [];
  }

  /** Cuts the power. All handles are dead; what was not synced is anything between there and gone. */
  crash(): void {
    this.kill();
    for (const directory of this.#directories.values()) {
      const kept = Math.floor(this.#random.unit() * (directory.pending.length + 1));
      for (const change of directory.pending.slice(0, kept)) applyName(directory.durable, change);
      directory.pending = [];
      directory.cached = new Map(directory.durable);
      for (const inode of directory.cached.values()) this.#settle(inode);
    }
  }

  /** Kills the process only: the page cache survives, the handles do not. */
  kill(): void {
    this.#life++;
    this.#discardFailure = undefined;
  }

  /** Changes bytes on the medium behind everybody's back: a rotten sector. */
  damage(path: string, change: (bytes: Uint8Array) => void): void {
    const { directory, name } = this.#place(path);
    const inode = directory.cached.get(name);
    invariant(inode !== undefined, 'memory-disk.damaged-file-exists', { path });
    change(inode.cached);
    inode.durable = inode.cached.slice();
    inode.pending = [];
  }

  /** For MemoryFile. */
  syncInode(path: string, inode: Inode): void {
    try {
      this.faults.beforeSync?.(path);
    } catch (thrown) {
      // The kernel marks the pages clean: a later sync says ok and covers nothing of this.
      inode.pending = inode.pending.filter(() => this.#random.unit() < 0.5);
      for (const change of inode.pending) inode.durable = applyChange(inode.durable, change);
      inode.pending = [];
      throw diskError('fdatasync', path, thrown);
    }
    for (const change of inode.pending) inode.durable = applyChange(inode.durable, change);
    inode.pending = [];
  }

  /** For MemoryFile. */
  mustHaveSpace(path: string, bytes: number): void {
    if (bytes > 0 && this.space().freeBytes < bytes)
      throw diskError('write', path, new DiskFault('ENOSPC'));
  }

  #settle(inode: Inode): void {
    for (const change of inode.pending) {
      const fate = this.#random.unit();
      if (fate < 0.35) continue;
      if (fate < 0.7 || change.kind === 'truncate')
        inode.durable = applyChange(inode.durable, change);
      else inode.durable = this.#tear(inode.durable, change.offset, change.bytes);
    }
    inode.pending = [];
    inode.cached = inode.durable.slice();
  }

  /** Some sectors of a write reach the medium, others keep what was there. */
  #tear(durable: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
    let torn = durable;
    let at = 0;
    while (at < bytes.length) {
      const sectorEnd = Math.floor((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
      const end = Math.min(bytes.length, sectorEnd);
      if (this.#random.unit() < 0.5)
        torn = applyChange(torn, {
          kind: 'write',
          offset: offset + at,
          bytes: bytes.subarray(at, end),
        });
      at = end;
    }
    return torn;
  }

  #check(operation: string, path: string, hook: () => void): void {
    try {
      hook();
    } catch (thrown) {
      throw diskError(operation, path, thrown);
    }
  }

  #place(path: string): { readonly directory: Directory; readonly name: string } {
    const slash = path.lastIndexOf('/');
    const parent = slash < 0 ? '' : path.slice(0, slash);
    return { directory: this.#directory(parent), name: path.slice(slash + 1) };
  }

  // Directories themselves are durable at once. LIMIT: losing a whole new directory is not modelled.
  #directory(path: string): Directory {
    let directory = this.#directories.get(path);
    if (directory === undefined) {
      directory = { cached: new Map(), durable: new Map(), pending: [] };
      this.#directories.set(path, directory);
    }
    return directory;
  }
}

class MemoryFile implements DiskFile {
  readonly #disk: MemoryDisk;
  readonly #path: string;
  readonly #inode: Inode;
  readonly #isAlive: () => boolean;
  #isOpen = true;

  constructor(disk: MemoryDisk, path: string, inode: Inode, isAlive: () => boolean) {
    this.#disk = disk;
    this.#path = path;
    this.#inode = inode;
    this.#isAlive = isAlive;
  }

  size(): number {
    this.#mustBeOpen();
    return this.#inode.cached.length;
  }

  read(offset: number, into: Uint8Array): number {
    this.#mustBeOpen();
    this.#hook('read', () => this.#disk.faults.beforeRead?.(this.#path));
    const part = this.#inode.cached.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  write(offset: number, parts: readonly Uint8Array[]): void {
    this.#mustBeOpen();
    let length = 0;
    for (const part of parts) length += part.length;
    if (length === 0) return;
    this.#hook('write', () => this.#disk.faults.beforeWrite?.(this.#path, length));
    this.#disk.mustHaveSpace(this.#path, offset + length - this.#inode.cached.length);
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    this.#change({ kind: 'write', offset, bytes });
  }

  sync(): void {
    this.#mustBeOpen();
    this.#disk.syncInode(this.#path, this.#inode);
  }

  truncate(bytes: number): void {
    this.#mustBeOpen();
    this.#change({ kind: 'truncate', bytes });
  }

  close(): void {
    this.#mustBeOpen();
    this.#isOpen = false;
  }

  #change(change: Change): void {
    this.#inode.pending.push(change);
    this.#inode.cached = applyChange(this.#inode.cached, change);
  }

  #hook(operation: string, run: () => void): void {
    try {
      run();
    } catch (thrown) {
      throw diskError(operation, this.#path, thrown);
    }
  }

  #mustBeOpen(): void {
    invariant(this.#isOpen, 'disk.file-open');
    // A process that died cannot write: late calls of a simulated one are refused.
    if (!this.#isAlive())
      throw storageError('closed', 'this process has crashed', { path: this.#path });
  }
}

function applyName(names: Map<string, Inode>, change: NameChange): void {
  switch (change.kind) {
    case 'set':
      names.set(change.name, change.inode);
      return;
    case 'move':
      names.delete(change.from);
      names.set(change.to, change.inode);
      return;
    case 'remove':
      names.delete(change.name);
      return;
  }
}

/** In place where the size allows; a grown or shortened file is a new array. */
function applyChange(bytes: Uint8Array, change: Change): Uint8Array {
  if (change.kind === 'truncate') {
    const cut = new Uint8Array(change.bytes);
    cut.set(bytes.subarray(0, change.bytes));
    return cut;
  }
  const end = change.offset + change.bytes.length;
  let target = bytes;
  if (end > bytes.length) {
    target = new Uint8Array(end);
    target.set(bytes);
  }
  target.set(change.bytes, change.offset);
  return target;
}
