/**
 * A user's directory, packed: which conversations he is in or left, by which row, and when his
 * account log learned of it. Disk formats, version 1; golden bytes guard them.
 *
 * Page 0 is the head:  0 u8 version   1 u8 revoked sessions   2 u16 0   4 u32 entries
 *                      8 u53 account sequence   16 revoked (24 each): session (16), u53 account sequence
 * Pages 1… hold 256 entries each:  0 u8 version   1 u8 0   2 u16 entries   4 u32 0
 *                      8 entries (32 each): conversation (16), u48 row, u48 account sequence, u8 open, 3 × 0
 *
 * Entries stay where they were appended, so one change rewrites one page and the head.
 *
 * LIMIT: an entry is found by search (30 µs among 10,000); memberships change rarely. Entries of
 * conversations that were left stay, because a repeated older join must still be known as older.
 */
import { readU53, viewOf, writeU53 } from '../../core/bytes.ts';
import { invariant } from '../../core/invariant.ts';
import type { DirectoryPage, DirectoryView } from './contract.ts';

export const DIRECTORY_VERSION = 1;
export const PAGE_ENTRIES = 256;
export const REVOKED_MAX = 64;
const ENTRY_BYTES = 32;
const PAGE_FIXED_BYTES = 8;
const HEAD_FIXED_BYTES = 16;
const REVOKED_BYTES = 24;
const ENTRIES_AT_FIRST = 8;
const HIGH = 2 ** 32;

export class Directory implements DirectoryView {
  #accountSequence = 0;
  #count = 0;
  #entries: Uint8Array = new Uint8Array(ENTRIES_AT_FIRST * ENTRY_BYTES);
  #view: DataView = viewOf(this.#entries);
  /** Oldest first. */
  #revoked: { readonly session: Uint8Array; readonly accountSequence: number }[] = [];

