/**
 * What goes wrong in a world, until it is healed; and what was made to go wrong, because a store that
 * ends or a row out of turn is only then no fault of the product's.
 */
import { DiskFault } from '../../storage-engine/memory-disk.ts';
import { Chance } from './chance.ts';
import type { ScriptedDevice } from './scripted-device.ts';
import type { SdkDevice } from './sdk-device.ts';
import type { Fault, Swarm } from './swarm.ts';
import type { VirtualGateway, VirtualNode } from './virtual-node.ts';
import type { Scope } from './virtual-time.ts';

export interface FaultsParts {
  readonly swarm: Swarm;
  readonly here: Scope;
  readonly node: VirtualNode;
  readonly gateways: readonly VirtualGateway[];
  readonly devices: readonly ScriptedDevice[];
  readonly sdks: readonly SdkDevice[];
  readonly trace: ((line: string) => void) | undefined;
  broken(what: string): void;
}

const RESTART_MS = 400;
/** A store that ends more often than that will not come up: nothing it says later is of use. */
const STORE_ENDS_MAX = 100;
const DAY_MS = 86_400_000;
/** A send window that was idle for 90 days is forgotten: what is sent again after that is sent twice. */
const JUMPED_MS_MAX = 80 * DAY_MS;

export class Faults {
  readonly #parts: FaultsParts;
  #isDiskGuilty = false;
  #isHealed = false;
  #haveLinksBroken: boolean;
  #storeEnds = 0;

  constructor(parts: FaultsParts) {
    this.#parts = parts;
    this.#haveLinksBroken = parts.swarm.node.linkWindowBytes < 1 << 20;
  }

  /** The disk was made to fail: the store may end for it. */
  get isDiskGuilty(): boolean {
    return this.#isDiskGuilty;
  }

  /** Some gateway lost its Link or fell behind, and lived on: rows come before the gap is announced. */
  get haveLinksBroken(): boolean {
    return this.#haveLinksBroken;
  }

  /** How often the store ended by itself. */
  get storeEnds(): number {
    return this.#storeEnds;
  }

  get isStoreHopeless(): boolean {
    return this.#storeEnds >= STORE_ENDS_MAX;
  }

  inflict(fault: Fault): void {
    if (this.#isHealed) return;
    this.#parts.trace?.(`-- ${fault.kind}`);
    const chance = new Chance(fault.seed);
    const { node, swarm, here, gateways, devices, sdks } = this.#parts;
    switch (fault.kind) {
      case 'kill':
        return this.crash('kill', chance.delay(50, 3000));
      case 'power-cut':
        return this.crash('power', chance.delay(50, 3000));
      case 'restart':
        this.#haveLinksBroken = true;
        return node.stop(() => {
          this.#nodeDown();
          this.#restartLater(chance.delay(10, 1000));
        });
      case 'gateway-kill': {
        const gateway = chance.pick(gateways);
        gateway.end();
        here.after(chance.delay(10, 2000), () => !gateway.isAlive && gateway.start());
        return;
      }
      case 'link-cut':
        this.#haveLinksBroken = true;
        return chance.pick(gateways).link?.cut();
      case 'link-stall': {
        const { link } = chance.pick(gateways);
        const ms = chance.between(50, 4000);
        if (!chance.is(0.5)) return link?.stall(ms);
        this.#haveLinksBroken = true;
        return link?.stallBack(ms);
      }
      case 'socket-cut':
      case 'socket-silent':
        return chance.pick([...devices, ...sdks]).socket?.cut(fault.kind === 'socket-silent');
      case 'slow-reader': {
        const { socket } = chance.pick([...devices, ...sdks]);
        socket?.stall(chance.between(200, 8000));
        here.after(chance.between(500, 10_000), () => socket?.stall(0));
        return;
      }
      case 'device-sleep':
        return chance.pick(devices).sleep(chance.between(100, 20_000));
      case 'disk-stall':
        node.stallMs = chance.between(20, 4000);
        here.after(chance.between(100, 5000), () => (node.stallMs = 0));
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
          node.disk.capacityBytes = swarm.node.diskBytes;
        };
        here.after(chance.between(100, 4000), room);
        return;
      }
      case 'clock-jump':
        return this.#jump(chance.pick([-3_600_000, -1000, 400, 60_000, 86_400_000, 31 * DAY_MS]));
    }
  }

  #jump(ms: number): void {
    const { node } = this.#parts;
    if (node.wallOffsetMs + ms <= JUMPED_MS_MAX) node.jump(ms);
  }

  /** The store's process ends, with the gateways' if they are one. */
  crash(how: 'kill' | 'power', restartMs: number): void {
    const { node } = this.#parts;
    if (node.isAlive) node.end(how);
    this.#nodeDown();
    this.#restartLater(restartMs);
  }

  /** The store ended by itself: allowed only where its disk was made to fail. */
  storeEnded(error: Error): void {
    this.#storeEnds++;
    this.#parts.trace?.(`-- the store ended by itself: ${error.message}`);
    if (!this.#isDiskGuilty) this.#parts.broken(`the store ended by itself: ${error.message}`);
    this.#nodeDown();
    if (this.#storeEnds < STORE_ENDS_MAX) this.#restartLater(RESTART_MS);
  }

  /** Everything that was broken works again, from now on. */
  heal(): void {
    const { node, swarm, gateways, devices, sdks } = this.#parts;
    this.#isHealed = true;
    node.stallMs = 0;
    node.disk.capacityBytes = swarm.node.diskBytes;
    node.disk.faults = {};
    node.medium.faults = {};
    for (const gateway of gateways) {
      gateway.link?.stall(0);
      gateway.link?.stallBack(0);
      for (const socket of gateway.sockets) socket.stall(0);
      if (!gateway.isAlive) gateway.start();
    }
    if (!node.isAlive) node.start();
    for (const device of devices) device.wake();
    for (const sdk of sdks) {
      if (!sdk.isAlive) sdk.start();
      sdk.hear('online');
    }
  }

  #restartLater(ms: number): void {
    const { node, gateways, here } = this.#parts;
    here.after(ms, () => {
      if (!node.isAlive) node.start();
      for (const gateway of gateways) if (!gateway.isAlive) gateway.start();
    });
  }

  #nodeDown(): void {
    const { swarm, gateways } = this.#parts;
    if (!swarm.isOneProcess) this.#haveLinksBroken = true;
    for (const gateway of gateways) {
      if (swarm.isOneProcess) gateway.end();
      else gateway.link?.cut();
    }
  }

  #failSync(): void {
    this.#isDiskGuilty = true;
    const { disk } = this.#parts.node;
    disk.faults = {
      beforeSync: () => {
        disk.faults = {};
        throw new DiskFault('EIO');
      },
    };
  }

  #failState(isRead: boolean): void {
    this.#isDiskGuilty = true;
    const { medium } = this.#parts.node;
    const fail = (): void => {
      medium.faults = {};
      throw new DiskFault('EIO');
    };
    medium.faults = isRead ? { beforeRead: fail } : { beforeWrite: fail };
  }
}
