/** Who asks, and what a write came to: what every part of a session speaks of. */

/** Who a token speaks for, as the verifier found it. */
export interface Caller {
  readonly userId: string;
  readonly user: Uint8Array;
  readonly deviceId: string;
  readonly device: Uint8Array;
  readonly sessionId: string;
  readonly session: Uint8Array;
  readonly scopes: readonly string[];
  /** Wall clock; the connection ends then unless a fresh token came. */
  readonly expiresAtMs: number;
}

/** A durable write (R016). */
export interface Commit {
  readonly sequence: number;
  readonly timeMs: number;
  readonly queued: number;
  readonly replayed: boolean;
}
