/**
 * Whom this gateway serves: users by handle, each with his live connections, and devices, of which
 * each has one. A handle is never used again: what the store still sends to an old one reaches nobody.
 */
import { hex } from '../core/bytes.ts';
import { invariant } from '../core/invariant.ts';
import type { Connection } from './connection.ts';
import type { Caller } from './session/caller.ts';

export interface RoutedUser {
  readonly handle: number;
  readonly user: Uint8Array;
  readonly key: string;
  /** Replaced, never shortened: who walks over it while one ends misses nobody. */
  connections: readonly Connection[];
}

const HANDLE_MAX = 0xffffffff;

export class Routes {
  readonly #byHandle = new Map<number, RoutedUser>();
  readonly #byUser = new Map<string, RoutedUser>();
  readonly #byDevice = new Map<string, Connection>();
  #lastHandle = 0;

  get userCount(): number {
    return this.#byUser.size;
  }

  /** The user's route, and whether it is new. An older connection of the device is handed back. */
  add(
    caller: Caller,
    connection: Connection,
  ): {
    readonly route: RoutedUser;
    readonly isNew: boolean;
    readonly replaced: Connection | undefined;
  } {
    const key = hex(caller.user);
    let route = this.#byUser.get(key);
    const isNew = route === undefined;
    if (route === undefined) {
      invariant(this.#lastHandle < HANDLE_MAX, 'routes.handles-left');
      route = { handle: ++this.#lastHandle, user: caller.user, key, connections: [] };
      this.#byUser.set(key, route);
      this.#byHandle.set(route.handle, route);
    }
    const device = hex(caller.device);
    const replaced = this.#byDevice.get(device);
    this.#byDevice.set(device, connection);
    route.connections = [...route.connections, connection];
    return { route, isNew, replaced };
  }

  /** Returns the handle that has no connection left, or 0. */
  remove(caller: Caller, connection: Connection): number {
    const device = hex(caller.device);
    if (this.#byDevice.get(device) === connection) this.#byDevice.delete(device);
    const route = this.#byUser.get(hex(caller.user));
    if (route?.connections.includes(connection) !== true) return 0;
    route.connections = route.connections.filter((other) => other !== connection);
    if (route.connections.length > 0) return 0;
    this.#byUser.delete(route.key);
    this.#byHandle.delete(route.handle);
    return route.handle;
  }

  connectionsOf(handle: number): readonly Connection[] {
    return this.#byHandle.get(handle)?.connections ?? NOBODY;
  }

  connectionsOfUser(user: Uint8Array): readonly Connection[] {
    return this.#byUser.get(hex(user))?.connections ?? NOBODY;
  }

  all(): readonly RoutedUser[] {
    return [...this.#byHandle.values()];
  }
}

const NOBODY: readonly Connection[] = [];
