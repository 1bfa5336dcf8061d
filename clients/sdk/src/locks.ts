/**
 * One owner per account and browser profile (S11). The owner holds a named lock; whoever opens the
 * application next takes it, and the former owner is told. Which writes still count is decided by the
 * fence in the own database, never by the lock.
 */
export interface Lease {
  /** Settles when another took the lock away. Never settles after `release`. */
  readonly lost: Promise<void>;
  release(): void;
}

export interface LockPort {
  /** Takes the lock from whoever holds it. */
  take(name: string): Promise<Lease>;
}

interface LockManagerLike {
  request(name: string, options: { steal: boolean }, fn: () => Promise<void>): Promise<void>;
}

/** Web Locks, where the browser has them; otherwise the server's REPLACED is the only referee. */
export function webLocks(): LockPort | undefined {
  const manager = (globalThis as { navigator?: { locks?: LockManagerLike } }).navigator?.locks;
  if (manager === undefined) return undefined;
  return {
    take: (name) =>
      new Promise((resolve, reject) => {
        let release = (): void => undefined;
        let isReleased = false;
        let wasGranted = false;
        let tellLost = (): void => undefined;
        const lost = new Promise<void>((done) => {
          tellLost = done;
        });
        const held = new Promise<void>((done) => {
          release = () => {
            isReleased = true;
            done();
          };
        });
        manager
          .request(name, { steal: true }, () => {
            wasGranted = true;
            resolve({ lost, release });
            return held;
          })
          // A stolen lock rejects the request that held it.
          .catch((error: unknown) => {
            if (!wasGranted) reject(error as Error);
            else if (!isReleased) tellLost();
          });
      }),
  };
}
