/** Finds people by name and picks several. */
import type { User } from '@parley/sdk';
import { type ReactNode, useId, useState } from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { Icon } from '../art/icons.tsx';
import { useClient } from '../chat/use-store.ts';
import { PersonLines, usePeopleSearch } from '../list/find.tsx';

interface PeoplePickerProps {
  readonly picked: readonly User[];
  readonly pick: (users: readonly User[]) => void;
  /** Cannot be picked: they are in already. */
  readonly without: ReadonlySet<string>;
}

export function PeoplePicker(props: PeoplePickerProps): ReactNode {
  const id = useId();
  const me = useClient().me.get().userId;
  const [text, setText] = useState('');
  const found = usePeopleSearch(text);
  const users = found.users.filter((user) => user.userId !== me && !props.without.has(user.userId));
  const isPicked = (user: User): boolean => props.picked.some((p) => p.userId === user.userId);
  const toggle = (user: User): void => {
    props.pick(
      isPicked(user)
        ? props.picked.filter((p) => p.userId !== user.userId)
        : [...props.picked, user],
    );
  };
  return (
    <>
      <div className="field">
        <label htmlFor={id}>People</label>
        <input
          id={id}
          className="input"
          type="search"
          placeholder="Name or username"
          dir="auto"
          data-focus
          value={text}
          onChange={(e) => setText(e.target.value)}
        />
      </div>
      {props.picked.length > 0 && <Picked users={props.picked} drop={toggle} />}
      {users.length > 0 && (
        <ul className="card-list people-scroll">
          {users.map((user) => (
            <li key={user.userId}>
              <button
                type="button"
                className="person pick"
                data-user={user.userId}
                aria-pressed={isPicked(user)}
                onClick={() => toggle(user)}
              >
                <FlagAvatar id={user.userId} small />
                <PersonLines user={user} />
                <span className="check">
                  <Icon name="check" size={16} />
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
      {users.length === 0 && text.trim() !== '' && (
        <p className="note" role="status">
          {found.state === 'failed' && 'People cannot be looked up now.'}
          {found.state === 'asking' && 'Looking…'}
          {found.state === 'found' && 'Nobody else by that name.'}
        </p>
      )}
    </>
  );
}

interface PickedProps {
  readonly users: readonly User[];
  readonly drop: (user: User) => void;
}

function Picked({ users, drop }: PickedProps): ReactNode {
  return (
    <div className="picked" role="group" aria-label="Picked">
      {users.map((user) => (
        <button
          type="button"
          key={user.userId}
          aria-label={`Leave out ${user.displayName || user.username}`}
          onClick={() => drop(user)}
        >
          <bdi className="clip">{user.displayName || user.username}</bdi>
          <Icon name="close" size={14} />
        </button>
      ))}
    </div>
  );
}
