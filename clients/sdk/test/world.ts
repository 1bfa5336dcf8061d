/** A server, and clients that talk to it over a network that a test can break. */
import { createClient } from '../src/client.ts';
import type { Client, MessageRow, Row, Timeline } from '../src/client-interface.ts';
import type { ConversationId, UserId } from '../src/contract.ts';
import { encodeId } from '../src/ids.ts';
import { memoryStore } from '../src/stores/memory.ts';
import type { StorePort } from '../src/stores/store-port.ts';
import { FakeHost } from './fake-host.ts';
import { FakeServer } from './fake-server.ts';

export function userId(n: number): UserId {
  return encodeId(
    'usr',
    Uint8Array.from({ length: 16 }, (_, i) => (i === 15 ? n : i === 6 ? 0x70 : 1)),
  );
}

export const ANA: UserId = userId(1);
export const BO: UserId = userId(2);
export const CY: UserId = userId(3);

export interface Phone {
  readonly client: Client;
  readonly host: FakeHost;
  readonly store: StorePort;
  /** Drops the client as a crash does: nothing of it runs any more, what is stored stays. */
  crash(): void;
}

export interface PhoneOptions {
  readonly store?: StorePort;
  readonly deviceId?: string;
  readonly seed?: number;
  readonly cacheBytesMax?: number | undefined;
}

export class World {
  readonly server: FakeServer = new FakeServer();
  readonly #phones: { host: FakeHost; crash(): void }[] = [];

  constructor() {
    this.server.users.set(ANA, 'Ana');
    this.server.users.set(BO, 'Bo');
    this.server.users.set(CY, 'Cy');
  }

  phone(user: UserId, o: PhoneOptions = {}): Phone {
    const host = new FakeHost(o.seed ?? this.#phones.length + 1);
    const store = o.store ?? memoryStore();
    const deviceId = o.deviceId ?? `dev_${user}_${this.#phones.length}`;
    const gate = { isDead: false };
    const client = createClient({
      url: 'http://fake',
      credential: async () => ({ token: `token ${user}`, userId: user, deviceId }),
      store: mortal(store, gate),
      transports: [this.server.transport(user, deviceId)],
      host,
      ...(o.cacheBytesMax === undefined ? {} : { cacheBytesMax: o.cacheBytesMax }),
    });
    const crash = (): void => {
      gate.isDead = true;
      for (const connection of [...this.server.connections])
        if (connection.deviceId === deviceId) connection.cut();
    };
    const phone = { client, host, store, crash };
    this.#phones.push(phone);
    return phone;
  }

  /** Time passes for everyone. */
  async advance(ms: number): Promise<void> {
    const step = Math.min(ms, 50);
    for (let done = 0; done <= ms; done += Math.max(step, 1))
      for (const phone of this.#phones) await phone.host.advance(step);
  }

  async started(user: UserId, o: PhoneOptions = {}): Promise<Phone> {
    const phone = this.phone(user, o);
    await phone.client.start();
    await this.advance(500);
    return phone;
  }
}

/** A store whose writes stop at a crash, between one transaction and the next. */
function mortal(store: StorePort, gate: { isDead: boolean }): StorePort {
  const never = new Promise<never>(() => undefined);
  return {
    open: () => store.open(),
    close: () => store.close(),
    claim: () => store.claim(),
    wipe: (database) => store.wipe(database),
    readOwn: (table, range) => (gate.isDead ? never : store.readOwn(table, range)),
    readCache: (table, range) => (gate.isDead ? never : store.readCache(table, range)),
    writeOwn: (puts, fence) => (gate.isDead ? never : store.writeOwn(puts, fence)),
    writeCache: (puts, fence) => (gate.isDead ? never : store.writeCache(puts, fence)),
  };
}

export function say(text: string): { text: { body: string } } {
  return { text: { body: text } };
}

export function texts(timeline: Timeline): string[] {
  return messages(timeline).map((row) =>
    row.deleted ? '(deleted)' : (row.content?.text?.body ?? ''),
  );
}

export function messages(timeline: Timeline): MessageRow[] {
  return timeline.get().rows.filter((row): row is MessageRow => row.is === 'message');
}

export function keys(rows: readonly Row[]): string[] {
  return rows.map((row) => row.key);
}

export type { ConversationId };