  /** Reads stored pages; none = a user of whom nothing is known yet. */
  static of(pages: readonly DirectoryPage[]): Directory {
    const directory = new Directory();
    const head = pages.find((page) => page.page === 0);
    if (head === undefined) {
      invariant(pages.length === 0, 'directory.pages-have-a-head', { pages: pages.length });
      return directory;
    }
    directory.#readHead(head.value);
    const wanted = directory.#count;
    directory.#count = 0;
    const rest = pages.filter((page) => page.page > 0).sort((a, b) => a.page - b.page);
    for (const [i, page] of rest.entries()) {
      invariant(page.page === i + 1, 'directory.pages-dense', { page: page.page, i });
      directory.#readPage(page.value);
    }
    invariant(directory.#count === wanted, 'directory.all-entries-there', {
      wanted,
      found: directory.#count,
    });
    return directory;
  }

  get accountSequence(): number {
    return this.#accountSequence;
  }

  /**
   * Folds a join or leave; the highest row wins and repeats change nothing. Returns the page that
   * changed (beside the head), or undefined if nothing did.
   */
  fold(conversation: Uint8Array, sequence: number, joined: boolean): number | undefined {
    const found = this.#find(conversation);
    if (found >= 0 && this.#sequenceAt(found) >= sequence) return undefined;
    this.#accountSequence += 1;
    const entry = found >= 0 ? found : this.#append(conversation);
    const at = entry * ENTRY_BYTES;
    this.#writeU48(at + 16, sequence);
    this.#writeU48(at + 22, this.#accountSequence);
    this.#entries[at + 28] = joined ? 1 : 0;
    return Math.floor(entry / PAGE_ENTRIES) + 1;
  }

  /** Remembers a revoked session; false = it was known. */
  revoke(session: Uint8Array): boolean {
    if (this.#revoked.some((known) => compareIds(known.session, 0, session) === 0)) return false;
    this.#accountSequence += 1;
    if (this.#revoked.length === REVOKED_MAX) this.#revoked.shift();
    this.#revoked.push({ session: session.slice(), accountSequence: this.#accountSequence });
    return true;
  }

  open(): Uint8Array {
    return this.#collect((isOpen) => isOpen);
  }

  leftSince(accountSequence: number): Uint8Array {
    return this.#collect((isOpen, changed) => !isOpen && changed > accountSequence);
  }

  joinedSince(accountSequence: number): Uint8Array {
    return this.#collect((isOpen, changed) => isOpen && changed > accountSequence);
  }

  revokedSessions(): Uint8Array {
    const ids = new Uint8Array(this.#revoked.length * 16);
    for (const [i, { session }] of this.#revoked.entries()) ids.set(session, i * 16);
    return ids;
  }

  /** Stored form of a page: a copy. */
  encode(page: number): Uint8Array {
    if (page === 0) return this.#encodeHead();
    const first = (page - 1) * PAGE_ENTRIES;
    const count = Math.min(this.#count - first, PAGE_ENTRIES);
    invariant(count > 0, 'directory.page-exists', { page });
    const bytes = new Uint8Array(PAGE_FIXED_BYTES + count * ENTRY_BYTES);
    bytes[0] = DIRECTORY_VERSION;
    viewOf(bytes).setUint16(2, count, true);
    const from = first * ENTRY_BYTES;
    bytes.set(this.#entries.subarray(from, from + count * ENTRY_BYTES), PAGE_FIXED_BYTES);
    return bytes;
  }

  #encodeHead(): Uint8Array {
    const bytes = new Uint8Array(HEAD_FIXED_BYTES + this.#revoked.length * REVOKED_BYTES);
    const view = viewOf(bytes);
    bytes[0] = DIRECTORY_VERSION;
    bytes[1] = this.#revoked.length;
    view.setUint32(4, this.#count, true);
    writeU53(view, 8, this.#accountSequence);
    for (const [i, revoked] of this.#revoked.entries()) {
      const at = HEAD_FIXED_BYTES + i * REVOKED_BYTES;
      bytes.set(revoked.session, at);
      writeU53(view, at + 16, revoked.accountSequence);
    }
    return bytes;
  }

  #readHead(value: Uint8Array): void {
    invariant(value[0] === DIRECTORY_VERSION, 'directory.version-known', {
      version: value[0] ?? 0,
    });
    const view = viewOf(value);
    const revoked = value[1] ?? 0;
    invariant(
      value.length === HEAD_FIXED_BYTES + revoked * REVOKED_BYTES && revoked <= REVOKED_MAX,
      'directory.head-length',
      { length: value.length, revoked },
    );
    this.#count = view.getUint32(4, true);
    this.#accountSequence = readU53(view, 8);
    for (let i = 0; i < revoked; i++) {
      const at = HEAD_FIXED_BYTES + i * REVOKED_BYTES;
      this.#revoked.push({
        session: value.slice(at, at + 16),
        accountSequence: readU53(view, at + 16),
      });
    }
  }

  #readPage(value: Uint8Array): void {
    invariant(value[0] === DIRECTORY_VERSION, 'directory.version-known', {
      version: value[0] ?? 0,
    });
    const count = viewOf(value).getUint16(2, true);
    invariant(
      value.length === PAGE_FIXED_BYTES + count * ENTRY_BYTES && count <= PAGE_ENTRIES,
      'directory.page-length',
      { length: value.length, count },
    );
    this.#room(this.#count + count);
    this.#entries.set(value.subarray(PAGE_FIXED_BYTES), this.#count * ENTRY_BYTES);
    this.#count += count;
  }

  #find(conversation: Uint8Array): number {
    for (let entry = 0; entry < this.#count; entry++)
      if (compareIds(this.#entries, entry * ENTRY_BYTES, conversation) === 0) return entry;
    return -1;
  }

  #append(conversation: Uint8Array): number {
    this.#room(this.#count + 1);
    this.#entries.set(conversation, this.#count * ENTRY_BYTES);
    this.#count += 1;
    return this.#count - 1;
  }

  #room(count: number): void {
    const bytes = count * ENTRY_BYTES;
    if (bytes <= this.#entries.length) return;
    const grown = new Uint8Array(Math.max(bytes, this.#entries.length * 2));
    grown.set(this.#entries);
    this.#entries = grown;
    this.#view = viewOf(grown);
  }

  #collect(wants: (isOpen: boolean, accountSequence: number) => boolean): Uint8Array {
    const ids = new Uint8Array(this.#count * 16);
    let used = 0;
    for (let entry = 0; entry < this.#count; entry++) {
      const at = entry * ENTRY_BYTES;
      if (!wants(this.#entries[at + 28] === 1, this.#readU48(at + 22))) continue;
      ids.set(this.#entries.subarray(at, at + 16), used);
      used += 16;
    }
    return ids.subarray(0, used);
  }

  #sequenceAt(entry: number): number {
    return this.#readU48(entry * ENTRY_BYTES + 16);
  }

  #readU48(at: number): number {
    return this.#view.getUint32(at, true) + this.#view.getUint16(at + 4, true) * HIGH;
  }

  #writeU48(at: number, value: number): void {
    invariant(value >= 0 && value < 2 ** 48, 'directory.u48-range', { value });
    this.#view.setUint32(at, value >>> 0, true);
    this.#view.setUint16(at + 4, Math.floor(value / HIGH), true);
  }
}

/** From the back: ids end in what differs most. */
function compareIds(bytes: Uint8Array, at: number, id: Uint8Array): number {
  for (let i = 15; i >= 0; i--) {
    const difference = (bytes[at + i] ?? 0) - (id[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
