/**
 * What the runtime needs of the conversation machine. The machine is pure and synchronous: it reads
 * only resident state and the entry, never a clock, a disk or configuration outside the log.
 * Everything a command needs must be resident before the command is proposed (`needs`), and stays
 * pinned until it was applied.
 */
import type { Reason } from '../../core/errors.ts';
import type { ShardSettings } from './shard-settings.ts';

/** A stored piece of a conversation's live state: header, member page or sender record. */
export interface StateUnit {
  /** 0 header, 1 member page, 2 sender record. */
  readonly kind: 0 | 1 | 2;
  /** Page number for member pages, else 0. */
  readonly page: number;
  /** The sender for sender records, else empty. */
  readonly user: Uint8Array;
  /** Packed; a disk format with a version byte. */
  readonly value: Uint8Array;
}

export interface DirtyUnit extends StateUnit {
  readonly conversation: Uint8Array;
}

/** An earlier row that a control row aims at, as it stands: loaded from tail or block + overlay. */
export interface TargetRow {
  readonly sequence: number;
  readonly row: Uint8Array;
  /** Encoded overlay (overlay.ts), or empty if nothing changed it yet. */
  readonly overlay: Uint8Array;
}

export interface Needs {
  /** The conversation's units must be loaded (or known not to exist). */
  readonly conversation: boolean;
  /** Sequence of an earlier row that must be loaded; 0 = none. */
  readonly target: number;
}

export type Answer =
  | {
      readonly is: 'commit';
      readonly sequence: number;
      readonly timeMs: number;
      readonly replayed: boolean;
    }
  | {
      readonly is: 'refused';
      readonly reason: Reason;
      readonly message: string;
      readonly details: Readonly<Record<string, string | number>>;
    };

export interface MembershipChange {
  readonly user: Uint8Array;
  readonly joined: boolean;
  /** Of the row that did it. */
  readonly sequence: number;
}

/** One user's registers changed: marks (own devices and peers hear of it) or settings (own devices only). */
export interface RegisterChange {
  readonly user: Uint8Array;
  readonly what: 'marks' | 'settings';
}

/** All that applying one entry did. The runtime stores, journals and fans out from this alone. */
export interface Applied {
  readonly conversation: Uint8Array;
  readonly answer: Answer;
  /** The appended row, if one was appended (never on a replay). Owned by the receiver. */
  readonly row?: Uint8Array;
  /**
   * The new overlay of an earlier row; `erased` = its stored body must be rewritten away, and so must
   * the bodies of the edit rows named by `editSequences` (they hold the same content).
   */
  readonly overlay?: {
    readonly sequence: number;
    readonly value: Uint8Array;
    readonly erased: boolean;
    readonly editSequences?: readonly number[];
  };
  readonly members?: readonly MembershipChange[];
  readonly registers?: readonly RegisterChange[];
  /** Name, settings, roles or closedness changed: members get the whole conversation anew. */
  readonly resourceChanged?: boolean;
}

/** One member as others may see him, at the present head. */
export interface MemberView {
  readonly user: Uint8Array;
  readonly role: number;
  readonly joinTimeMs: number;
  readonly joinSequence: number;
  readonly invitedBy: Uint8Array;
  readonly deliveredThrough: number;
  readonly readThrough: number;
  readonly deliveredTimeMs: number;
  readonly readTimeMs: number;
}

/** The caller's own registers and exact counts. */
export interface MyView {
  readonly role: number;
  readonly historyFrom: number;
  readonly readThrough: number;
  readonly deliveredThrough: number;
  readonly unreadCount: number;
  readonly mentionCount: number;
  readonly notify: number;
  readonly muteUntilMs: number;
  readonly archived: boolean;
  readonly pinned: boolean;
  readonly markedUnread: boolean;
  readonly clearedThrough: number;
}

/** A 30-day bucket that has rows of the conversation: where to look for a sequence or a time. */
export interface BucketView {
  /** floor(stamp of its rows / 30 days). */
  readonly bucket: number;
  readonly firstSequence: number;
  readonly firstTimeMs: number;
}

