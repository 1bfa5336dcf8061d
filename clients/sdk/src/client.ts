/** createClient: puts the parts together (CLIENT §1). */
import type {
  Client,
  ClientOptions,
  ConnectionState,
  Conversation,
  Devices,
  Events,
  Filter,
  Found,
  ListWindow,
  Me,
  Presence,
  Push,
  Store,
} from './client-interface.ts';
import type { ConversationId, Device, Session, User, UserId } from './contract.ts';
import { Engine } from './engine.ts';
import { featureDisabled } from './errors.ts';
import type { PeopleStore } from './people.ts';
import { Cell } from './store.ts';

export function createClient(options: ClientOptions): Client {
  return new LiveClient(options);
}

class LiveClient implements Client {
  readonly connection: Store<ConnectionState>;
  readonly me: Me;
  readonly devices: Devices;
  readonly people: PeopleStore;
  readonly unread: Store<{ readonly messages: number; readonly mentions: number }>;
  readonly push: Push;
  readonly #engine: Engine;

  constructor(options: ClientOptions) {
    const engine = new Engine(options);
    this.#engine = engine;
    this.connection = engine.connection.state;
    this.people = engine.people;
    this.unread = engine.unread;
    this.me = {
      get: () => engine.user.get(),
      subscribe: (fn) => engine.user.subscribe(fn),
      update: async (change) => {
        const request = { user: change, updateMask: Object.keys(change) };
        engine.learnMe(await engine.ask<User>('Users.UpdateMe', request));
      },
    };
    this.devices = {
      sessions: async () => {
        const answer = await engine.ask<{ sessions?: Session[] }>('Auth.ListSessions', {});
        return answer.sessions ?? [];
      },
      revoke: async (sessionId) => {
        await engine.ask('Auth.RevokeSession', { sessionId });
      },
      list: async () => {
        const answer = await engine.ask<{ devices?: Device[] }>('Devices.List', {});
        return answer.devices ?? [];
      },
    };
    const push = new Cell<'unsupported'>('unsupported');
    this.push = {
      get: () => push.get(),
      subscribe: (fn) => push.subscribe(fn),
      enable: () => Promise.reject(featureDisabled('push')),
      disable: () => Promise.reject(featureDisabled('push')),
    };
    if (options.media !== undefined) throw featureDisabled('media');
    if (options.e2ee !== undefined) throw featureDisabled('end-to-end encryption');
  }

  start(): Promise<void> {
    return this.#engine.start();
  }

  stop(): Promise<void> {
    return this.#engine.stop();
  }

  signOut(wipe: boolean): Promise<void> {
    return this.#engine.signOut(wipe);
  }

  takeOver(): Promise<void> {
    return this.#engine.takeOver();
  }

  conversations(query: { readonly filter: Filter; readonly text?: string }): ListWindow {
    return this.#engine.list(query);
  }

  conversation(id: ConversationId): Conversation {
    return this.#engine.conversation(id);
  }

  direct(user: UserId): Conversation {
    return this.#engine.direct(user);
  }

  createGroup(group: { readonly name: string; readonly members: readonly UserId[] }): Conversation {
    return this.#engine.createGroup(group);
  }

  search(): Store<Found> {
    throw featureDisabled('search');
  }

  presence(): Store<ReadonlyMap<UserId, Presence>> {
    throw featureDisabled('presence');
  }

  on<E extends keyof Events>(event: E, fn: (x: Events[E]) => void): () => void {
    return this.#engine.on(event, fn);
  }
}
