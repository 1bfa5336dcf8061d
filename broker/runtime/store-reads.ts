/**
 * Reads for broker/service (contract.ts), in the store's own thread: views out of the machines,
 * loaded if need be; rows joined from tail, blocks and overlays; changes from the heads and, below
 * their floor, from headers.
 */
import type { Timer, Timers } from '../../core/clock.ts';
import { ParleyError } from '../../core/errors.ts';
import { BODY_KIND, ROW_FLAG, RowView } from '../../core/row.ts';
import type { AccountMachine, DirectoryView } from '../account/contract.ts';
import type { ConversationMachine, ConversationView } from '../conversation/contract.ts';
import type { Planner } from '../fanout/planner.ts';
import type { ShardMap } from '../placement/shard-map.ts';
import { extentOf, type BlockReads, type Extent } from './block-reads.ts';
import { bytesOf, type ChangedRows, type StandingRow, type StoreReads } from './contract.ts';
import type { Courier } from './courier.ts';
import { redactedRow, type Erasures } from './erasures.ts';
import type { Heads } from './heads.ts';
import type { Overlays, StoredOverlay } from './overlays.ts';
import { REFUSED } from './refusals.ts';
import type { Residency } from './residency.ts';
import type { Shard } from './shard.ts';

/** Rows read at once while looking for messages. */
const SCAN_ROWS_MAX = 128;
const SCAN_ROWS_MORE = 4;
/** A directory that the couriers cannot reach is read as it is: what is missing comes later. */
const TOLD_WAIT_MS_MAX = 3000;
const LATE = 'what was joined lately is not in the list of conversations yet; ask again';
const EMPTY: Uint8Array = new Uint8Array(0);

/** A shard as reads need it. */
export interface ReadableShard {
  readonly shard: Shard;
  readonly machine: ConversationMachine;
  readonly accounts: AccountMachine;
  readonly heads: Heads;
  readonly overlays: Overlays;
  readonly erasures: Erasures;
  readonly courier: Pick<Courier, 'told'>;
}

export interface LocalStoreReadsParts {
  readonly map: ShardMap;
  readonly shards: readonly ReadableShard[];
  readonly residency: Residency;
  readonly reads: BlockReads;
  readonly planner: Planner;
  readonly timers: Timers;
}

type RowRange = Parameters<StoreReads['rows']>[1];

interface Change {
  readonly target: number;
  readonly changeSequence: number;
}

export class LocalStoreReads implements StoreReads {
  readonly #parts: LocalStoreReadsParts;

  constructor(parts: LocalStoreReadsParts) {
    this.#parts = parts;
  }

  get shardCount(): number {
    return this.#parts.map.shards;
  }
  get epoch(): number {
    return this.#parts.shards[0]?.machine.settings.epoch ?? 0;
  }

  shardOf(raw: Uint8Array): number {
    return this.#parts.map.shardOf(raw);
  }

  readIndex(shard: number): Promise<number> {
    return this.#at(shard).shard.readIndex();
  }

  appliedIndex(shard: number): number {
    return this.#at(shard).shard.applied;
  }

  membersMax(raw: Uint8Array): number {
    return this.#of(raw).machine.settings.membersMax;
  }

  async conversation(raw: Uint8Array): Promise<ConversationView | undefined> {
    const { machine, shard } = this.#of(raw);
    while (!machine.isResident(raw)) await this.#load(machine, raw);
    this.#mustServe(shard);
    return machine.view(raw);
  }

