/**
 * What the SDK needs of the machine it runs on. Injected, so that the simulator and the tests own
 * time and chance; the core names no window, document, process or Buffer (S18).
 */
export interface HostPort {
  /** Local wall clock, ms. Shown and used for the 24 h limit; never sorted by. */
  nowMs(): number;
  /** Rises evenly, whatever the wall clock does. */
  monotonicMs(): number;
  /** Calls `fn` once after `ms`; the answer takes it back. */
  after(ms: number, fn: () => void): () => void;
  /** 0 <= x < 1. */
  random(): number;
  randomBytes(count: number): Uint8Array;
  /** `online`: the network came back · `offline` · `wake`: focus, or after sleep. Answer: unsubscribe. */
  onSignal(fn: (signal: HostSignal) => void): () => void;
}

export type HostSignal = 'online' | 'offline' | 'wake';

interface SignalTarget {
  addEventListener?(type: string, fn: () => void): void;
  removeEventListener?(type: string, fn: () => void): void;
}

const SIGNALS: readonly (readonly [string, HostSignal])[] = [
  ['online', 'online'],
  ['offline', 'offline'],
  ['focus', 'wake'],
  ['pageshow', 'wake'],
];

/** This platform: browsers, workers, Node. */
export function platformHost(): HostPort {
  return {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after(ms, fn) {
      const timer = setTimeout(fn, ms);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
    onSignal(fn) {
      const target = globalThis as SignalTarget;
      const heard = SIGNALS.map(([type, signal]) => [type, () => fn(signal)] as const);
      for (const [type, listener] of heard) target.addEventListener?.(type, listener);
      return () => {
        for (const [type, listener] of heard) target.removeEventListener?.(type, listener);
      };
    },
  };
}
