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
import { hex } from '../../core/bytes.ts';
import type { HistoryEvent } from '../checker/history.ts';
import { Chance } from './chance.ts';
import { directoriesOf, listedBy } from './evidence.ts';
import { Faults } from './faults.ts';
import { readConversation, type TrueConversation } from './final-log.ts';
import { holdReferences } from './held-references.ts';
import { isBehind, judge } from './judgement.ts';
import { People } from './people.ts';
import { ScriptedDevice } from './scripted-device.ts';
import { SdkDevice } from './sdk-device.ts';
import { judgeSdk, shownBy } from './sdk-judgement.ts';
import { SdkPeople } from './sdk-people.ts';
import type { Swarm } from './swarm.ts';
import { VirtualAccounts, type Account } from './virtual-accounts.ts';
import { VirtualGateway, VirtualNode, type NodeParts } from './virtual-node.ts';
import { VirtualSocket, type DeviceSocketEvents } from './virtual-socket.ts';
import { VirtualTime, type Scope } from './virtual-time.ts';
import type { Weakness } from './weak-twins.ts';
import { text } from './wire.ts';

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
const QUIET_MS = 5000;
const QUIET_MAX_MS = 60_000;

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
  readonly faults: Faults;
  readonly events: HistoryEvent[] = [];
  readonly violations: string[] = [];
  readonly trace: ((line: string) => void) | undefined;
  readonly #here: Scope;
  readonly #hash: Hash = createHash('sha256');
  #messages = 0;

  constructor(swarm: Swarm, trace?: (line: string) => void, weakness: Weakness = {}) {
    holdReferences();
    this.swarm = swarm;
    this.trace = trace;
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
      ended: (error) => this.faults.storeEnded(error),
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
    this.faults = new Faults({
      swarm,
      here: this.#here,
      node: this.node,
      gateways: this.gateways,
      devices: this.devices,
      sdks: this.sdks,
      trace,
      broken: (what) => this.broken(what),
    });
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
    for (const fault of swarm.faults)
      this.#here.after(fault.atMs, () => this.faults.inflict(fault));
    await this.time.runUntil(swarm.chaosMs, () => this.violations.length > 20);
    this.faults.heal();
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
    const even = this.sdks.length / (this.sdks.length + this.devices.length);
    const share = this.swarm.isAboutPhones ? 0.9 : even;
    if (this.chance.is(share)) this.sdkPeople.act(this.chance.pick(this.sdks));
    else this.people.act();
  }

  /** Waits until everybody is where he must end up; says who is not. */
  async converge(): Promise<void> {
    const fromMs = this.time.nowMs;
    const isDone = (): boolean => this.node.store !== undefined && this.#laggards().length === 0;
    const eventsMax = this.time.fired + REST_EVENTS_MAX;
    const mayWait = (): boolean =>
      this.time.nowMs < fromMs + CONVERGE_MS &&
      this.time.fired < eventsMax &&
      !this.faults.isStoreHopeless;
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
    for (const sdk of this.sdks) sdk.conclude();
    // Receipts and counts follow the rows.
    await this.time.runUntil(this.time.nowMs + QUIET_MS);
    // Marks that were lost with the power come again with the devices: read anew.
    await this.#judgeSdks(await this.readAll());
    const listed = await listedBy(this, after);
    const directories = await directoriesOf(this);
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
      isRough: this.swarm.isAboutPhones,
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
      storeEnds: this.faults.storeEnds,
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
        if (!this.faults.isDiskGuilty) this.broken(`error: ${message} ${text(fields?.cause)}`);
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
