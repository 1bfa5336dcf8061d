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
const SENT_MAX = 32;

export class Typing {
  readonly #sentMs = new Map<string, number>();
  readonly #typers = new Map<string, Typer>();

  /** Whether an own notice may go out. */
  mayTell(conversationId: string, isTyping: boolean, nowMs: number): boolean {
    const last = this.#sentMs.get(conversationId);
    if (!isTyping) return this.#sentMs.delete(conversationId);
    if (last !== undefined && nowMs - last < TYPING_INTERVAL_MS) return false;
    if (this.#sentMs.size >= SENT_MAX) this.#sentMs.clear();
    this.#sentMs.set(conversationId, nowMs);
    return true;
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
