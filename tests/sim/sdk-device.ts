/**
 * A device that is the SDK itself: a client on virtual time, storage and network, which is killed
 * and started again on what its storage kept. What is promised to its user is noted for the checker:
 * what was sent, what was accepted, what the live connection showed.
 */
import {
  createClient,
  type Client,
  type Conversation,
  type HostPort,
  type HostSignal,
  type MessageRef,
  type Transport,
  type TransportEvents,
} from '@parley/sdk';
import type { HistoryEvent } from '../checker/history.ts';
import type { Chance } from './chance.ts';
import { DeviceStorage } from './device-storage.ts';
import type { DeviceSocketEvents, VirtualSocket } from './virtual-socket.ts';
import type { Scope } from './virtual-time.ts';
import { contentDigest, count, list, object, seenOf, text, texts, type Json } from './wire.ts';

export interface SdkWorld {
  nowMs(): number;
  newScope(): Scope;
  /** undefined = there is no way to any gateway now. */
  open(scope: Scope, events: DeviceSocketEvents): VirtualSocket | undefined;
  readonly events: HistoryEvent[];
  broken(what: string): void;
}

export interface SdkDeviceParts {
  readonly name: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly token: string;
  readonly chance: Chance;
  /** Its owner drops it, goes where there is no network, and lives on backups. */
  readonly isRough: boolean;
  readonly world: SdkWorld;
}

/** Something said through this device. */
export interface Said {
  readonly key: string;
  readonly conversation: string;
  readonly is: 'message' | 'edit' | 'delete';
  /** It was in the durable outbox: it must arrive, or be refused. */
  isKept: boolean;
  outcome: 'open' | 'accepted' | 'failed';
  reason: string;
  readonly saidMs: number;
  failedMs: number;
}

/** A backup that was put back: what was said before it may be in it, what failed since it does not know. */
interface Restored {
  readonly madeMs: number;
  readonly atMs: number;
}

/** Within this long everything is stored, unless the device dies. */
const STORED_MS = 5_000;

/** What its owner is like. */
export interface Habits {
  /** Of what he does with it, by chance: he goes where there is no network; he drops it. */
  readonly unplugs: number;
  readonly kills: number;
  readonly backups: number;
  readonly restores: number;
  /** Backups of the cache, too. */
  readonly wholes: number;
  /** The same backup another time. */
  readonly again: number;
}

/** A group that the server has not answered for yet. */
function isBeingMade(client: Client, id: string): boolean {
  const info = client.conversation(id).info.get();
  const isMine = info.kind === 'group' && info.role !== undefined;
  return isMine && !info.onServer && info.failed === undefined;
}

export class SdkDevice {
  readonly name: string;
  readonly userId: string;
  readonly said: Said[] = [];
  readonly habits: Habits;
  readonly storage: DeviceStorage = new DeviceStorage();
  readonly #parts: SdkDeviceParts;
  #scope: Scope;
  #client: Client | undefined;
  #socket: VirtualSocket | undefined;
  #signal: ((signal: HostSignal) => void)[] = [];
  #lives = 0;
  readonly #restored: Restored[] = [];
  readonly #diedMs: number[] = [];
  #backupMs = 0;
  #pluggedInMs = 0;
  #connections = 0;
  #hasStarted = false;
  /** Puts the storage back to what it was; undefined = nobody made a backup yet. */
  #restore: (() => Promise<void>) | undefined;

  constructor(parts: SdkDeviceParts) {
    this.name = parts.name;
    this.userId = parts.userId;
    this.#parts = parts;
    this.#scope = parts.world.newScope();
    const chance = parts.chance.fork('habits');
    const { isRough } = parts;
    this.habits = {
      unplugs: isRough ? 0.25 : 0.05,
      kills: isRough ? 0.25 : 0.06,
      backups: isRough ? 0.8 : 0.3,
      restores: isRough ? 0.7 : 0.2,
      wholes: chance.pick([1, 0.5, 0]),
      again: chance.pick([0, 0.5]),
    };
  }

  get client(): Client | undefined {
    return this.#hasStarted ? this.#client : undefined;
  }