/** Read access to a resident conversation. Valid until the next `apply`, `load` or `evict`. */
export interface ConversationView {
  readonly conversation: Uint8Array;
  readonly kind: 'direct' | 'group';
  readonly name: string;
  readonly pictureMediaId: string;
  readonly creator: Uint8Array;
  readonly memberCount: number;
  readonly membersMax: number;
  readonly settings: {
    readonly historyAll: boolean;
    readonly sendAdminsOnly: boolean;
    readonly addMembersToo: boolean;
    readonly slowModeMs: number;
  };
  readonly closed: boolean;
  /** The cluster's epoch, from the shard's settings entry. */
  readonly epoch: number;
  readonly head: number;
  /** Ordinal of the head: countable rows so far. */
  readonly messageCount: number;
  /** Sequence of the newest countable row; 0 = none. */
  readonly lastMessageSequence: number;
  readonly createTimeMs: number;
  readonly lastTimeMs: number;
  /** Shard index of the last entry that changed it for everybody. */
  readonly lastIndex: number;
  /** Shard index of the user's own last mark or setting; 0 = none. */
  ownChangeIndex(user: Uint8Array): number;
  /** Rises with each change of what PATCH can change; the etag. */
  readonly version: number;
  /** How many earlier rows have an overlay; 0 = reads need not look. */
  readonly overlayCount: number;
  /** Oldest first; at least one. */
  readonly buckets: readonly BucketView[];
  /** undefined = never a member; `left` = a former one, who may read nothing. */
  membership(user: Uint8Array): 'member' | 'left' | undefined;
  me(user: Uint8Array): MyView | undefined;
  /** Of a direct: the other user (oneself in notes to self). */
  peer(user: Uint8Array): Uint8Array | undefined;
  member(user: Uint8Array): MemberView | undefined;
  /** Present members, in the order of their first joining. Stops when `each` returns false. `user` is a view: copy what you keep. */
  eachMember(each: (user: Uint8Array, role: number) => boolean | undefined): void;
  /** recipients(n) = present members whose interval began before n, but the sender. */
  counts(
    sequence: number,
    sender: Uint8Array,
  ): { readonly of: number; readonly delivered: number; readonly read: number };
}

/** Counts rows towards a mark. Fixed parts suffice. */
export interface RowTally {
  add(rows: readonly Uint8Array[]): void;
}

export interface ConversationMachine {
  /** Whether the conversation's state (or the knowledge that it does not exist) is resident. */
  isResident(conversation: Uint8Array): boolean;
  /**
   * Users, 16 bytes each, whose sender records a stored conversation may have beside its header.
   * Undefined = it has too many or pages of them: its units are found by their range.
   */
  sendersOf(header: Uint8Array): Uint8Array | undefined;
  /** Makes it resident. No units = it does not exist. */
  load(conversation: Uint8Array, units: readonly StateUnit[]): void;
  /** Gives up a resident conversation. False = it is pinned or dirty and stays. */
  evict(conversation: Uint8Array): boolean;
  /** Calls `each` with conversations least recently used first, until it returns false. */
  eachEvictable(each: (conversation: Uint8Array) => boolean): void;
  readonly residentCount: number;
  readonly residentBytes: number;

  /** What must be loaded before the command is proposed; asked again after each load, until nothing. */
  needs(command: Uint8Array): Needs;
  /**
   * Keeps what the command needs resident until `apply` (or `unpin`, if it is never proposed). Every
   * command is pinned once before it is applied, on followers and in recovery too: rows appended
   * while an edit or delete is pinned are kept for it, since it may aim at a send that is still in
   * flight (`targetIsClientSeq`) and thus at no row yet when `needs` was asked.
   */
  pin(command: Uint8Array): void;
  unpin(command: Uint8Array): void;
  hasTarget(conversation: Uint8Array, sequence: number): boolean;
  loadTarget(conversation: Uint8Array, target: TargetRow): void;

  /** Applies a committed entry. Throws InvariantViolation only on a fault: the shard then stops. */
  apply(index: number, command: Uint8Array): Applied;

  /**
   * A leader's completion of a mark before it is proposed (DESIGN §4 Counts): the machine may need
   * rows in (from, to] to count the member's own sends there; an empty range (from = to) = none are
   * needed, but the mark must still be completed. undefined = it can be applied as it is: nothing
   * above one's read mark is read. An incomplete mark whose counts the state does not yield when it is
   * applied is refused with OVERLOADED.
   */
  markNeedsRows(command: Uint8Array): { readonly from: number; readonly to: number } | undefined;
  /** A count to hand those rows to, oldest first, however many at a time; undefined = none is due. */
  startTally(command: Uint8Array): RowTally | undefined;
  /** Returns the completed command; the tally is undefined where no rows were needed. */
  completeMark(command: Uint8Array, tally: RowTally | undefined): Uint8Array;

  view(conversation: Uint8Array): ConversationView | undefined;
  /** Current overlay of a row, if it is resident. */
  overlay(conversation: Uint8Array, sequence: number): Uint8Array | undefined;

  /** Copies of all units changed since the last call; the machine then regards them as clean once `flushed` is called. */
  takeDirty(): readonly DirtyUnit[];
  /** The units of the last `takeDirty` are durable: they may be evicted. */
  flushed(): void;
  /** Running crc32 of all effects so far, compared between replicas. */
  readonly effectsChecksum: number;
  /**
   * Configuration as the shard's log has it; defaults until the first `shardSettings` entry. It is
   * flushed as a header unit under that entry's key: at start `load(key, units)` brings it back.
   */
  readonly settings: ShardSettings;
}
