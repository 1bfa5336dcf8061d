/** Keys that work everywhere in the shell (CLIENT §2). */
import type { Client } from '@parley/sdk';
import { type RefObject, useEffect } from 'react';
import { nameOf } from '../keys/keys.ts';
import { openConversation } from './route.ts';

interface ShellKeys {
  readonly client: Client;
  readonly selected: string | undefined;
  readonly findField: RefObject<HTMLInputElement | null>;
  readonly help: () => void;
}

export function useShellKeys(shell: ShellKeys): void {
  useEffect(() => {
    const onKeyDown = (e: KeyboardEvent): void => {
      if (e.isComposing || document.querySelector('dialog[open]') !== null) return;
      if (run(nameOf(e), shell)) e.preventDefault();
    };
    addEventListener('keydown', onKeyDown);
    return () => removeEventListener('keydown', onKeyDown);
  });
}

function run(name: string, shell: ShellKeys): boolean {
  switch (name) {
    case 'Ctrl+K':
      shell.findField.current?.focus();
      shell.findField.current?.select();
      return true;
    case 'Ctrl+/':
      shell.help();
      return true;
    case 'Ctrl+F6':
      return nextRegion(1);
    case 'Ctrl+Shift+F6':
      return nextRegion(-1);
    case 'Alt+ArrowDown':
      return step(shell, 1, 'all');
    case 'Alt+ArrowUp':
      return step(shell, -1, 'all');
    case 'Alt+Shift+ArrowDown':
      return step(shell, 1, 'unread');
    case 'Alt+Shift+ArrowUp':
      return step(shell, -1, 'unread');
    default:
      return false;
  }
}

/** What takes the focus in each region, in order. */
const STOPS = [
  '.list-row[tabindex="0"]',
  '.column [data-key][tabindex="0"]',
  '.composer textarea',
  '.region-info button',
];

function nextRegion(by: number): boolean {
  const stops = STOPS.map((stop) => document.querySelector<HTMLElement>(stop)).filter(
    (stop) => stop !== null && stop.offsetParent !== null,
  );
  const at = stops.findIndex((stop) => regionOf(stop) === regionOf(document.activeElement));
  const next = at === -1 ? 0 : (at + by + stops.length) % stops.length;
  stops[next]?.focus();
  return stops.length > 0;
}

function regionOf(node: Element | null): Element | null {
  return node?.closest('.composer, .timeline, [data-region]') ?? null;
}

/** The list as a person sees it: up to as many as a screen of keys will walk. */
const WALK_MAX = 200;

function step(shell: ShellKeys, by: number, filter: 'all' | 'unread'): boolean {
  const list = shell.client.conversations({ filter: 'all' });
  list.show(0, WALK_MAX);
  const { rows } = list.get();
  list.close();
  const from = rows.findIndex((row) => row.id === shell.selected);
  for (
    let i = from === -1 && by < 0 ? rows.length - 1 : from + by;
    rows[i] !== undefined;
    i += by
  ) {
    const row = rows[i];
    if (row === undefined || (filter === 'unread' && row.unread === 0)) continue;
    openConversation(row.id);
    return true;
  }
  return true;
}
