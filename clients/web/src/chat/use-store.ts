/** Reading the SDK's stores from components. */
import type { Client, Conversation, Store } from '@parley/sdk';
import { createContext, useCallback, useContext, useSyncExternalStore } from 'react';

export function useStore<T>(store: Store<T>): T {
  const subscribe = useCallback((fn: () => void) => store.subscribe(fn), [store]);
  return useSyncExternalStore(subscribe, () => store.get());
}

const nothing = (): (() => void) => () => undefined;

/** Of a store that may not be there; then undefined. */
export function useMaybe<T>(store: Store<T> | undefined): T | undefined {
  const subscribe = useCallback(
    (fn: () => void) => (store === undefined ? nothing() : store.subscribe(fn)),
    [store],
  );
  return useSyncExternalStore(subscribe, () => store?.get());
}

const ClientContext = createContext<Client | undefined>(undefined);
export const ClientProvider = ClientContext.Provider;

export function useClient(): Client {
  const client = useContext(ClientContext);
  // Every screen of chat/ stands below the provider; a missing one is a fault in the tree.
  if (client === undefined) throw new TypeError('no client above this component');
  return client;
}

/** This copy shows what it has and writes nothing: another tab owns the data. */
export function useIsReadOnly(): boolean {
  const { connection } = useClient();
  return useSyncExternalStore(
    (fn) => connection.subscribe(fn),
    () => connection.get().readOnly,
  );
}

/** What a person is called: the name they chose, else their username, else nothing yet. */
export function useName(userId: string | undefined): string {
  const client = useClient();
  const user = useMaybe(userId === undefined ? undefined : client.people.get(userId));
  return user?.displayName || user?.username || '';
}

/** Title of a conversation, never empty. */
export function useTitle(conversation: Conversation): string {
  const client = useClient();
  const info = useStore(conversation.info);
  const me = useStore(client.me);
  const peer = useName(info.kind === 'direct' ? info.peer : undefined);
  return titleOf({ ...info, name: info.name || peer }, me.userId);
}

export interface Titled {
  readonly kind: 'direct' | 'group';
  readonly name: string;
  readonly peer?: string;
}

export function titleOf(conversation: Titled, myUserId: string): string {
  if (conversation.kind === 'direct' && conversation.peer === myUserId) return 'Notes to self';
  if (conversation.name !== '') return conversation.name;
  return conversation.kind === 'group' ? 'Group' : 'Someone';
}
