/**
 * A device in the fewest lines that keep the contract: an outbox, questions, what it knows, and the
 * connection that carries them. It writes down all it does and sees. Thinner and more impatient than
 * the SDK: it pipelines as much as it may and leaves whenever it likes.
 */
import { type Answered, DeviceCalls } from './device-calls.ts';
import { DeviceOutbox } from './device-outbox.ts';
import type { DeviceLine, DeviceParts, DeviceWorld } from './device-world.ts';
import { type KnownConversation, KnownConversations } from './known-conversations.ts';
import type { DeviceSocketEvents, VirtualSocket } from './virtual-socket.ts';
import { count, list, object, text, type Json } from './wire.ts';

const RECONNECT_MS = 300;
const SILENCE_MS = 40_000;

export class ScriptedDevice {
  readonly name: string;
  readonly userId: string;
  readonly #parts: DeviceParts;
  readonly #world: DeviceWorld;
  readonly #outbox: DeviceOutbox;
  readonly #calls: DeviceCalls;
  readonly #known: KnownConversations;
  #socket: VirtualSocket | undefined;
  #events: DeviceSocketEvents | undefined;
  #isReady = false;
  #isOffline = false;
  #nextFrame = 2;
  #heardMs = 0;
  #connections = 0;

  constructor(parts: DeviceParts) {
    this.name = parts.name;
    this.userId = parts.userId;
    this.#parts = parts;
    this.#world = parts.world;
    const line = this.#line();
    this.#outbox = new DeviceOutbox(parts, line);
    this.#calls = new DeviceCalls(parts.scope, line);
    this.#known = new KnownConversations(parts, line, this.#calls);
  }

  get conversations(): ReadonlyMap<string, KnownConversation> {
    return this.#known.byId;
  }

  idOf(to: string): string {
    return this.#world.idOf(to);
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get unanswered(): number {
    return this.#outbox.unanswered + this.#calls.unanswered;
  }

  get socket(): VirtualSocket | undefined {
    return this.#socket;
  }

  get isSettled(): boolean {
    return this.unanswered === 0 && this.#isReady && this.#known.isComplete;
  }

  start(): void {
    this.#connect();
    this.#parts.scope.every(5000, () => this.#watch());
  }

  /** Goes away for a while. */
  sleep(ms: number): void {
    this.#isOffline = true;
    this.#lost();
    this.#socket?.leave();
    this.#parts.scope.after(ms, () => this.wake());
  }

  wake(): void {
    if (!this.#isOffline) return;
    this.#isOffline = false;
    this.#connect();
  }

  send(to: string, body: Json, done?: (commit: Json | undefined) => void): string {
    return this.#outbox.send(to, body, done);
  }

  /** Asks until there is an answer that stands; `done` gets it, or the reason of the refusal. */
  call(method: string, request: Json, done: Answered): void {
    this.#calls.call(method, request, done);
  }

  markRead(id: string): void {
    this.#known.markRead(id);
  }

  say(frame: Json): void {
    if (this.#isReady) this.#say(frame);
  }

  #line(): DeviceLine {
    const device = this;
    return {
      get isReady() {
        return device.#isReady;
      },
      get reader() {
        return `${device.name}#${device.#connections}`;
      },
      say: (frame) => this.#say(frame),
      ask: (frame) => {
        const id = this.#nextFrame++;
        this.#say({ id, ...frame });
        return id;
      },
    };
  }

  #connect(): void {
    if (this.#isOffline) return;
    this.#connections += 1;
    const events: DeviceSocketEvents = {
      opened: () => this.#isCurrent(events) && this.#hello(),
      message: (message) => this.#isCurrent(events) && this.#message(message),
      closed: (code, reason) => this.#isCurrent(events) && this.#closed(code, reason),
    };
    this.#events = events;
    this.#heardMs = this.#parts.scope.monotonicMs();
    this.#socket = this.#world.open(events);
    if (this.#socket === undefined) this.#connectLater();
  }

  #isCurrent(events: DeviceSocketEvents): boolean {
    return this.#events === events && !this.#isOffline;
  }

  #hello(): void {
    this.#say({ id: 1, hello: { token: this.#parts.token, ...this.#known.resume() } });
  }

  #closed(code: number, reason: string): void {
    this.#lost();
    if (code >= 4500 && reason !== 'REPLACED')
      this.#world.broken(`${this.name} was told never to come back: ${code} ${reason}`);
    this.#connectLater();
  }

  #lost(): void {
    this.#isReady = false;
    this.#events = undefined;
    this.#outbox.lost();
    this.#calls.lost();
  }

  #connectLater(): void {
    const { scope, chance } = this.#parts;
    scope.after(RECONNECT_MS * (0.2 + chance.unit()), () => {
      if (this.#events === undefined || this.#socket === undefined) this.#connect();
    });
  }

  /** A half-open connection: nothing was heard for too long. */
  #watch(): void {
    const silentMs = this.#parts.scope.monotonicMs() - this.#heardMs;
    if (this.#isOffline || this.#events === undefined || silentMs < SILENCE_MS) return;
    this.#socket?.leave();
    this.#lost();
    this.#connectLater();
  }

  #say(frame: Json): void {
    this.#socket?.say(JSON.stringify(frame));
  }

  #message(message: string): void {
    this.#heardMs = this.#parts.scope.monotonicMs();
    const parsed: unknown = JSON.parse(message);
    for (const frame of Array.isArray(parsed) ? list(parsed) : [object(parsed)]) this.#frame(frame);
  }

  #frame(frame: Json): void {
    const id = count(frame['id']);
    if ('ready' in frame) this.#ready(object(frame['ready']));
    else if ('commit' in frame) this.#outbox.committed(id, object(frame['commit']));
    else if ('result' in frame) this.#calls.answered(id, object(frame['result']));
    else if ('error' in frame) this.#refused(id, text(object(frame['error'])['reason']));
    else if ('rows' in frame) this.#known.rows(object(frame['rows']));
    else if ('heads' in frame) this.#known.heads(object(frame['heads']));
    else if ('conversations' in frame) this.#known.views(object(frame['conversations']));
    else if ('receipts' in frame) this.#known.receipts(object(frame['receipts']));
    else if ('gap' in frame) this.#known.gap(object(frame['gap']));
    else if ('caughtUp' in frame) this.#known.token(object(frame['caughtUp']));
    else if ('token' in frame) this.#known.token(object(frame['token']));
    else if ('ping' in frame) this.#say({ pong: {} });
  }

  #ready(ready: Json): void {
    this.#isReady = true;
    this.#known.ready(ready['resumed'] === true);
    this.#outbox.ready();
    this.#calls.ready();
    this.#known.catchUp();
  }

  #refused(frameId: number, reason: string): void {
    if (!this.#calls.refused(frameId, reason)) this.#outbox.refused(frameId, reason);
  }
}
