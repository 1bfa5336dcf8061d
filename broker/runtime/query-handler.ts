/** Who answers `query` records: broker/service, in the store's thread, over StoreReads. */
import type { Refusal } from '../../core/link-payload.ts';

export interface Query {
  /** QueryNumber of core/query.ts; a number of a newer gateway may be unknown. */
  readonly method: number;
  readonly caller: Uint8Array;
  readonly device: Uint8Array;
  /** The request in protobuf; the handler's to keep. */
  readonly request: Uint8Array;
}

/** Exactly one call, in any later turn. */
export interface QueryReply {
  /** The response in protobuf, and the shard index that it was read at (0 = of no one shard). */
  result(payload: Uint8Array, position: number): void;
  error(error: Refusal): void;
}

export interface QueryHandler {
  query(query: Query, reply: QueryReply): void;
}
