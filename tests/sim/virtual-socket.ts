/**
 * A WebSocket between a device and a gateway: messages arrive in order after a while; what the
 * gateway sent and the device has not read counts as buffered. A break may be noticed at once, late
 * or (half-open) never, until somebody's ping is not answered.
 */
import type { Socket, SocketEvents } from '../../gateways/websocket/socket.ts';
import type { Batch, Format } from '../../gateways/wire.ts';
import type { Chance } from './chance.ts';
import type { Scope } from './virtual-time.ts';

export interface DeviceSocketEvents {
  opened(): void;
  message(text: string): void;
  closed(code: number, reason: string): void;
}

export interface SocketParts {
  readonly device: Scope;
  readonly gateway: Scope;
  readonly chance: Chance;
  readonly delayMaxMs: number;
  readonly events: DeviceSocketEvents;
  /** Every message, for the digest of the run. */
  readonly trace: (direction: 'up' | 'down', text: string) => void;
}

export class VirtualSocket implements Socket {
  readonly format: Format = 'json';
  readonly address: string = '192.0.2.1';
  readonly #parts: SocketParts;
  #server: SocketEvents | undefined;
  #upAtMs = 0;
  #downAtMs = 0;
  #buffered = 0;
  #isBroken = false;
  #isDeviceDone = false;
  #isServerDone = false;
  /** The device reads nothing until then. */
  #stalledForMs = 0;

  constructor(parts: SocketParts) {
    this.#parts = parts;
  }

  get isOver(): boolean {
    return this.#isDeviceDone;
  }

  get bufferedBytes(): number {
    return this.#buffered;
  }

  // ---- the device's end

  /** `accept` makes the gateway's session; it throws if there is no gateway. */
  open(accept: (socket: VirtualSocket) => SocketEvents): void {
    const { device, gateway, chance, events, delayMaxMs } = this.#parts;
    device.after(chance.delay(0.1, delayMaxMs), () => {
      if (this.#isDeviceDone) return;
      if (gateway.isDead) return this.#endDevice(1006, '');
      this.#server = accept(this);
      device.after(0.1, () => {
        if (!this.#isDeviceDone) events.opened();
      });
    });
  }

  say(text: string): void {
    const { device, gateway, chance, delayMaxMs, trace } = this.#parts;
    if (this.#isDeviceDone) return;
    trace('up', text);
    const now = device.worldMs;
    this.#upAtMs = Math.max(this.#upAtMs, now + chance.delay(0.1, delayMaxMs));
    gateway.at(this.#upAtMs, () => {
      if (!this.#isBroken && !this.#isServerDone) this.#server?.message(Buffer.from(text), true);
    });
  }

  /** The device goes, in good order or not. */
  leave(): void {
    if (this.#isDeviceDone) return;
    this.#isDeviceDone = true;
    const { device, gateway } = this.#parts;
    const now = device.worldMs;
    gateway.at(Math.max(this.#upAtMs, now + 0.1), () => this.#endServer());
  }

  // ---- the gateway's end (Socket)

  send(batch: Batch): void {
    if (this.#isServerDone || this.#isDeviceDone) return;
    const text = batch.payload().toString();
    const size = batch.size;
    this.#buffered += size;
    const { device, gateway, chance, delayMaxMs } = this.#parts;
    const now = device.worldMs;
    const delayMs = chance.delay(0.1, delayMaxMs) + this.#stalledForMs;
    this.#downAtMs = Math.max(this.#downAtMs, now + delayMs);
    device.at(this.#downAtMs, () => {
      if (this.#isBroken) return;
      this.#buffered -= size;
      if (!gateway.isDead && !this.#isServerDone) gateway.soon(() => this.#drained());
      if (this.#isDeviceDone) return;
      this.#parts.trace('down', text);
      this.#parts.events.message(text);
    });
  }

  close(code: number, reason: string): void {
    if (this.#isServerDone) return;
    this.#isServerDone = true;
    const { device } = this.#parts;
    const now = device.worldMs;
    device.at(Math.max(this.#downAtMs, now + 0.1), () => {
      if (!this.#isBroken) this.#endDevice(code, reason);
    });
  }

  // ---- faults

  /** Nothing passes any more. Who hears of it, and when, is chance; `isSilent` = nobody does. */
  cut(isSilent = false): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    if (isSilent) return;
    const { device, gateway, chance } = this.#parts;
    device.after(chance.delay(0.1, 2000), () => this.#endDevice(1006, ''));
    gateway.after(chance.delay(0.1, 2000), () => this.#endServer());
  }

  /** The gateway's process ended: the device hears of it soon. */
  peerDied(): void {
    this.#isBroken = true;
    const { device, chance } = this.#parts;
    device.after(chance.delay(0.1, 50), () => this.#endDevice(1006, ''));
  }

  /** What is sent from now on takes this much longer; 0 = as before. */
  stall(ms: number): void {
    this.#stalledForMs = ms;
  }

  #drained(): void {
    if (!this.#isServerDone && !this.#isBroken) this.#server?.drained();
  }

  #endDevice(code: number, reason: string): void {
    if (this.#isDeviceDone) return;
    this.#isDeviceDone = true;
    this.#parts.events.closed(code, reason);
  }

  #endServer(): void {
    if (this.#isServerDone) return;
    this.#isServerDone = true;
    this.#server?.closed();
  }
}
