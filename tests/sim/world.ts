/**
 * One world from one seed: devices, gateways, a store, a network and disks that fail as the seed
 * says; then everything is healed, must converge, and must have kept what it promised.
 *
 *   chaos → heal → converge (every send answered, every device caught up) → read everything →
 *   cut the power once more → read everything again → judge
 */
import { createHash, type Hash } from 'node:crypto';
import { decodeId, directConversationRaw, encodeId } from '../../core/ids.ts';
import type { Logger } from '../../core/observe.ts';
import { DiskFault } from '../../storage-engine/memory-disk.ts';
import { hex } from '../../core/bytes.ts';
import type { HistoryEvent } from '../checker/history.ts';
import { Chance } from './chance.ts';
import { readConversation, type TrueConversation } from './final-log.ts';
import { isBehind, judge, type Listed } from './judgement.ts';
import { People } from './people.ts';
import { ScriptedDevice } from './scripted-device.ts';
import { SdkDevice } from './sdk-device.ts';
import { judgeSdk, shownBy } from './sdk-judgement.ts';
import { SdkPeople } from './sdk-people.ts';
import type { Fault, Swarm } from './swarm.ts';
import { VirtualAccounts, type Account } from './virtual-accounts.ts';
import { VirtualGateway, VirtualNode, type NodeParts } from './virtual-node.ts';
import { VirtualSocket, type DeviceSocketEvents } from './virtual-socket.ts';
import { VirtualTime, type Scope } from './virtual-time.ts';
import type { Weakness } from './weak-twins.ts';
import { list, object, text, type Json } from './wire.ts';

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly string[];
  /** Of every message on every socket and every row: the same seed gives the same. */
  readonly digest: string;
  readonly counts: Readonly<Record<string, number>>;
}

/** Five minutes find a lost hint; the rest is for whoever finds it late. */
const CONVERGE_MS = 700_000;
const CONVERGE_LOOK_MS = 200;
/** A world that goes on and on will not come to rest. */
const REST_EVENTS_MAX = 300_000;
const RESTART_MS = 400;
/** A store that ends more often than that will not come up: nothing it says later is of use. */
const STORE_ENDS_MAX = 100;
const DAY_MS = 86_400_000;
const QUIET_MS = 5000;
const QUIET_MAX_MS = 60_000;
const LIST_MAX = 200;

export class World {
  readonly swarm: Swarm;
  readonly time: VirtualTime = new VirtualTime();
  readonly chance: Chance;
  readonly accounts: VirtualAccounts;
  readonly users: Account[] = [];
  readonly devices: ScriptedDevice[] = [];
  readonly sdks: SdkDevice[] = [];
  readonly people: People;
  readonly sdkPeople: SdkPeople;
  readonly node: VirtualNode;
  readonly gateways: VirtualGateway[] = [];
  readonly events: HistoryEvent[] = [];
  readonly violations: string[] = [];
  readonly trace: ((line: string) => void) | undefined;
  readonly #here: Scope;
  readonly #hash: Hash = createHash('sha256');
  /** The disk was made to fail: the store may end for it. */
  #isDiskGuilty = false;
  #isHealed = false;
  #messages = 0;
  /** Some gateway lost its Link or fell behind, and lived on: rows come before the gap is announced. */
  haveLinksBroken = false;
  #storeEnds = 0;