  get isAlive(): boolean {
    return this.#client !== undefined;
  }

  get scope(): Scope {
    return this.#scope;
  }

  get socket(): VirtualSocket | undefined {
    return this.#socket;
  }

  get isSettled(): boolean {
    const client = this.client;
    if (client === undefined || client.connection.get().phase !== 'live') return false;
    const all = client.conversations({ filter: 'all' });
    all.show(0, 200);
    const { rows, freshness } = all.get();
    all.close();
    // What was refused stays in the list until its writer gives it up.
    const failed = new Map<string, number>();
    for (const { conversation, outcome, reason } of this.said)
      if (outcome === 'failed' && reason !== 'CANCELED')
        failed.set(conversation, (failed.get(conversation) ?? 0) + 1);
    return (
      freshness === 'live' &&
      rows.every(({ id, waiting }) => waiting <= (failed.get(id) ?? 0) && !isBeingMade(client, id))
    );
  }

  /** What keeps it from being settled, for whoever reads a failed run. */
  get owes(): string {
    const client = this.client;
    if (client === undefined) return 'does not run';
    const all = client.conversations({ filter: 'all' });
    all.show(0, 200);
    const { rows, freshness } = all.get();
    all.close();
    const waiting = rows.filter((row) => row.waiting > 0).map((row) => `${row.id} ${row.waiting}`);
    const { phase } = client.connection.get();
    return `${phase}, list ${freshness}, unsent ${waiting.join(', ') || 'none'}`;
  }

  /** Without any network for a while; its owner goes on writing, and may make a backup just then. */
  unplug(ms: number): void {
    const { world, chance } = this.#parts;
    this.#pluggedInMs = world.nowMs() + ms;
    this.#socket?.cut(false);
    const fate = chance.fork(`unplugged-${world.nowMs()}`);
    if (!fate.is(this.habits.backups)) return;
    const isWhole = fate.is(this.habits.wholes);
    this.#scope.after(fate.between(1, ms), () => void this.backup(isWhole));
  }

