/** What a scripted device and its parts stand on: the world around them, and the connection. */
import type { HistoryEvent } from '../checker/history.ts';
import type { Chance } from './chance.ts';
import type { DeviceSocketEvents, VirtualSocket } from './virtual-socket.ts';
import type { Scope } from './virtual-time.ts';
import type { Json } from './wire.ts';

/** What a device needs of the world it lives in. */
export interface DeviceWorld {
  nowMs(): number;
  /** undefined = there is no way to any gateway now. */
  open(events: DeviceSocketEvents): VirtualSocket | undefined;
  /** What the log will call an address. */
  idOf(to: string): string;
  readonly events: HistoryEvent[];
  /** Something happened that no rule allows. */
  broken(what: string): void;
}

export interface DeviceParts {
  readonly name: string;
  readonly userId: string;
  readonly token: string;
  readonly scope: Scope;
  readonly chance: Chance;
  readonly world: DeviceWorld;
}

/** The connection of the moment, as the parts of a device see it. */
export interface DeviceLine {
  readonly isReady: boolean;
  /** Of this connection, as the history names who reads over it. */
  readonly reader: string;
  say(frame: Json): void;
  /** Says a frame that will be answered; returns the number of both. */
  ask(frame: Json): number;
}
