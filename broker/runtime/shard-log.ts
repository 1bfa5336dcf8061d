/**
 * ShardLog, the engine seam (DESIGN §3): one total order of entries per shard, in which what is
 * acknowledged is durable. shard.ts sees only this; RaftShardLog is the first implementation.
 *
 * Rules for every implementation:
 *  - indexes are dense and rise; an entry that was handed out as committed never changes;
 *  - `append` accepts all or nothing and says nothing about durability: that is the committed feed;
 *  - an owner may answer, refuse by state or read only while `isReady`: its claim is applied;
 *  - an entry may be committed twice or after its owner was told otherwise: send windows sort it out.
 */

export type AppendResult =
  | { readonly ok: true; readonly term: number; readonly first: number }
  | {
      readonly ok: false;
      readonly why: 'not_owner' | 'overloaded';
    };

/** command: for the machines; claim: a new owner's first entry; other: the log's own business. */
export type LoggedKind = 'command' | 'claim' | 'other';

export interface LoggedEntry {
  readonly index: number;
  /** The owner's reign: answers are given only to who appended in it. */
  readonly term: number;
  readonly kind: LoggedKind;
  readonly payload: Uint8Array;
}

export interface ShardLog {
  readonly shard: number;
  /** Owns the shard, and its claim is applied. */
  readonly isReady: boolean;
  /** Its reign, while it owns the shard; else 0. Answers of another reign are unknown outcomes. */
  readonly reign: number;
  /** Index of the last entry here, committed or not. */
  readonly tail: number;
  /** Entries up to here may be applied; grows only. */
  readonly committed: number;

  /** Bytes belong to the log from now on. */
  append(payloads: readonly Uint8Array[]): AppendResult;
  /** A committed entry that is not applied yet. */
  entry(index: number): LoggedEntry;
  /** Everything up to `index` is applied, and not asked for again. */
  applied(index: number): void;
  /** Everything up to `index` is durable in the state: the log may forget it. */
  trim(index: number): void;
  /**
   * Asks for the index that a linearizable read may be served at, once that is applied. False = not
   * now (not the owner, not ready, too many). The answer comes by `reads`.
   */
  readIndex(context: number): boolean;
}

/** What a log tells its shard, never from inside `append`. */
export interface ShardLogEvents {
  /** `context` may be served once `index` is applied; undefined = refused, ask the new owner. */
  readonly read: (context: number, index: number | undefined) => void;
  /** Ownership came or went: answers that are still due to an older reign are unknown. */
  readonly reignChanged: (reign: number) => void;
}
