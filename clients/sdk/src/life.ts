/**
 * The life of a client: start, stop, and who owns the data of this device (S11). A start reads the
 * device and never waits for the network; whoever loses the data to another owner follows, and may
 * take it over again. Each start and take-over is a life of its own: what a former one still does is
 * void.
 */
import type { Credential } from './client-interface.ts';
import type { UserId } from './contract.ts';
import type { ConversationLog } from './conversation-log.ts';
import { type FirstScreen, type Loaded, loadCache, loadShelf } from './load.ts';
import type { Lease } from './locks.ts';
import type { OwnState } from './own-state.ts';
import type { SavedStore } from './saved-store.ts';

/** Two tabs that take the data at the same moment: so often may one lose it before it has all of it. */
const CLAIMS_MAX = 3;

export interface LifeParts {
  readonly store: SavedStore;
  readonly own: OwnState;
  /** Asked at the very first start alone: which account this is, only the credential says. */
  credential(): Promise<Credential>;
  /** Takes the right to an account's data from whoever holds it; undefined = there are no locks. */
  take(userId: UserId): Promise<Lease> | undefined;
  readonly hooks: LifeHooks;
}

/** In the order in which a start calls them. */
export interface LifeHooks {
  /** Whose client it is, is known. */
  identified(userId: UserId): void;
  /** The first screen, as far as a shelf names one. */
  shelf(first: FirstScreen | undefined): void;
  loadOutbox(): Promise<void>;
  /** The first screen may be shown, and people may write. */
  running(): void;
  /** Some more of the cache. */
  logs(logs: readonly ConversationLog[]): void;
  /** All of the cache: the network may come, unless another owner has the data by now. */
  loaded(loaded: Loaded): void;
  /** Another owner has the data: nothing may be written any more. Resolves as `halt` does. */
  followed(): Promise<void>;
  /** Ends everything that runs; what is shown stays. */
  halt(): Promise<void>;
  /** A life is over: what the next one loads, it loads anew. */
  over(): void;
}

export class Life {
  readonly #parts: LifeParts;
  readonly #hooks: LifeHooks;
  #lease: Lease | undefined;
  /** People see it, and may write if they own the data. */
  #isRunning = false;
  #isFollower = false;
  /** The data went to another owner before it ran. */
  #isLost = false;
  #starting: Promise<void> | undefined;
  #loading: Promise<void> | undefined;
  #halting: Promise<void> | undefined;
  #takingOver: Promise<void> | undefined;
  /** Rises with each stop and take-over: what an earlier start still does is void. */
  #number = 0;

  constructor(parts: LifeParts) {
    this.#parts = parts;
    this.#hooks = parts.hooks;
  }

  /** Another owner has the data. */
  get isFollower(): boolean {
    return this.#isFollower;
  }

  start(): Promise<void> {
    this.#starting ??= this.#start(this.#number).catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** Nothing of it runs on its return: no timer, no lock, no open store (S18). */
  async stop(): Promise<void> {
    this.#number += 1;
    const starting = this.#starting;
    this.#starting = undefined;
    this.#isRunning = false;
    this.#lease?.release();
    this.#lease = undefined;
    await this.#hooks.halt();
    // A start on its way sees that its life is over; only a credential may keep it waiting.
    if (this.#parts.own.identity !== undefined) await starting?.catch(() => undefined);
    await this.#takingOver?.catch(() => undefined);
    await this.#loading?.catch(() => undefined);
    this.#hooks.over();
    await this.#parts.store.close();
  }

  /** Of a client that was stopped: nothing of it stays on the device. */
  async wipe(): Promise<void> {
    const { store, own } = this.#parts;
    await store.open();
    await store.wipe('cache');
    await store.wipe('own');
    await store.close();
    own.identity = undefined;
  }

  /** Another owner has the data: this copy shows what it has and writes nothing (S11). */
  follow(): void {
    // Whoever is still starting follows as soon as there is something to show.
    if (!this.#isRunning) this.#isLost = true;
    else if (!this.#isFollower) {
      this.#isFollower = true;
      this.#lease = undefined;
      this.#halting = this.#hooks.followed().catch(() => undefined);
    }
  }

  /** A follower becomes the owner, and loads what the other one left. Calls at once share one. */
  async takeOver(userId: UserId): Promise<void> {
    if (this.#isFollower)
      this.#takingOver ??= this.#takeOver(userId).finally(() => {
        this.#takingOver = undefined;
      });
    await this.#takingOver;
  }

  async #takeOver(userId: UserId): Promise<void> {
    this.#number += 1;
    const life = this.#number;
    this.#isRunning = false;
    // Its last writes fail for the fence of the former life, and must not count against the new one.
    await this.#halting;
    await this.#loading?.catch(() => undefined);
    await this.#claim(userId, life);
    if (life !== this.#number) return;
    this.#hooks.over();
    await this.#load(life);
  }

  async #start(life: number): Promise<void> {
    const { store, own } = this.#parts;
    await store.open();
    await own.loadIdentity();
    if (own.identity === undefined) {
      const { userId, deviceId = '' } = await this.#parts.credential();
      if (life !== this.#number) return;
      await this.#claim(userId, life);
      if (life !== this.#number) return;
      own.setIdentity({ userId, deviceId });
    } else await this.#claim(own.identity.userId, life);
    if (life === this.#number) await this.#load(life);
  }

  /**
   * The lock, then the fence. If the lock goes before the fence is here, the other one's fence may be
   * the older: each would stop for the other. So it takes both once more, and the other one follows.
   */
  async #claim(userId: UserId, life: number): Promise<void> {
    for (let i = 0; i < CLAIMS_MAX; i++) {
      const lease = await this.#parts.take(userId);
      if (life !== this.#number) return lease?.release();
      this.#lease = lease;
      this.#isLost = false;
      lease?.lost
        .then(() => {
          if (this.#lease === lease) this.follow();
        })
        .catch(() => undefined);
      await this.#parts.store.claim();
      if (!this.#isLost) return;
    }
  }

  /** What is one's own and the first screen now; the rest, then the network, behind it (S13). */
  async #load(life: number): Promise<void> {
    const { store, own } = this.#parts;
    await own.load();
    const userId = own.identity?.userId ?? '';
    this.#hooks.identified(userId);
    const first = await loadShelf(store, userId);
    if (life !== this.#number) return;
    this.#hooks.shelf(first);
    await this.#hooks.loadOutbox();
    if (life !== this.#number) return;
    this.#isRunning = true;
    this.#isFollower = false;
    this.#hooks.running();
    if (this.#isLost) this.follow();
    this.#loading = this.#loadRest(life);
    // Who waits for it hears of a failure; nobody has to.
    this.#loading.catch(() => undefined);
    // Without a shelf there is nothing to show before the rest.
    if (first === undefined) await this.#loading;
  }

  async #loadRest(life: number): Promise<void> {
    const loaded = await loadCache(this.#parts.store, (logs) => {
      if (life === this.#number) this.#hooks.logs(logs);
    });
    if (life === this.#number) this.#hooks.loaded(loaded);
  }
}
