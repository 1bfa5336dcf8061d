/**
 * Typing (CONTRACT §3): one notice per conversation and 3 s upwards; downwards to who has the
 * conversation in focus, and it lapses by itself 6 s after the last one.
 */
import { TYPING_INTERVAL_MS, TYPING_LAPSE_MS } from './limits.ts';

interface Typer {
  readonly conversationId: string;
  readonly userId: string;
  lapseMs: number;
}

const TYPERS_MAX = 64;
/** Conversations that one person types in within TYPING_INTERVAL_MS: more are not told. */
const SENT_MAX = 32;

export class Typing {
  /** The longest told first. */
  readonly #told = new Map<string, { atMs: number; isTyping: boolean }>();
  readonly #typers = new Map<string, Typer>();

  /** Whether an own notice may go out. */
  mayTell(conversationId: string, isTyping: boolean, nowMs: number): boolean {
    const last = this.#told.get(conversationId);
    if (!isTyping) {
      if (last?.isTyping !== true) return false;
      last.isTyping = false;
      return true;
    }
    if (last !== undefined && nowMs - last.atMs < TYPING_INTERVAL_MS) return false;
    this.#told.delete(conversationId);
    if (this.#told.size >= SENT_MAX && !this.#forgetOldest(nowMs)) return false;
    this.#told.set(conversationId, { atMs: nowMs, isTyping: true });
    return true;
  }

  #forgetOldest(nowMs: number): boolean {
    const [oldest] = this.#told;
    if (oldest === undefined || nowMs - oldest[1].atMs < TYPING_INTERVAL_MS) return false;
    return this.#told.delete(oldest[0]);
  }

  /** Somebody types or stopped. False = this connection knew that already. */
  heard(
    who: { conversationId: string; userId: string },
    isTyping: boolean,
    nowMs: number,
  ): boolean {
    const key = `${who.conversationId} ${who.userId}`;
    const known = this.#typers.get(key);
    if (!isTyping) return this.#typers.delete(key);
    if (known !== undefined) {
      known.lapseMs = nowMs + TYPING_LAPSE_MS;
      return true;
    }
    if (this.#typers.size >= TYPERS_MAX) return false;
    this.#typers.set(key, { ...who, lapseMs: nowMs + TYPING_LAPSE_MS });
    return true;
  }

  /** Those whose notice was not renewed; they are forgotten. */
  lapsed(nowMs: number): readonly { conversationId: string; userId: string }[] {
    const gone: { conversationId: string; userId: string }[] = [];
    for (const [key, typer] of this.#typers) {
      if (typer.lapseMs > nowMs) continue;
      gone.push({ conversationId: typer.conversationId, userId: typer.userId });
      this.#typers.delete(key);
    }
    return gone;
  }

  get nextLapseMs(): number {
    let next = Infinity;
    for (const typer of this.#typers.values()) next = Math.min(next, typer.lapseMs);
    return next;
  }
}
