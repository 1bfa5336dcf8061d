/** Where one is, in the address's fragment: it never leaves the device, and Back works. */
import { useSyncExternalStore } from 'react';

const CONVERSATION = /^#\/c\/(cnv_[0-9a-z]{26})$/;

function conversationOf(hash: string): string | undefined {
  return CONVERSATION.exec(hash)?.[1];
}

function subscribe(fn: () => void): () => void {
  addEventListener('hashchange', fn);
  return () => removeEventListener('hashchange', fn);
}

export function useRoute(): string | undefined {
  return useSyncExternalStore(subscribe, () => conversationOf(location.hash));
}

export function openConversation(id: string): void {
  if (conversationOf(location.hash) === id) return;
  // From one conversation to the next replaces: Back leads to the list, not through a trail.
  if (conversationOf(location.hash) === undefined) location.hash = `#/c/${id}`;
  else replace(`#/c/${id}`);
}

export function closeConversation(): void {
  replace('#/');
}

function replace(hash: string): void {
  history.replaceState(null, '', hash);
  dispatchEvent(new HashChangeEvent('hashchange'));
}