  /** Starts on what the storage kept; now and then on a backup of an earlier life (case 11). */
  start(): void {
    const { world, chance } = this.#parts;
    this.#lives++;
    const fate = chance.fork(`backup-${this.#lives}`);
    const scope = world.newScope();
    this.#scope = scope;
    const { backups, restores, wholes, again } = this.habits;
    const isWhole = fate.is(wholes);
    if (fate.is(backups)) scope.after(fate.delay(100, 5000), () => void this.backup(isWhole));
    const restore = fate.is(restores) ? this.#restore : undefined;
    if (restore === undefined) return this.#begin(scope);
    if (!fate.is(again)) this.#restore = undefined;
    this.#restored.push({ madeMs: this.#backupMs, atMs: world.nowMs() });
    restore().then(
      () => scope.after(0, () => this.#begin(scope)),
      (error: unknown) => world.broken(`${this.name} was not restored: ${String(error)}`),
    );
  }

  /** What the storage holds now is what a later life may begin with. */
  async backup(isWhole: boolean): Promise<void> {
    const atMs = this.#parts.world.nowMs();
    this.#restore = await this.storage.backup(isWhole);
    this.#backupMs = atMs;
  }

  /** Puts the last backup back. Only while it does not run. */
  async restore(): Promise<void> {
    await this.#restore?.();
  }

  #begin(scope: Scope): void {
    const { world, userId, deviceId, token, chance } = this.#parts;
    this.#hasStarted = false;
    const client = createClient({
      url: 'http://world',
      credential: () => Promise.resolve({ token, userId, deviceId }),
      store: this.storage.open(scope, chance.fork(`storage-${this.#lives}`)),
      transports: [this.#transport(scope)],
      host: this.#host(scope, chance.fork(`host-${this.#lives}`)),
    });
    this.#client = client;
    client.on('failed', ({ key, reason }) => {
      const said = this.said.find((one) => one.key === key);
      if (said !== undefined) this.#failed(said, reason);
    });
    client.start().then(
      () => {
        if (this.#client === client) this.#hasStarted = true;
      },
      (error: unknown) => {
        if (!scope.isDead) world.broken(`${this.name} did not start: ${String(error)}`);
      },
    );
  }

  /** The tab is killed: nothing of it runs any more. */
  kill(): void {
    this.#diedMs.push(this.#parts.world.nowMs());
    this.#scope.die();
    this.#client = undefined;
    this.#hasStarted = false;
    this.#socket?.leave();
    this.#socket = undefined;
    this.#signal = [];
  }

  /** The platform says something: online, offline, focus. */
  hear(signal: HostSignal): void {
    for (const hear of [...this.#signal]) hear(signal);
  }

  /** Says something in a conversation: the row exists on return. */
  say(conversation: Conversation, body: string): void {
    this.#note(conversation.id, conversation.send({ text: { body } }), {
      message: { text: { body } },
    });
  }

  edit(conversation: Conversation, key: string, body: string): void {
    const ref = conversation.edit(key, { text: { body } });
    this.#note(conversation.id, ref, { edit: { message: { text: { body } } } });
  }

  remove(conversation: Conversation, key: string, done: (sequence: number) => void): void {
    const ref = conversation.remove(key, 'all');
    this.#note(conversation.id, ref, { delete: {} });
    ref.accepted.then(
      ({ sequence }) => done(sequence),
      () => undefined,
    );
  }

  /** What failed goes again, by what the screen offers. */
  retry(said: Said): void {
    const ref = this.#waiting(said);
    if (ref?.state.get().is !== 'FAILED') return;
    said.outcome = 'open';
    ref.retry();
    this.#follow(said, ref);
  }

  /** Given up, unless it may have left already; what failed always is. */
  cancel(said: Said): void {
    const ref = this.#waiting(said);
    if (ref === undefined) return;
    const hasFailed = ref.state.get().is === 'FAILED';
    if (!ref.cancel()) {
      if (hasFailed)
        this.#parts.world.broken(`${this.name}: ${said.key} failed and cannot be given up`);
    } else if (!hasFailed) this.#failed(said, 'CANCELED');
  }

  #waiting({ conversation, key }: Said): MessageRef | undefined {
    const timeline = this.client?.conversation(conversation).timeline('latest');
    const row = timeline?.get().rows.find((one) => one.key === key);
    timeline?.close();
    return row?.is === 'message' ? row.pending : undefined;
  }

  #note(conversation: string, ref: MessageRef, body: Json): void {
    const { events } = this.#parts.world;
    const op = `${this.name}/${ref.key}`;
    const is = 'message' in body ? 'message' : 'edit' in body ? 'edit' : 'delete';
    const { key } = ref;
    const said: Said = {
      key,
      conversation,
      is,
      isKept: false,
      outcome: 'open',
      reason: '',
      saidMs: this.#parts.world.nowMs(),
      failedMs: 0,
    };
    this.said.push(said);
    events.push({
      is: 'invoked',
      at: this.#parts.world.nowMs(),
      op,
      user: this.userId,
      outbox: '',
      clientSeq: 0,
      clientMessageId: ref.key,
      conversation,
      content: contentDigest(body),
    });
    const kept = (): void => {
      const state = ref.state.get();
      if (state.is !== 'SENDING' || state.step !== 'saving') said.isKept = true;
    };
    ref.state.subscribe(kept);
    kept();
    this.#follow(said, ref);
  }