  async conversations(
    raws: readonly Uint8Array[],
    each: (i: number, view: ConversationView | undefined) => void,
  ): Promise<void> {
    const missing = raws.filter((raw) => !this.#of(raw).machine.isResident(raw));
    await Promise.all(missing.map((raw) => this.#load(this.#of(raw).machine, raw)));
    for (const [i, raw] of raws.entries()) {
      const { machine, shard } = this.#of(raw);
      // More was asked for than fits: what was given up again is loaded once more, by itself.
      while (!machine.isResident(raw)) await this.#load(machine, raw);
      this.#mustServe(shard);
      each(i, machine.view(raw));
    }
  }

  async rows(raw: Uint8Array, range: RowRange): Promise<readonly StandingRow[]> {
    const extent = await this.#extent(raw);
    if (extent === undefined) return [];
    const { from, through } = clamp(extent, range);
    return this.#standing(extent, from, through);
  }

  async messages(raw: Uint8Array, range: RowRange): Promise<readonly StandingRow[]> {
    const extent = await this.#extent(raw);
    if (extent === undefined) return [];
    const low = Math.max(1, range.from);
    const high = Math.min(extent.head, range.through);
    const found: StandingRow[] = [];
    // Few rows first: a preview wants one, and mostly the newest row is a message.
    let span = Math.min(range.limit + SCAN_ROWS_MORE, SCAN_ROWS_MAX);
    if (range.newest) {
      for (let at = high; at >= low && found.length < range.limit; at -= span) {
        span = at === high ? span : Math.min(span * 2, SCAN_ROWS_MAX);
        const rows = await this.#standing(extent, Math.max(low, at - span + 1), at);
        for (let i = rows.length - 1; i >= 0 && found.length < range.limit; i--)
          keepMessage(found, rows[i]);
      }
      return found.reverse();
    }
    for (let at = low; at <= high && found.length < range.limit; ) {
      const rows = await this.#standing(extent, at, Math.min(high, at + span - 1));
      for (let i = 0; i < rows.length && found.length < range.limit; i++)
        keepMessage(found, rows[i]);
      at += span;
      span = Math.min(span * 2, SCAN_ROWS_MAX);
    }
    return found;
  }

  async changed(
    raw: Uint8Array,
    range: Parameters<StoreReads['changed']>[1],
  ): Promise<ChangedRows> {
    const { above, limit, bytesMax } = range;
    const extent = await this.#extent(raw);
    if (extent === undefined || extent.overlayCount === 0)
      return { rows: [], through: above, isWhole: true };
    const { changes, isWhole } = await this.#changes(extent, raw, range);
    const rows: StandingRow[] = [];
    let bytes = 0;
    let reached = above;
    for (const { target, changeSequence } of changes.slice(0, limit)) {
      const standing = await this.#standing(extent, target, target);
      bytes += standing.reduce((sum, row) => sum + bytesOf(row), 0);
      if (rows.length > 0 && bytes > bytesMax) return { rows, through: reached, isWhole: false };
      rows.push(...standing);
      reached = changeSequence;
    }
    return { rows, through: reached, isWhole: isWhole && changes.length <= limit };
  }

  /** The change index above `above`, in order: `limit` of it or all there is. */
  async #changes(
    extent: Extent,
    raw: Uint8Array,
    range: { readonly above: number; readonly through: number; readonly limit: number },
  ): Promise<{ readonly changes: readonly Change[]; readonly isWhole: boolean }> {
    const { above, through, limit } = range;
    const { overlays } = this.#of(raw);
    const pending = [...overlays.of(raw)].filter(
      ({ changeSequence, target }) => changeSequence > above && target <= through,
    );
    const newer = new Set(pending.map(({ target }) => target));
    const changes: Change[] = [...pending];
    let isWhole = false;
    // Asked for more than wanted: those that a pending change replaces, or that are above, fall out.
    for (let cursor = above; !isWhole && changes.length - pending.length < limit; ) {
      const stored = await this.#parts.reads.changes(extent.conversation, cursor, limit);
      for (const change of stored)
        if (change.target <= through && !newer.has(change.target)) changes.push(change);
      isWhole = stored.length < limit;
      cursor = stored.at(-1)?.changeSequence ?? cursor;
    }
    changes.sort((a, b) => a.changeSequence - b.changeSequence);
    return { changes, isWhole };
  }

  async sequenceAt(raw: Uint8Array, timeMs: number): Promise<number> {
    const extent = await this.#extent(raw);
    if (extent === undefined) return 0;
    let low = 0;
    let high = extent.head;
    for (const { firstSequence, firstTimeMs } of extent.buckets) {
      if (firstTimeMs <= timeMs) low = Math.max(low, firstSequence);
      else high = Math.min(high, firstSequence - 1);
    }
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const [row] = await this.#parts.reads.rows(extent, middle, middle);
      if (row !== undefined && new RowView(row).timeMs <= timeMs) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  async changedConversations(question: {
    readonly shard: number;
    readonly sinceIndex: number;
    readonly conversations: Uint8Array;
    readonly user: Uint8Array;
  }): Promise<{
    readonly askedAtIndex: number;
    readonly changed: Uint8Array;
    readonly timesMs: readonly number[];
  }> {
    const { shard, sinceIndex, conversations, user } = question;
    const { heads } = this.#at(shard);
    const askedAtIndex = await this.readIndex(shard);
    const changed: Uint8Array[] = [];
    const times = new Map<Uint8Array, number>();
    const unknown: Uint8Array[] = [];
    const reaches = sinceIndex >= heads.floor;
    for (let at = 0; at < conversations.length; at += 16) {
      const raw = conversations.subarray(at, at + 16);
      const last = heads.lastChange(raw, user);
      const head = heads.head(raw);
      if (last > sinceIndex || sinceIndex === 0) {
        changed.push(raw);
        if (head === undefined) unknown.push(raw);
        else times.set(raw, head.timeMs);
      } else if (!reaches) unknown.push(raw);
    }
    const known = new Set(changed);
    const found = new Set<Uint8Array>();
    await this.conversations(unknown, (i, view) => {
      const raw = unknown[i] as Uint8Array;
      if (view === undefined) return;
      const last = Math.max(view.lastIndex, view.ownChangeIndex(user));
      if (!known.has(raw) && last <= sinceIndex) return;
      found.add(raw);
      times.set(raw, view.lastTimeMs);
    });
    for (const raw of found) if (!known.has(raw)) changed.push(raw);
    const bytes = new Uint8Array(changed.length * 16);
    for (const [i, raw] of changed.entries()) bytes.set(raw, i * 16);
    return { askedAtIndex, changed: bytes, timesMs: changed.map((raw) => times.get(raw) ?? 0) };
  }

  async directory(user: Uint8Array): Promise<DirectoryView | undefined> {
    const { accounts, shard } = this.#of(user);
    await this.#told(user);
    while (!accounts.isResident(user))
      await new Promise<void>((done) => this.#parts.residency.account(accounts, user, done));
    this.#mustServe(shard);
    return accounts.view(user);
  }

  /**
   * Until the couriers have brought this user what was committed before he asked (CONTRACT §3 G8).
   * A list without it would be taken for whole, and nothing would tell of the rest: who has waited
   * long is refused, and asks again.
   * LIMIT: those of this store; what others bring comes as a change a moment later.
   */
  #told(user: Uint8Array): Promise<void> {
    const { shards, timers } = this.#parts;
    return new Promise((resolve, reject) => {
      let open = shards.length;
      let late: Timer | undefined;
      const told = (): void => {
        if (--open > 0) return;
        late?.cancel();
        resolve();
      };
      for (const { courier } of shards) courier.told(user, told);
      if (open > 0)
        late = timers.after(TOLD_WAIT_MS_MAX, () =>
          reject(new ParleyError('SHARD_UNAVAILABLE', LATE)),
        );
    });
  }

  queuedCount(view: ConversationView, sender: Uint8Array): number {
    return this.#parts.planner.queued(view, sender);
  }

  async #extent(raw: Uint8Array): Promise<Extent | undefined> {
    const view = await this.conversation(raw);
    return view === undefined ? undefined : extentOf(view);
  }

  /** Rows [from, through] with what changed them since. */
  async #standing(extent: Extent, from: number, through: number): Promise<StandingRow[]> {
    if (from > through) return [];
    const { reads } = this.#parts;
    const { conversation } = extent;
    const rows = reads.rowsNow(extent, from, through) ?? (await reads.rows(extent, from, through));
    const { overlays, machine, erasures } = this.#of(conversation);
    // Asked again: a row may have been changed while others were read.
    const overlayCount = machine.view(conversation)?.overlayCount ?? extent.overlayCount;
    if (overlayCount === 0)
      return rows.map((row, i) => ({ sequence: from + i, row, overlay: EMPTY }));
    const before = new Map([...overlays.of(conversation)].map((o) => [o.target, o.value]));
    const stored: ReadonlyMap<number, StoredOverlay> = await reads.overlays(
      { ...extent, overlayCount },
      from,
      through,
    );
    return rows.map((read, i) => {
      const sequence = from + i;
      // A block may still hold what was deleted, until the next flush: no reader gets it.
      const row = erasures.has(conversation, sequence) ? redactedRow(read) : read;
      const pending = overlays.get(conversation, sequence)?.value ?? before.get(sequence);
      return { sequence, row, overlay: pending ?? stored.get(sequence)?.value ?? EMPTY };
    });
  }

  #load(machine: ConversationMachine, raw: Uint8Array): Promise<void> {
    return new Promise((done) => this.#parts.residency.conversation(machine, raw, done));
  }

  #of(raw: Uint8Array): ReadableShard {
    return this.#at(this.#parts.map.shardOf(raw));
  }

  #at(shard: number): ReadableShard {
    const found = this.#parts.shards[shard];
    if (found === undefined)
      throw new ParleyError('SHARD_UNAVAILABLE', 'there is no such shard', { shard });
    return found;
  }

  /** Asked when the answer is made, so that a stopped shard serves nothing half applied. */
  #mustServe(shard: Shard): void {
    if (!shard.isStopped) return;
    throw new ParleyError('SHARD_UNAVAILABLE', REFUSED.stopped.message, { shard: shard.shard });
  }
}

function clamp(extent: Extent, range: RowRange): { from: number; through: number } {
  const from = Math.max(1, range.from);
  const through = Math.min(extent.head, range.through);
  return range.newest
    ? { from: Math.max(from, through - range.limit + 1), through }
    : { from, through: Math.min(through, from + range.limit - 1) };
}

/** What a person would call a message: sent content, also when deleted since. */
function keepMessage(found: StandingRow[], standing: StandingRow | undefined): void {
  if (standing === undefined) return;
  const row = new RowView(standing.row);
  if (row.bodyKind === BODY_KIND.message || row.has(ROW_FLAG.countable)) found.push(standing);
}
