/** Bounds of the live protocol (CONTRACT §1, §3) and the bucket that measures a connection's frames. */

export const FRAME_BYTES_MAX: number = 256 * 1024;
export const CONTENT_BYTES_MAX: number = 64 * 1024;
export const BODY_CODE_POINTS_MAX = 8000;
export const NAME_CODE_POINTS_MAX = 100;
export const FALLBACK_CODE_POINTS_MAX = 500;
export const URL_CODE_POINTS_MAX = 2048;
export const EMOJI_CODE_POINTS_MAX = 32;
export const ATTACHMENTS_MAX = 10;
export const PREVIEW_BYTES_MAX = 4096;
export const CUSTOM_BYTES_MAX: number = 16 * 1024;
export const MENTIONS_MAX = 500;
export const MEMBERS_REQUEST_MAX = 10_000;
/** So many new members at most are looked up before anybody judges whether the group has room. */
export const MEMBERS_UNJUDGED_MAX = 50;

export const RESUME_CURSORS_MAX = 50;
export const RESUME_ROWS_MAX = 256;
export const RESUME_BYTES_MAX: number = 256 * 1024;
export const CONVERSATIONS_PER_FRAME = 50;
export const PAGE_DEFAULT = 50;
export const PAGE_MAX = 200;
export const RECENT_CONVERSATIONS = 5;

export const FOCUS_CONVERSATIONS_MAX = 20;
export const FOCUS_USERS_MAX = 200;
export const MARKS_PER_REPORT_MAX = 1000;
/** Full reports each 100 ms: each mark of another conversation is a command for the store. */
export const MARKS_PER_SECOND_MAX = 10_000;
export const MARKS_BURST_MAX = 20_000;
/** Frames that may follow a hello before it was answered. */
export const EARLY_FRAMES_MAX = 64;
/** Conversations with a gap to announce; more become one gap over all. */
export const GAPS_MAX = 1000;

/**
 * Pages of messages and rows that a connection has under way, up to 512 KiB each: read, or read and
 * waiting for the client to take those before. Together they hold what a socket may.
 */
export const PAGES_UNDER_WAY_MAX = 8;
/** What waits for the client to read has this long, and the time that what is before it takes at this rate. */
export const ROOM_WAIT_MS = 30_000;
export const READ_BYTES_PER_SECOND_MIN: number = 32 * 1024;

export const TYPING_INTERVAL_MS = 3000;
export const TYPING_LAPSE_MS = 6000;
export const MARK_INTERVAL_MS = 200;
export const MARK_INTERVAL_LARGE_MS = 2000;
export const TOKEN_INTERVAL_MS = 10_000;
export const CHECK_INTERVAL_MS: number = 5 * 60_000;
/** Over this long marks of different users are said once more behind it. */
export const MARK_REPEAT_SPREAD_MS = 60_000;
export const AUTH_WARNING_MS = 60_000;
/** How long a connection outlives its token while nobody can verify a new one. */
export const AUTH_GRACE_MS: number = 60 * 60_000;
/** Time that a draining connection has before it is closed. */
export const DRAIN_CLOSE_MS = 5000;
export const FLOW_INTERVAL_MS = 1000;
export const RECONNECT = { baseMs: 500, maxMs: 30_000 } as const;

/** The configurable part; matches the server's session slice by structure. */
export interface SessionLimits {
  readonly helloTimeoutMs: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  readonly frameRate: number;
  readonly frameBurst: number;
  readonly requestRate: number;
  readonly inflightRequestsMax: number;
  readonly inflightSendsMax: number;
  readonly socketBufferSoftBytes: number;
  readonly socketBufferHardBytes: number;
  readonly connectionsMax: number;
  readonly syncTokenTtlMs: number;
}

export const DEFAULT_LIMITS: SessionLimits = {
  helloTimeoutMs: 5000,
  pingIntervalMs: 25_000,
  pingTimeoutMs: 10_000,
  frameRate: 200,
  frameBurst: 1000,
  requestRate: 600,
  inflightRequestsMax: 256,
  inflightSendsMax: 32,
  socketBufferSoftBytes: 1024 * 1024,
  socketBufferHardBytes: 4 * 1024 * 1024,
  connectionsMax: 100_000,
  syncTokenTtlMs: 30 * 24 * 3_600_000,
};

/** `rate` tokens a second, at most `burst`. Time only comes in through `take`. */
export class TokenBucket {
  readonly #rate: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  constructor(rate: number, burst: number, nowMs: number) {
    this.#rate = rate;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** Takes tokens, one unless told; 0 = granted, else the ms until they are there. */
  take(nowMs: number, count = 1): number {
    const refilled = this.#tokens + ((nowMs - this.#atMs) * this.#rate) / 1000;
    this.#tokens = Math.min(this.#burst, refilled);
    this.#atMs = nowMs;
    if (this.#tokens >= count) {
      this.#tokens -= count;
      return 0;
    }
    return Math.max(1, Math.ceil(((count - this.#tokens) * 1000) / this.#rate));
  }
}