  #follow(said: Said, ref: MessageRef): void {
    const op = `${this.name}/${said.key}`;
    ref.accepted.then(
      ({ sequence, timeMs }) => {
        said.outcome = 'accepted';
        const at = this.#parts.world.nowMs();
        this.#parts.world.events.push({ is: 'committed', at, op, sequence, timeMs });
      },
      (error: unknown) => this.#failed(said, text(object(error)['reason'])),
    );
  }

  #failed(said: Said, reason: string): void {
    said.outcome = 'failed';
    said.reason = reason;
    said.failedMs = this.#parts.world.nowMs();
  }

  /** At the very end: what was refused or given up must not stand there. */
  conclude(): void {
    const { events, nowMs } = this.#parts.world;
    for (const said of this.said) {
      if (said.outcome !== 'failed' || !this.#isCertain(said)) continue;
      const op = `${this.name}/${said.key}`;
      events.push({ is: 'refused', at: nowMs(), op, reason: said.reason });
    }
  }

  /** Whether it must be somewhere: no backup without it was put back. */
  mustBe({ isKept, outcome, saidMs }: Said): boolean {
    const isForgotten = this.#restored.some(({ madeMs }) => madeMs <= saidMs + STORED_MS);
    return isKept && outcome === 'open' && !isForgotten;
  }

  #isCertain({ reason, saidMs, failedMs }: Said): boolean {
    if (reason === 'COMMIT_UNKNOWN') return false;
    // It died before it could note that, and said it again.
    if (this.#diedMs.some((ms) => failedMs <= ms && ms < failedMs + STORED_MS)) return false;
    // In a backup: an older day says it again, or the abandoned one had been heard.
    return !this.#restored.some(
      ({ madeMs, atMs }) =>
        saidMs <= madeMs && (failedMs >= atMs || madeMs <= failedMs + STORED_MS),
    );
  }

  // ---- what it stands on

  #host(scope: Scope, chance: Chance): HostPort {
    return {
      nowMs: () => scope.nowMs(),
      monotonicMs: () => scope.monotonicMs(),
      after: (ms, fn) => {
        const timer = scope.after(ms, fn);
        return () => timer.cancel();
      },
      random: () => chance.unit(),
      randomBytes: (bytes) => chance.bytes(bytes),
      onSignal: (fn) => {
        this.#signal.push(fn);
        return () => {
          this.#signal = this.#signal.filter((one) => one !== fn);
        };
      },
    };
  }

  #transport(scope: Scope): Transport {
    return {
      name: 'websocket',
      open: (_url, events) => {
        const reader = `${this.name}#${++this.#connections}`;
        let isDone = false;
        const { world } = this.#parts;
        const isUnplugged = world.nowMs() < this.#pluggedInMs;
        const listener = this.#listen(reader, events, () => isDone);
        const socket = isUnplugged ? undefined : world.open(scope, listener);
        this.#socket = socket;
        if (socket === undefined) scope.after(1, () => !isDone && events.closed(1006, ''));
        return {
          send: (frames) => {
            if (!isDone) for (const frame of frames) socket?.say(JSON.stringify(frame));
          },
          close: () => {
            isDone = true;
            socket?.leave();
          },
        };
      },
    };
  }

  #listen(reader: string, events: TransportEvents, isDone: () => boolean): DeviceSocketEvents {
    return {
      opened: () => !isDone() && events.opened(),
      message: (message) => {
        if (isDone()) return;
        const parsed: unknown = JSON.parse(message);
        const frames = Array.isArray(parsed) ? list(parsed) : [object(parsed)];
        for (const frame of frames) this.#watch(reader, frame);
        events.frames(frames);
      },
      closed: (code, reason) => {
        if (!isDone()) events.closed(code, reason);
      },
    };
  }

  /** What the connection showed, for the checker. */
  #watch(reader: string, frame: Json): void {
    const at = this.#parts.world.nowMs();
    const { events } = this.#parts.world;
    const jumped = (conversation: string): void => {
      events.push({ is: 'jumped', at, reader, conversation, to: 0 });
    };
    for (const item of list(object(frame['rows'])['items']))
      for (const row of list(item['rows']))
        events.push({
          is: 'seen',
          at,
          reader,
          user: this.userId,
          from: 'push',
          conversation: text(item['conversationId']),
          epoch: count(item['epoch']),
          ...seenOf(row),
        });
    for (const item of list(object(frame['heads'])['items'])) jumped(text(item['conversationId']));
    for (const item of list(object(frame['conversations'])['items']))
      jumped(text(item['conversationId']));
    for (const id of texts(object(frame['conversations'])['removed'])) jumped(id);
    if ('gap' in frame) jumped(text(object(frame['gap'])['conversationId']));
  }
}
