/**
 * What happened, as seen from outside: the input of the chat checker. Simulated worlds, real
 * processes under kill -9 and power cuts, and benches all write the same events.
 * `at` is one monotonic clock of the observer; equal times count as concurrent.
 */

/** A send was handed to a client or put on the wire. `op` names the attempt's intent, not the retry. */
export interface Invoked {
  readonly is: 'invoked';
  readonly at: number;
  readonly op: string;
  readonly user: string;
  /** '' for callers without an outbox. */
  readonly outbox: string;
  readonly clientSeq: number;
  readonly clientMessageId: string;
  readonly conversation: string;
  /** Digest of the content. */
  readonly content: string;
}

export interface Committed {
  readonly is: 'committed';
  readonly at: number;
  readonly op: string;
  readonly sequence: number;
  readonly timeMs: number;
}

/** Refused for good: it must never appear. */
export interface Refused {
  readonly is: 'refused';
  readonly at: number;
  readonly op: string;
  readonly reason: string;
}

/** A row reached a reader: pushed, paged or synced. `from` names the way. */
export interface Seen {
  readonly is: 'seen';
  readonly at: number;
  /** A device's view: its rows are judged for order and repetition. */
  readonly reader: string;
  readonly user: string;
  readonly from: 'push' | 'page' | 'rows';
  readonly conversation: string;
  readonly epoch: number;
  readonly sequence: number;
  readonly clientMessageId: string;
  readonly outbox: string;
  readonly clientSeq: number;
  /** '' when it has no body: a stub on the sending connection, or erased. */
  readonly content: string;
  readonly timeMs: number;
}

/** The reader began anew below this point: a gap was announced, or a fresh store. Order restarts there. */
export interface Jumped {
  readonly is: 'jumped';
  readonly at: number;
  readonly reader: string;
  readonly conversation: string;
  /** It resumes at this sequence; 0 = anywhere. */
  readonly to: number;
}

export interface Removed {
  readonly is: 'removed';
  readonly at: number;
  readonly user: string;
  readonly conversation: string;
  /** Of the row that removed him; later rows are not his until he joins again. */
  readonly sequence: number;
}

export interface Joined {
  readonly is: 'joined';
  readonly at: number;
  readonly user: string;
  readonly conversation: string;
  readonly sequence: number;
}

export interface Deleted {
  readonly is: 'deleted';
  readonly at: number;
  readonly conversation: string;
  /** Of the message that was deleted, once the deletion was acknowledged. */
  readonly sequence: number;
}

/** Someone's marks as a reader saw them. */
export interface Marked {
  readonly is: 'marked';
  readonly at: number;
  readonly reader: string;
  readonly user: string;
  readonly conversation: string;
  readonly deliveredThrough: number;
  readonly readThrough: number;
  readonly head: number;
}

export type HistoryEvent =
  | Invoked
  | Committed
  | Refused
  | Seen
  | Jumped
  | Removed
  | Joined
  | Deleted
  | Marked;

/** All rows of a conversation as read at the very end, from the first to the head, in order. */
export interface FinalLog {
  readonly conversation: string;
  readonly rows: readonly FinalRow[];
}

export interface FinalRow {
  readonly sequence: number;
  readonly timeMs: number;
  readonly sender: string;
  readonly outbox: string;
  readonly clientSeq: number;
  readonly clientMessageId: string;
  /** '' when erased. */
  readonly content: string;
  /** Made by the server itself: no send stands behind it. */
  readonly server: boolean;
}

export interface History {
  readonly events: readonly HistoryEvent[];
  /** One per replica or reader that read everything; all must be the same. */
  readonly finals: readonly FinalLog[];
}
