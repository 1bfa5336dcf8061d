/**
 * What broker/service (reads, sync, broker.v1) sees of a store: resident views, rows joined from the
 * hot tail, blocks and overlays, heads, directories. All of it runs in the store's thread. Reads
 * state the index they were made at, so that sync tokens never under-report.
 */
import type { ConversationView } from '../conversation/contract.ts';
import type { DirectoryView } from '../account/contract.ts';

/** A row as it stands. `overlay` empty = unchanged since it was appended. */
export interface StandingRow {
  readonly sequence: number;
  readonly row: Uint8Array;
  readonly overlay: Uint8Array;
}

/** What it weighs in a page: content as logged, and content that has come in its place. */
export function bytesOf({ row, overlay }: StandingRow): number {
  return row.length + overlay.length;
}

/** A page of the change index. */
export interface ChangedRows {
  readonly rows: readonly StandingRow[];
  /**
   * The index has been followed up to this changeSequence; what is asked for next is above. A row that
   * changed once more while it was read says a higher one: nothing between the two has been told.
   */
  readonly through: number;
  /** Nothing is left above. */
  readonly isWhole: boolean;
}

export interface StoreReads {
  readonly shardCount: number;
  readonly epoch: number;
  /** A store that has lost its leadership or is suspect refuses with SHARD_UNAVAILABLE. */
  shardOf(raw: Uint8Array): number;
  /** Index that a linearizable read of this shard may be served at, after a ReadIndex round. */
  readIndex(shard: number): Promise<number>;
  appliedIndex(shard: number): number;
  /** Of a group that would be, or is, this one. */
  membersMax(raw: Uint8Array): number;
  /**
   * The conversation, loaded if need be; undefined = it does not exist. The view is valid in the
   * same turn of the loop only: take what you need before you await.
   */
  conversation(raw: Uint8Array): Promise<ConversationView | undefined>;
  /** Many at once, one read batch; in the order asked, undefined = does not exist. */
  conversations(
    raws: readonly Uint8Array[],
    each: (i: number, view: ConversationView | undefined) => void,
  ): Promise<void>;
  /** Rows with from <= sequence <= through, oldest first, as they stand; at most `limit`, from the newer end if `newest`. */
  rows(
    raw: Uint8Array,
    range: {
      readonly from: number;
      readonly through: number;
      readonly limit: number;
      readonly newest: boolean;
    },
  ): Promise<readonly StandingRow[]>;
  /** Newest countable rows (messages) in the range, with sequences below `below`; for previews and pages of messages. */
  messages(
    raw: Uint8Array,
    range: {
      readonly from: number;
      readonly through: number;
      readonly limit: number;
      readonly newest: boolean;
    },
  ): Promise<readonly StandingRow[]>;
  /**
   * Rows at or below `through` whose changeSequence is above `above`, by changeSequence: at most
   * `limit`, and no more than weigh `bytesMax` together, but one.
   */
  changed(
    raw: Uint8Array,
    range: {
      readonly above: number;
      readonly through: number;
      readonly limit: number;
      readonly bytesMax: number;
    },
  ): Promise<ChangedRows>;
  /** The newest row at or before the time; 0 = none. */
  sequenceAt(raw: Uint8Array, timeMs: number): Promise<number>;
  /**
   * Which of these conversations changed for the user above `sinceIndex` of their shard, with the
   * stamp of the change; from memory where the heads reach, else from headers.
   */
  changedConversations(question: {
    readonly shard: number;
    readonly sinceIndex: number;
    readonly conversations: Uint8Array;
    readonly user: Uint8Array;
  }): Promise<{
    readonly askedAtIndex: number;
    readonly changed: Uint8Array;
    readonly timesMs: readonly number[];
  }>;
  directory(user: Uint8Array): Promise<DirectoryView | undefined>;
  /** Present members of the conversation without a connected device anywhere. */
  queuedCount(view: ConversationView, sender: Uint8Array): number;
}
