/** What the find box finds: conversations on this device, and people by name on the server. */
import type { ConversationRow, User } from '@parley/sdk';
import { type KeyboardEvent, type ReactNode, useEffect, useMemo, useState } from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { useClient, useStore } from '../chat/use-store.ts';
import { nameOf } from '../keys/keys.ts';
import { ListRow } from './list-row.tsx';

const FOUND_MAX = 20;
const ASK_AFTER_MS = 200;

interface FindResultsProps {
  readonly text: string;
  readonly open: (id: string) => void;
  readonly message: (userId: string) => void;
}

export function FindResults(props: FindResultsProps): ReactNode {
  const rows = useFoundConversations(props.text);
  const people = usePeopleSearch(props.text);
  const known = new Set(rows.map((row) => row.peer));
  const strangers = people.users.filter((user) => !known.has(user.userId));
  return (
    <div className="list-box" onKeyDown={moveAmong}>
      {rows.length > 0 && <h2 className="list-title">Conversations</h2>}
      <ul>
        {rows.map((row) => (
          <li key={row.id}>
            <ListRow row={row} isSelected={false} isActive open={props.open} />
          </li>
        ))}
      </ul>
      {strangers.length > 0 && <h2 className="list-title">People</h2>}
      <ul>
        {strangers.map((user) => (
          <li key={user.userId}>
            <button
              type="button"
              className="list-row"
              data-user={user.userId}
              onClick={() => props.message(user.userId)}
            >
              <FlagAvatar id={user.userId} />
              <PersonLines user={user} />
            </button>
          </li>
        ))}
      </ul>
      <p className="list-note" role="status">
        {noteOf(rows.length + strangers.length, people.state)}
      </p>
    </div>
  );
}

export function PersonLines({ user }: { user: User }): ReactNode {
  const name = user.displayName || user.username || '';
  return (
    <span className="stack">
      <span className="name clip" dir="auto">
        {name}
      </span>
      {user.username !== undefined && user.username !== name && (
        <span className="preview under clip">@{user.username}</span>
      )}
    </span>
  );
}

function noteOf(count: number, state: PeopleFound['state']): string {
  if (state === 'failed') return 'People cannot be looked up now.';
  if (count > 0) return '';
  if (state === 'asking') return 'Looking…';
  return 'Nobody by that name. People are found by their name or username.';
}

export interface PeopleFound {
  readonly users: readonly User[];
  readonly state: 'idle' | 'asking' | 'found' | 'failed';
}

const NONE: PeopleFound = { users: [], state: 'idle' };

/** Asks 200 ms after the last key; an older answer never replaces a newer one. */
export function usePeopleSearch(text: string): PeopleFound {
  const client = useClient();
  const [found, setFound] = useState<PeopleFound>(NONE);
  const wanted = text.trim().replace(/^@/, '');
  useEffect(() => {
    if (wanted === '') return setFound(NONE);
    let isStale = false;
    // Of the last answer only what still fits: nobody picks a person they no longer asked for.
    setFound((before) => ({
      users: before.users.filter((user) => fits(user, wanted)),
      state: 'asking',
    }));
    const timer = setTimeout(() => {
      client.people.search(wanted).then(
        (users) => {
          if (!isStale) setFound({ users: users.slice(0, FOUND_MAX), state: 'found' });
        },
        () => {
          if (!isStale) setFound({ users: [], state: 'failed' });
        },
      );
    }, ASK_AFTER_MS);
    return () => {
      isStale = true;
      clearTimeout(timer);
    };
  }, [client, wanted]);
  return found;
}

function fits(user: User, text: string): boolean {
  const names = `${user.username ?? ''}\n${user.displayName ?? ''}`;
  return names.toLowerCase().includes(text.toLowerCase());
}

function useFoundConversations(text: string): readonly ConversationRow[] {
  const client = useClient();
  const list = useMemo(() => {
    const made = client.conversations({ filter: 'all', text });
    made.show(0, FOUND_MAX);
    return made;
  }, [client, text]);
  useEffect(() => () => list.close(), [list]);
  return useStore(list).rows;
}

function moveAmong(e: KeyboardEvent<HTMLElement>): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[nameOf(e)];
  if (step === undefined) return;
  const rows = [...e.currentTarget.querySelectorAll<HTMLElement>('.list-row')];
  const at = rows.findIndex((row) => row === document.activeElement);
  e.preventDefault();
  rows[Math.min(Math.max(0, at + step), rows.length - 1)]?.focus();
}