  constructor(swarm: Swarm, trace?: (line: string) => void, weakness: Weakness = {}) {
    this.swarm = swarm;
    this.trace = trace;
    this.haveLinksBroken = swarm.node.linkWindowBytes < 1 << 20;
    this.chance = new Chance(swarm.seed).fork('world');
    this.#here = this.time.scope('world');
    this.time.onThrow = (error, scope) =>
      this.broken(
        `${scope.name} threw: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
      );
    this.accounts = new VirtualAccounts(this.chance.fork('accounts'));
    const parts: NodeParts = {
      time: this.time,
      chance: this.chance.fork('node'),
      accounts: this.accounts,
      settings: swarm.node,
      log: this.#logger(),
      ended: (error) => this.#storeEnded(error),
      weakness,
    };
    this.node = new VirtualNode(parts);
    for (let i = 0; i < swarm.gateways; i++)
      this.gateways.push(new VirtualGateway(parts, this.node, `gateway-${i}`));
    for (let i = 0; i < swarm.users; i++) this.users.push(this.accounts.signUp(`user${i}`));
    for (const account of this.users) {
      for (let i = 0; i < swarm.devicesEach; i++) this.#addDevice(account, i);
      if (this.chance.is(swarm.sdkShare)) this.#addSdk(account);
    }
    this.people = new People({
      chance: this.chance.fork('people'),
      accounts: this.users,
      devices: this.devices,
      nowMs: () => this.time.nowMs,
      broken: (what) => this.broken(what),
    });
    this.sdkPeople = new SdkPeople({
      chance: this.chance.fork('sdk-people'),
      accounts: this.users,
      groups: this.people.groups,
      deleted: this.people.deleted,
      nowMs: () => this.time.nowMs,
    });
  }

  async run(): Promise<Outcome> {
    const { swarm } = this;
    this.begin();
    for (let i = 0; i < swarm.acts; i++)
      this.#here.after(this.chance.unit() * swarm.chaosMs, () => this.act());
    for (const fault of swarm.faults) this.#here.after(fault.atMs, () => this.inflict(fault));
    await this.time.runUntil(swarm.chaosMs, () => this.violations.length > 20);
    this.heal();
    await this.converge();
    return this.finish();
  }

  begin(): void {
    this.node.start();
    for (const gateway of this.gateways) gateway.start();
    for (const device of this.devices) device.start();
    for (const sdk of this.sdks) sdk.start();
  }

  act(): void {
    const share = this.sdks.length / (this.sdks.length + this.devices.length);
    if (this.chance.is(share)) this.sdkPeople.act(this.chance.pick(this.sdks));
    else this.people.act();
  }

  /** Everything that was broken works again, from now on. */
  heal(): void {
    this.#isHealed = true;
    this.node.stallMs = 0;
    this.node.disk.capacityBytes = this.swarm.node.diskBytes;
    this.node.disk.faults = {};
    this.node.medium.faults = {};
    for (const gateway of this.gateways) {
      gateway.link?.stall(0);
      gateway.link?.stallBack(0);
      for (const socket of gateway.sockets) socket.stall(0);
      if (!gateway.isAlive) gateway.start();
    }
    if (!this.node.isAlive) this.node.start();
    for (const device of this.devices) device.wake();
    for (const sdk of this.sdks) {
      if (!sdk.isAlive) sdk.start();
      sdk.hear('online');
    }
  }

  /** Waits until everybody is where he must end up; says who is not. */
  async converge(): Promise<void> {
    const fromMs = this.time.nowMs;
    const isDone = (): boolean => this.node.store !== undefined && this.#laggards().length === 0;
    const eventsMax = this.time.fired + REST_EVENTS_MAX;
    const mayWait = (): boolean =>
      this.time.nowMs < fromMs + CONVERGE_MS &&
      this.time.fired < eventsMax &&
      this.#storeEnds < STORE_ENDS_MAX;
    while (mayWait() && !isDone()) await this.time.runUntil(this.time.nowMs + CONVERGE_LOOK_MS);
    if (this.node.store === undefined) this.broken('the store did not come up');
    for (const who of this.#laggards()) this.broken(`did not converge: ${who}`);
    // What a device cannot know that it lacks (a join whose push was lost, a mark that was refused)
    // is found by the check every five minutes.
    for (let waitMs = QUIET_MS; mayWait(); waitMs = Math.min(waitMs * 2, QUIET_MAX_MS)) {
      await this.time.runUntil(this.time.nowMs + waitMs);
      const logs = await this.readAll();
      if (!logs.some((log) => isBehind(this, log))) return;
    }
  }

  async finish(): Promise<Outcome> {
    const before = await this.readAll();
    for (const gateway of this.gateways) gateway.end();
    this.node.end('power');
    this.node.start();
    for (const gateway of this.gateways) gateway.start();
    await this.time.runUntil(this.time.nowMs + 60_000, () => this.node.store !== undefined);
    const after = await this.readAll();
    const all = [...this.devices, ...this.sdks];
    const untilMs = this.time.nowMs + 60_000;
    while (this.time.nowMs < untilMs && !all.every((device) => device.isSettled))
      await this.time.runUntil(this.time.nowMs + CONVERGE_LOOK_MS);
    // Receipts and counts follow the rows.
    await this.time.runUntil(this.time.nowMs + QUIET_MS);
    // Marks that were lost with the power come again with the devices: read anew.
    await this.#judgeSdks(await this.readAll());
    const listed = await this.#listAll(after);
    const directories = await this.#directories();
    judge({ world: this, before, after, listed, directories });
    for (const log of after) this.#hash.update(JSON.stringify(log.rows));
    return {
      seed: this.swarm.seed,
      violations: this.violations,
      digest: this.#hash.digest('hex').slice(0, 16),
      counts: this.#counts(after),
    };
  }

  async #judgeSdks(logs: readonly TrueConversation[]): Promise<void> {
    for (const sdk of this.sdks) {
      const { client } = sdk;
      if (client === undefined) this.broken(`${sdk.name} does not run`);
      else
        await this.whileTimePasses(async () => {
          const shown = await shownBy(client, logs, sdk);
          judgeSdk(sdk, logs, shown, (what) => this.broken(what));
        });
    }
  }

  broken(what: string): void {
    this.trace?.(`!! ${what}`);
    if (this.violations.length < 50 && !this.violations.includes(what)) this.violations.push(what);
  }

  // ---- faults

  inflict(fault: Fault): void {
    if (this.#isHealed) return;
    this.trace?.(`-- ${fault.kind}`);
    const chance = new Chance(fault.seed);
    const { node } = this;
    switch (fault.kind) {
      case 'kill':
        return this.crash('kill', chance.delay(50, 3000));
      case 'power-cut':
        return this.crash('power', chance.delay(50, 3000));
      case 'restart':
        this.haveLinksBroken = true;
        return node.stop(() => {
          this.#nodeDown();
          this.#restartLater(chance.delay(10, 1000));
        });
      case 'gateway-kill': {
        const gateway = chance.pick(this.gateways);
        gateway.end();
        this.#here.after(chance.delay(10, 2000), () => !gateway.isAlive && gateway.start());
        return;
      }
      case 'link-cut':
        this.haveLinksBroken = true;
        return chance.pick(this.gateways).link?.cut();
      case 'link-stall': {
        const { link } = chance.pick(this.gateways);
        const ms = chance.between(50, 4000);
        if (!chance.is(0.5)) return link?.stall(ms);
        this.haveLinksBroken = true;
        return link?.stallBack(ms);
      }
      case 'socket-cut':
      case 'socket-silent':
        return chance
          .pick([...this.devices, ...this.sdks])
          .socket?.cut(fault.kind === 'socket-silent');
      case 'slow-reader': {
        const { socket } = chance.pick([...this.devices, ...this.sdks]);
        socket?.stall(chance.between(200, 8000));
        this.#here.after(chance.between(500, 10_000), () => socket?.stall(0));
        return;
      }
      case 'device-sleep':
        return chance.pick(this.devices).sleep(chance.between(100, 20_000));
      case 'disk-stall':
        node.stallMs = chance.between(20, 4000);
        this.#here.after(chance.between(100, 5000), () => (node.stallMs = 0));
        return;
      case 'sync-error':
        return this.#failSync();
      case 'state-error':
        return this.#failState(chance.is(0.5));
      case 'disk-full': {
        this.#isDiskGuilty = true;
        const { freeBytes, totalBytes } = node.disk.space();
        node.disk.capacityBytes = totalBytes - freeBytes + chance.between(0, 20_000);
        const room = (): void => {
          node.disk.capacityBytes = this.swarm.node.diskBytes;
        };
        this.#here.after(chance.between(100, 4000), room);
        return;
      }
      case 'clock-jump':
        return node.jump(chance.pick([-3_600_000, -1000, 400, 60_000, 86_400_000, 31 * DAY_MS]));
    }
  }

  /** The store's process ends, with the gateways' if they are one. */
  crash(how: 'kill' | 'power', restartMs: number): void {
    if (this.node.isAlive) this.node.end(how);
    this.#nodeDown();
    this.#restartLater(restartMs);
  }

  #nodeDown(): void {
    if (!this.swarm.isOneProcess) this.haveLinksBroken = true;
    for (const gateway of this.gateways) {
      if (this.swarm.isOneProcess) gateway.end();
      else gateway.link?.cut();
    }
  }

  #restartLater(ms: number): void {
    this.#here.after(ms, () => {
      if (!this.node.isAlive) this.node.start();
      for (const gateway of this.gateways) if (!gateway.isAlive) gateway.start();
    });
  }

  #failSync(): void {
    this.#isDiskGuilty = true;
    const { disk } = this.node;
    disk.faults = {
      beforeSync: () => {
        disk.faults = {};
        throw new DiskFault('EIO');
      },
    };
  }

  #failState(isRead: boolean): void {
    this.#isDiskGuilty = true;
    const { medium } = this.node;
    const fail = (): void => {
      medium.faults = {};
      throw new DiskFault('EIO');
    };
    medium.faults = isRead ? { beforeRead: fail } : { beforeWrite: fail };
  }

  #storeEnded(error: Error): void {
    this.#storeEnds++;
    this.trace?.(`-- the store ended by itself: ${error.message}`);
    if (!this.#isDiskGuilty) this.broken(`the store ended by itself: ${error.message}`);
    this.#nodeDown();
    if (this.#storeEnds < STORE_ENDS_MAX) this.#restartLater(RESTART_MS);
  }

  // ---- devices

  #addDevice(account: Account, i: number): void {
    const name = `${account.name}.${i}`;
    const scope = this.time.scope(name);
    const chance = this.chance.fork(name);
    const { token } = this.accounts.signIn(account);
    const device = new ScriptedDevice({
      name,
      userId: account.userId,
      token,
      scope,
      chance,
      world: {
        nowMs: () => this.time.nowMs,
        events: this.events,
        broken: (what) => this.broken(what),
        idOf: (to) => idOf(account.user, to),
        open: (events) => this.#openSocket({ name, scope, chance }, events),
      },
    });
    this.devices.push(device);
  }

  #addSdk(account: Account): void {
    const name = `${account.name}.sdk`;
    const chance = this.chance.fork(name);
    const { token, deviceId } = this.accounts.signIn(account);
    const sdk = new SdkDevice({
      name,
      userId: account.userId,
      deviceId,
      token,
      chance,
      world: {
        nowMs: () => this.time.nowMs,
        newScope: () => this.time.scope(name),
        events: this.events,
        broken: (what) => this.broken(what),
        open: (scope, events) => this.#openSocket({ name, scope, chance }, events),
      },
    });
    this.sdks.push(sdk);
  }

  /** To some gateway that lives; undefined = there is none. */
  #openSocket(
    from: { readonly name: string; readonly scope: Scope; readonly chance: Chance },
    events: DeviceSocketEvents,
  ): VirtualSocket | undefined {
    const { name, scope, chance } = from;
    const alive = this.gateways.filter(({ isAlive }) => isAlive);
    if (alive.length === 0) return undefined;
    const gateway = chance.pick(alive);
    const socket = new VirtualSocket({
      device: scope,
      gateway: gateway.scope,
      chance: chance.fork(`socket-${this.time.fired}`),
      delayMaxMs: this.swarm.socketDelayMaxMs,
      events,
      trace: (direction, message) => this.#traceMessage(name, direction, message),
    });
    socket.open((opened) => {
      const running = gateway.gateway;
      if (running === undefined) throw new TypeError('the gateway is gone');
      gateway.adopt(opened);
      return running.accept(opened, undefined);
    });
    return socket;
  }

  #traceMessage(name: string, direction: 'up' | 'down', message: string): void {
    this.#messages++;
    this.#hash.update(`${this.time.nowMs.toFixed(3)} ${name} ${direction} ${message}\n`);
    this.trace?.(
      `${this.time.nowMs.toFixed(1)} ${name} ${direction === 'up' ? '>' : '<'} ${message}`,
    );
  }

  #laggards(): string[] {
    const late: string[] = [];
    const heads = new Map<string, number>();
    for (const device of this.devices)
      for (const c of device.conversations.values())
        heads.set(c.id, Math.max(heads.get(c.id) ?? 0, c.head));
    for (const device of this.devices) {
      if (!device.isSettled) late.push(`${device.name} (${device.unanswered} unanswered)`);
      for (const c of device.conversations.values())
        if (c.isMember && c.cursor < (heads.get(c.id) ?? 0))
          late.push(`${device.name} is at ${c.cursor} of ${heads.get(c.id)} in ${c.id}`);
    }
    for (const sdk of this.sdks) if (!sdk.isSettled) late.push(`${sdk.name} (${sdk.owes})`);
    return late;
  }

  // ---- the end

  /** Every conversation that may exist, read whole. */
  async readAll(): Promise<TrueConversation[]> {
    const raws = new Map<string, Uint8Array>();
    for (const a of this.users)
      for (const b of this.users) {
        const raw = directConversationRaw(a.user, b.user);
        raws.set(hex(raw), raw);
      }
    for (const id of this.people.groups) {
      const raw = decodeId('cnv', id);
      if (raw !== undefined) raws.set(hex(raw), raw);
    }
    const logs: TrueConversation[] = [];
    const { store } = this.node;
    if (store === undefined) return logs;
    await this.whileTimePasses(async () => {
      for (const raw of raws.values()) {
        const log = await readConversation(store.reads, raw);
        if (log !== undefined) logs.push(log);
      }
    });
    return logs;
  }

  /** Open memberships by user id, as the account logs have them. */
  async #directories(): Promise<Map<string, Set<string>>> {
    const found = new Map<string, Set<string>>();
    const { store } = this.node;
    if (store === undefined) return found;
    await this.whileTimePasses(async () => {
      for (const { user, userId } of this.users) {
        const open = (await store.reads.directory(user))?.open() ?? new Uint8Array(0);
        const ids = new Set<string>();
        for (let at = 0; at < open.length; at += 16)
          ids.add(encodeId('cnv', open.subarray(at, at + 16)));
        found.set(userId, ids);
      }
    });
    return found;
  }

  /** What each user gets who asks for everything anew. */
  async #listAll(logs: readonly TrueConversation[]): Promise<Listed[]> {
    const found: Listed[] = [];
    let waiting = 0;
    for (const account of this.users) {
      const device = this.devices.find(({ userId }) => userId === account.userId);
      for (const log of logs) {
        if (device === undefined || log.members.get(account.userId)?.isMember !== true) continue;
        waiting += 2;
        const entry = { userId: account.userId, log, view: {} as Json, messages: [] as Json[] };
        found.push(entry);
        device.call('Conversations.Get', { conversationId: log.id }, (answer, reason) => {
          waiting--;
          if (answer === undefined) this.broken(`${log.id} was not shown: ${reason}`);
          entry.view = object(answer);
        });
        device.call('Messages.List', { conversationId: log.id, limit: LIST_MAX }, (answer) => {
          waiting--;
          entry.messages = [...list(object(answer)['messages'])];
        });
      }
    }
    await this.time.runUntil(this.time.nowMs + 120_000, () => waiting === 0);
    if (waiting > 0) this.broken(`${waiting} last questions were not answered`);
    return found;
  }

  /** Waits for something that needs time to pass. */
  async whileTimePasses(work: () => Promise<void>): Promise<void> {
    let isDone = false;
    const running = work().then(
      () => {
        isDone = true;
      },
      (error: unknown) => {
        isDone = true;
        this.broken(`a last read failed: ${String(error)}`);
      },
    );
    await this.time.runUntil(this.time.nowMs + 60_000, () => isDone);
    if (!isDone) this.broken('a last read did not end');
    else await running;
  }

  #counts(logs: readonly TrueConversation[]): Record<string, number> {
    return {
      events: this.time.fired,
      virtualMs: Math.round(this.time.nowMs),
      messages: this.#messages,
      rows: logs.reduce((sum, { rows }) => sum + rows.length, 0),
      conversations: logs.length,
      sends: this.events.filter(({ is }) => is === 'invoked').length,
      commits: this.events.filter(({ is }) => is === 'committed').length,
      lives: this.node.lives,
      storeEnds: this.#storeEnds,
    };
  }

  #logger(): Logger {
    const say = (level: string, message: string, fields?: object): void =>
      this.trace?.(
        `${this.time.nowMs.toFixed(1)} ${level} ${message} ${JSON.stringify(fields ?? {})}`,
      );
    const log: Logger = {
      debug: () => undefined,
      info: (message, fields) => say('info', message, fields),
      warn: (message, fields) => say('warn', message, fields),
      error: (message, fields) => {
        say('error', message, fields);
        if (!this.#isDiskGuilty) this.broken(`error: ${message} ${text(fields?.cause)}`);
      },
      with: () => log,
    };
    return log;
  }
}

export function idOf(user: Uint8Array, to: string): string {
  if (!to.startsWith('direct:')) return to;
  const other = decodeId('usr', to.slice('direct:'.length)) ?? user;
  return encodeId('cnv', directConversationRaw(user, other));
}
